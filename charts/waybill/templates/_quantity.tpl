{{/* A quantity as text. A number in a values file is a float, which would be written as 1.34217728e+08. */}}
{{- define "waybill.quantityText" -}}
{{- if and (kindIs "float64" .) (eq (float64 .) (floor .)) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{/* The number that a quantity of Kubernetes means, such as 0.5 for `500m`. */}}
{{- define "waybill.quantity" -}}
{{- $text := include "waybill.quantityText" . }}
{{- $number := regexFind "^[0-9.]+" $text }}
{{- $factors := dict
  "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 }}
{{- mulf $number (get $factors (trimPrefix $number $text)) }}
{{- end }}
