{{- define "temporal.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- define "temporal.selector" -}}
app.kubernetes.io/name: temporal
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
