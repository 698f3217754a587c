{{/* The retry policy of a failed sync. Retries use the newest commit, so that a fix takes effect immediately. */}}
{{- define "argocd.retry" -}}
retry:
  limit: 5
  backoff:
    duration: 5s
    factor: 2
    maxDuration: 1m
  refresh: true
{{- end }}
