{{/* The template of the service's pods, for the Deployment or the Rollout. */}}
{{- define "waybill.podTemplate" -}}
metadata:
  labels:
    {{- include "waybill.podLabels" . | nindent 4 }}
  {{- include "waybill.annotations" (list . .Values.podAnnotations) | nindent 2 }}
spec:
  {{- include "waybill.podDefaults" . | nindent 2 }}
  {{- with .Values.terminationGracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  initContainers:
    - name: migrate
      args: [migrate]
      {{- include "waybill.container" . | nindent 6 }}
  containers:
    - name: waybill
      {{- include "waybill.container" . | nindent 6 }}
      ports:
        - name: http
          containerPort: 8080
      # The other probes begin after this one succeeds, so a slow start doesn't count as a failure.
      startupProbe:
        httpGet:
          path: /health
          port: http
        periodSeconds: 1
        failureThreshold: 30
      # This checks only the process, because an unavailable database must not restart pods.
      livenessProbe:
        httpGet:
          path: /health
          port: http
        periodSeconds: 10
        timeoutSeconds: 2
      # This also checks the database, so a pod that can't serve requests receives none. The service answers with
      # the reason after its time-out for the database, so the probe waits a second longer.
      {{- $timeout := include "waybill.milliseconds" (dict "context" $ "name" "WAYBILL_DATABASE_TIMEOUT_MS" "default" 3000) }}
      readinessProbe:
        httpGet:
          path: /ready
          port: http
        periodSeconds: 5
        timeoutSeconds: {{ add 1 (divf $timeout 1000 | ceil) }}
  {{- if or (include "waybill.sqlite" .) .Values.extraVolumes }}
  volumes:
    {{- if include "waybill.sqlite" . }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.database.sqlite.existingClaim | default (include "waybill.fullname" .) | quote }}
    # SQLite writes temporary files, and the root file system is read-only.
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if gt (include "waybill.minReplicas" . | int) 1 }}
  topologySpreadConstraints:
    {{- range tuple "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "waybill.selectorLabels" $ | nindent 10 }}
      # Pods of different roll-outs don't count against each other.
      matchLabelKeys: [{{ eq (include "waybill.canary" $) "true" | ternary "rollouts-pod-template-hash" "pod-template-hash" }}]
    {{- end }}
  {{- end }}
{{- end }}
