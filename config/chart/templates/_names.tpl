{{/* prefix begins the name of everything: the release's name, with the chart's where it isn't in it. */}}
{{- define "prefix" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $prefix := printf "%s-%s" (.Release.Name | trunc 24 | trimSuffix "-") $name -}}
{{- if contains $name .Release.Name -}}
{{- $prefix = .Release.Name -}}
{{- end -}}
{{ .Values.fullnameOverride | default $prefix | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "serviceAccount" -}}
{{- if dig "create" true .Values.serviceAccount -}}
{{ .Values.serviceAccount.name | default (printf "%s-controller-manager" (include "prefix" .)) }}
{{- else -}}
{{ .Values.serviceAccount.name | required "serviceAccount.create=false needs serviceAccount.name" }}
{{- end -}}
{{- end -}}

{{- define "image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "ownLabels" -}}
app.kubernetes.io/name: jupico-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "labels" -}}
{{ include "ownLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "selector" -}}
app.kubernetes.io/name: jupico-operator
control-plane: controller-manager
{{- end -}}

{{- define "subjects" -}}
- kind: ServiceAccount
  name: {{ include "serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
