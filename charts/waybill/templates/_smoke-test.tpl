{{/* The name of an object beside the service, with room for a suffix. The argument is a list of the name and the
     suffix. */}}
{{- define "waybill.suffixed" -}}
{{- printf "%s-%s" (first . | trunc (sub 62 (last . | len) | int) | trimSuffix "-") (last .) }}
{{- end }}

{{/* The labels of pods that check the service. No Service, PodDisruptionBudget or NetworkPolicy selects them. */}}
{{- define "waybill.smokeTest.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waybill.suffixed" (list (include "waybill.name" .) "smoke-test") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* All their labels. */}}
{{- define "waybill.smokeTest.labels" -}}
{{ include "waybill.smokeTest.selectorLabels" . }}
{{ include "waybill.versionLabel" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A pod that asks the Service for `/ready` once. It runs the image of the service, which has no shell. */}}
{{- define "waybill.smokeTest.pod" -}}
restartPolicy: Never
activeDeadlineSeconds: {{ .Values.smokeTest.activeDeadlineSeconds }}
{{ include "waybill.podDefaults" . }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: healthcheck
    image: {{ include "waybill.image" . | quote }}
    imagePullPolicy: IfNotPresent
    args:
      - healthcheck
      - --url
      - http://{{ include "waybill.fullname" . }}:{{ .Values.service.port }}/ready
    {{- include "waybill.restrictions" . | nindent 4 }}
{{- end }}
