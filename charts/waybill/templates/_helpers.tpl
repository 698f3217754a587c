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
app.kubernetes.io/name: {{ include "waybill.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* What runs: the tag of the image, as far as a label can hold it. */}}
{{- define "waybill.versionLabel" -}}
app.kubernetes.io/version: {{ include "waybill.tag" . | trunc 63 | trimAll "._-" | quote }}
{{- end }}

{{/* The labels of pods. The chart version would cause a restart with each new chart. */}}
{{- define "waybill.podLabels" -}}
{{ include "waybill.selectorLabels" . }}
{{ include "waybill.versionLabel" . }}
{{- with merge (dict) (.Values.podLabels | default dict) (.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels of all other objects. */}}
{{- define "waybill.labels" -}}
{{ include "waybill.selectorLabels" . }}
{{ include "waybill.versionLabel" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The annotations of an object: its own, and those of all objects. The argument is a list of the context and the own
     annotations. */}}
{{- define "waybill.annotations" -}}
{{- with merge (dict) (last . | default dict) ((first .).Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of the pods' ServiceAccount. */}}
{{- define "waybill.serviceAccountName" -}}
{{- with .Values.serviceAccount }}
{{- .name | default (.create | ternary (include "waybill.fullname" $) "default") }}
{{- end }}
{{- end }}

{{/* The smallest number of pods that run. */}}
{{- define "waybill.minReplicas" -}}
{{- if .Values.autoscaling.enabled }}
{{- .Values.autoscaling.minReplicas }}
{{- else }}
{{- kindIs "invalid" .Values.replicas | ternary 1 .Values.replicas }}
{{- end }}
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
{{- $address := .Values.listenAddress | default "0.0.0.0" }}
{{- $fixed := dict "WAYBILL_HTTP_ADDR" (printf (contains ":" $address | ternary "[%s]:8080" "%s:8080") $address) }}
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
