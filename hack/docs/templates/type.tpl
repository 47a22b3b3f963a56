{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}

### {{ $type.Name }}

{{ $type.Doc }}
{{- if $type.References }}

Appears in:{{ range $i, $reference := $type.SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $reference }}{{ end }}.
{{- end }}
{{- if $type.Members }}

| Field | Type | Description | Default | Validation |
| --- | --- | --- | --- | --- |
{{- if $type.GVK }}
| `apiVersion` | string | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | | |
| `kind` | string | `{{ $type.GVK.Kind }}` | | |
{{- end }}
{{- range $type.Members }}
| `{{ .Name }}` | {{ template "fieldType" .Type }} | {{ template "fieldDoc" . }} | {{ with .Default }}`{{ . }}`{{ end }} | {{ template "validation" .Validation }} |
{{- end }}
{{- end }}
{{- if $type.EnumValues }}

| Value | Description |
| --- | --- |
{{- range $type.EnumValues }}
| `{{ .Name }}` | {{ .Doc | trim | replace (print $type.Name .Name) .Name | replace "\n" " " | markdownRenderFieldDoc }} |
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fieldDoc" -}}
{{- if eq .Name "metadata" -}}
See the [Kubernetes API](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/).
{{- else -}}
{{ .Doc | replace "\n" " " | markdownRenderFieldDoc }}
{{- end -}}
{{- end -}}

{{- /* Shows types of Kubernetes and Go under the names that authors of manifests know. */ -}}
{{- define "fieldType" -}}
{{- $rendered := markdownRenderType . -}}
{{- if eq .Name "Time" -}} time
{{- else if eq .Name "Duration" -}} duration
{{- else if eq .Name "UID" -}} string
{{- else if eq .Name "ObjectMeta" -}} object
{{- else if eq $rendered "integer array" -}} base64
{{- else -}} {{ $rendered }}
{{- end -}}
{{- end -}}

{{- define "validation" -}}
{{- $rules := list -}}
{{- range . -}}
{{- if hasPrefix "Required" . -}}{{- $rules = prepend $rules "required" -}}
{{- else if not (or (hasPrefix "Optional" .) (hasPrefix "Type:" .)) -}}{{- $rules = append $rules (markdownRenderFieldDoc .) -}}
{{- end -}}
{{- end -}}
{{ join "<br>" $rules }}
{{- end -}}
