{{/* The fields that the containers of the service and of the migration share. */}}
{{- define "waybill.container" -}}
image: {{ include "waybill.image" . | quote }}
imagePullPolicy: IfNotPresent
envFrom:
  - configMapRef:
      name: {{ include "waybill.configName" . }}
{{- with .Values.database.existingSecret }}
{{- if .name }}
env:
  - name: WAYBILL_DATABASE_URL
    valueFrom:
      secretKeyRef:
        name: {{ .name | quote }}
        key: {{ .key | quote }}
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
{{- if include "waybill.sqlite" . }}
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
{{- end }}
{{- end }}
