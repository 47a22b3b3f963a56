{{- define "gvDetails" }}
## {{ .GroupVersionString }}

{{ trim .Doc }}
{{- range .SortedTypes }}{{ if .GVK }}{{ template "type" . }}{{ end }}{{ end }}
{{- range .SortedTypes }}{{ if not .GVK }}{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}
