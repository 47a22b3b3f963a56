{{- define "gvList" -}}
# API reference

`make generate` writes this page from `api/`. In a cluster, `kubectl explain jupicocredential.spec` shows the same text.
{{ range . }}{{ template "gvDetails" . }}{{ end }}
{{ end -}}
