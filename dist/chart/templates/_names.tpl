{{/* prefix begins the name of everything: the release's name, with the chart's where it isn't in it. */}}
{{- define "prefix" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" (.Release.Name | trunc 24 | trimSuffix "-") .Chart.Name }}
{{- end -}}
{{- end -}}

{{- define "labels" -}}
app.kubernetes.io/name: jupico-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "selector" -}}
app.kubernetes.io/name: jupico-operator
control-plane: controller-manager
{{- end -}}

{{- define "subjects" -}}
- kind: ServiceAccount
  name: {{ include "prefix" . }}-controller-manager
  namespace: {{ .Release.Namespace }}
{{- end -}}
