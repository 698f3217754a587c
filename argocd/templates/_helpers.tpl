{{/* How a failed sync is tried again: soon, not forever, and with the newest commit, so that a fix needn't wait. */}}
{{- define "argocd.retry" -}}
retry:
  limit: 5
  backoff:
    duration: 5s
    factor: 2
    maxDuration: 1m
  refresh: true
{{- end }}
