{{/*
complete gives the defaults to values that are new. An upgrade with --reuse-values brings all values of the older chart,
and none of them. Every template begins with it, because their order is not fixed.
*/}}
{{- define "complete" -}}
{{- if not (hasKey .Values "trustedCA") -}}
{{- range $name, $value := .Files.Get "files/values.yaml" | fromYaml -}}
{{- if not (hasKey $.Values $name) -}}
{{- $_ := set $.Values $name $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* goMemLimit is nine tenths of the memory limit, in MiB. */}}
{{- define "goMemLimit" -}}
{{- $limit := ((.Values.resources).limits).memory | default "" | toString -}}
{{- $unit := regexFind "([KMGT]i|[kMGT])$" $limit -}}
{{- $factors := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 -}}
{{- $bytes := mulf (trimSuffix $unit $limit) (get $factors $unit | default 1) -}}
{{- $mebibytes := divf (mulf $bytes 0.9) 1048576 | floor | int64 -}}
{{- if .Values.goMemLimit -}}
{{ .Values.goMemLimit }}
{{- else if $mebibytes -}}
{{ $mebibytes }}MiB
{{- else -}}
off
{{- end -}}
{{- end -}}
