{{/* The name of the application in labels. */}}
{{- define "waybill.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of all objects. It consists of the names of the release and of the application. */}}
{{- define "waybill.fullname" -}}
{{- $name := include "waybill.name" . }}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $default | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The labels that select the pods. They contain no version, because a selector can't be changed. */}}
{{- define "waybill.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waybill.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of all objects except pods. In pods, the chart version would cause a restart with each new chart. */}}
{{- define "waybill.labels" -}}
{{ include "waybill.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The image: repository:tag@digest, or repository:tag without a digest. */}}
{{- define "waybill.image" -}}
{{- with .Values.image }}
{{- .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* "true" if the service uses SQLite, empty if it uses PostgreSQL. */}}
{{- define "waybill.sqlite" -}}
{{- if not .Values.database.existingSecret.name }}true{{ end }}
{{- end }}

{{/* The data of the ConfigMap: the values in `config` and the settings that the chart determines. */}}
{{- define "waybill.config" -}}
{{- $fixed := dict "WAYBILL_HTTP_ADDR" "0.0.0.0:8080" }}
{{- if include "waybill.sqlite" . }}
{{- $_ := set $fixed "WAYBILL_DATABASE_URL" "sqlite:///data/waybill.db" }}
{{- end }}
{{- merge $fixed .Values.config | toYaml }}
{{- end }}

{{/* The fields that the containers of the service and of the migration share. */}}
{{- define "waybill.container" -}}
image: {{ include "waybill.image" . | quote }}
imagePullPolicy: IfNotPresent
envFrom:
  - configMapRef:
      name: {{ include "waybill.fullname" . }}
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
resources:
  {{- toYaml .Values.resources | nindent 2 }}
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
