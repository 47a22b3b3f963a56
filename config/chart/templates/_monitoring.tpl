{{/* Both change the spec that they are given. */}}

{{- define "set serviceMonitor" -}}
{{- $endpoint := first .spec.endpoints -}}
{{- range $name := list "interval" "scrapeTimeout" "relabelings" "metricRelabelings" -}}
{{- with index $.values $name -}}
{{- $_ := set $endpoint $name . -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "set prometheusRule" -}}
{{- $values := .values -}}
{{- $unknown := $values.disabled | default dict | keys -}}
{{- $groups := list -}}
{{- range $group := .spec.groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $unknown = without $unknown $rule.alert -}}
{{- if not (get ($values.disabled | default dict) $rule.alert) -}}
{{- $_ := set $rule "labels" (merge (dict) ($values.additionalLabels | default dict) $rule.labels) -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set $group "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- if $unknown -}}
{{- fail (printf "prometheusRule.disabled: there is no alert %s" (join ", " ($unknown | sortAlpha))) -}}
{{- end -}}
{{- $_ := set .spec "groups" $groups -}}
{{- end -}}
