{{/* The fields that the containers of the service and of the migration share. */}}
{{- define "waybill.container" -}}
image: {{ include "waybill.image" . | quote }}
imagePullPolicy: IfNotPresent
envFrom:
  - configMapRef:
      name: {{ include "waybill.configName" . }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $secret := .Values.database.existingSecret }}
{{- if or $secret.name .Values.extraEnv }}
env:
  {{- if $secret.name }}
  - name: WAYBILL_DATABASE_URL
    valueFrom:
      secretKeyRef:
        name: {{ $secret.name | quote }}
        key: {{ $secret.key | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- range $kind := tuple "requests" "limits" }}
  {{- with index $.Values.resources $kind }}
  {{ $kind }}:
    {{- range $resource, $quantity := . }}
    {{ $resource }}: {{ toString $quantity | quote }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- if or (include "waybill.sqlite" .) .Values.extraVolumeMounts }}
volumeMounts:
  {{- if include "waybill.sqlite" . }}
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
