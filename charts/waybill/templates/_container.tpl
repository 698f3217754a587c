{{/* The fields that the containers of the service and of the migration share. */}}
{{- define "waybill.container" -}}
image: {{ include "waybill.image" . | quote }}
imagePullPolicy: IfNotPresent
envFrom:
  - configMapRef:
      name: {{ include "waybill.configName" . | quote }}
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
{{ include "waybill.restrictions" . }}
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

{{/* What every container may use and do. */}}
{{- define "waybill.restrictions" -}}
{{- with .Values.resources -}}
resources:
  {{- range $kind := tuple "requests" "limits" }}
  {{- with index $.Values.resources $kind }}
  {{ $kind }}:
    {{- range $resource, $quantity := . }}
    {{ $resource }}: {{ include "waybill.quantityText" $quantity | quote }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* What all pods of the chart share: the account, credentials for the registry and the security settings. */}}
{{- define "waybill.podDefaults" -}}
serviceAccountName: {{ include "waybill.serviceAccountName" . | quote }}
automountServiceAccountToken: false
# A Service named `waybill` would otherwise add variables such as WAYBILL_PORT to the settings of the service.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}
