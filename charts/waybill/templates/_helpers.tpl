{{/* Name of the application, for labels. */}}
{{- define "waybill.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of every object: the release's, with the application's in it. */}}
{{- define "waybill.fullname" -}}
{{- $name := include "waybill.name" . }}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $default | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods: never changes in the life of a release, so no version in it. */}}
{{- define "waybill.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waybill.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object; pods get only the selector's, or each new chart version would restart them. */}}
{{- define "waybill.labels" -}}
{{ include "waybill.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* repository:tag@digest, or repository:tag where no digest is set. */}}
{{- define "waybill.image" -}}
{{- with .Values.image }}
{{- .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* "true" where the service keeps an SQLite file, empty where it speaks to PostgreSQL. */}}
{{- define "waybill.sqlite" -}}
{{- if not .Values.database.existingSecret.name }}true{{ end }}
{{- end }}

{{/* Data of the ConfigMap: the settings, and what the chart itself decides. */}}
{{- define "waybill.config" -}}
{{- $fixed := dict "WAYBILL_HTTP_ADDR" "0.0.0.0:8080" }}
{{- if include "waybill.sqlite" . }}
{{- $_ := set $fixed "WAYBILL_DATABASE_URL" "sqlite:///data/waybill.db" }}
{{- end }}
{{- merge $fixed .Values.config | toYaml }}
{{- end }}

{{/* What the service and its migration share: image, environment, security, resources, volumes. */}}
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
