{{/* The name of the application in labels. */}}
{{- define "waybill.name" -}}
{{- .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* The name of all objects. It consists of the names of the release and of the application. */}}
{{- define "waybill.fullname" -}}
{{- $name := include "waybill.name" . }}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default ($default | trunc 63 | trimSuffix "-") }}
{{- end }}

{{/* The tag of the image. */}}
{{- define "waybill.tag" -}}
{{- .Values.image.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{/* The image: repository:tag@digest, or repository:tag without a digest. */}}
{{- define "waybill.image" -}}
{{- printf "%s:%s" .Values.image.repository (include "waybill.tag" .) }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The labels that select the pods. They contain no version, because a selector can't be changed. */}}
{{- define "waybill.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waybill.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What runs: the tag of the image, as far as a label can hold it. */}}
{{- define "waybill.versionLabel" -}}
app.kubernetes.io/version: {{ include "waybill.tag" . | trunc 63 | trimAll "._-" | quote }}
{{- end }}

{{/* The labels of all objects except pods. In pods, the chart version would cause a restart with each new chart. */}}
{{- define "waybill.labels" -}}
{{ include "waybill.selectorLabels" . }}
{{ include "waybill.versionLabel" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* "true" if the service uses SQLite, empty if it uses PostgreSQL. */}}
{{- define "waybill.sqlite" -}}
{{- if not .Values.database.existingSecret.name }}true{{ end }}
{{- end }}

{{/* A setting as text. Helm reads numbers of values files as floating-point numbers. */}}
{{- define "waybill.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The data of the ConfigMap: the values in `config` and the settings that the chart determines. */}}
{{- define "waybill.config" -}}
{{- $fixed := dict "WAYBILL_HTTP_ADDR" "0.0.0.0:8080" }}
{{- if include "waybill.sqlite" . }}
{{- $_ := set $fixed "WAYBILL_DATABASE_URL" "sqlite:///data/waybill.db" }}
{{- end }}
{{- range $name, $value := merge $fixed (.Values.config | default dict) }}
{{ $name }}: {{ include "waybill.text" $value | quote }}
{{- end }}
{{- end }}

{{/* The name of the ConfigMap contains a digest of its data. */}}
{{- define "waybill.configName" -}}
{{ include "waybill.fullname" . }}-{{ include "waybill.config" . | sha256sum | trunc 10 }}
{{- end }}

{{/* A time in milliseconds from `config`, or the default of the service. */}}
{{- define "waybill.milliseconds" -}}
{{- $config := .context.Values.config | default dict }}
{{- include "waybill.text" (hasKey $config .name | ternary (get $config .name) .default) }}
{{- end }}
