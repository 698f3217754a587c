{{/* "true" if pods are replaced by a canary of Argo Rollouts, empty if by a Deployment. */}}
{{- define "waybill.canary" -}}
{{- if eq .Values.rollout.strategy "canary" }}true{{ end }}
{{- end }}

{{/* The name of the Service that selects only the pods of a canary. */}}
{{- define "waybill.canaryName" -}}
{{- include "waybill.suffixed" (list (include "waybill.fullname" .) "canary") }}
{{- end }}

{{/* What a Deployment and a Rollout have in common. */}}
{{- define "waybill.workload" -}}
{{- if not (or .Values.autoscaling.enabled (kindIs "invalid" .Values.replicas)) -}}
replicas: {{ .Values.replicas }}
{{ end }}
{{- range $field := tuple "minReadySeconds" "progressDeadlineSeconds" }}
{{- with get $.Values.rollout $field -}}
{{ $field }}: {{ . }}
{{ end }}
{{- end -}}
selector:
  matchLabels:
    {{- include "waybill.selectorLabels" . | nindent 4 }}
template:
  {{- include "waybill.podTemplate" . | nindent 2 }}
{{- end }}
