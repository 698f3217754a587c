{{/* The retry policy of an automatic sync. Retries use the newest commit, so that a fix takes effect immediately.
     A manual sync copies the policy, so Applications that people sync have none: a retry would deploy commits that
     nobody confirmed, and a rollback would have to wait for it. */}}
{{- define "argocd.retry" -}}
retry:
  limit: 20
  backoff:
    duration: 5s
    factor: 2
    # A sync of a version that does not become healthy fails. The next version waits for the next attempt.
    maxDuration: 15s
  refresh: true
{{- end }}

{{/* The namespace of an environment, from its name and its entry. */}}
{{- define "argocd.environment.namespace" -}}
{{- .entry.namespace | default (printf "waybill-%s" .name) }}
{{- end }}

{{/* Fields of a project that Argo CD would not compare if they were absent: what someone adds in the cluster would
     stay. */}}
{{- define "argocd.project.closed" -}}
namespaceResourceBlacklist: []
sourceNamespaces: []
destinationServiceAccounts: []
permitOnlyProjectScopedClusters: false
signatureKeys: []
{{- end }}

{{/* A role of a project: who has it, and what it may do with the project's Applications. */}}
{{- define "argocd.project.role" -}}
- name: {{ .role }}
  description: {{ .description }}
  groups:
    {{- toYaml .groups | nindent 4 }}
  policies:
    {{- $subject := printf "p, proj:%s:%s" .project .role }}
    {{- range .may }}
    - {{ printf "%s, %s, %s/*, allow" $subject . $.project }}
    {{- end }}
{{- end }}
