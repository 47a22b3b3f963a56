{{- define "gvList" -}}
# API reference

Generated from `api/` by `make generate`. The same text is in the cluster: `kubectl explain jupicocredential.spec`.
{{ range . }}{{ template "gvDetails" . }}{{ end }}
{{ end -}}
