{{/* The name of everything: <release>, or <release>-<chart> where the release is not named after a component. */}}
{{- define "sebastian.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Helm puts the chart's digest behind a "+", which a label does not allow. */}}
{{- define "sebastian.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sebastian.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "sebastian.labels" -}}
{{ include "sebastian.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "sebastian.image" -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}

{{- define "sebastian.databaseEnv" -}}
- name: DB_HOST
  value: {{ .Values.database.host | quote }}
- name: DB_PORT
  value: {{ .Values.database.port | quote }}
- name: DB_NAME_SERVER
  value: {{ .Values.database.name | quote }}
- name: DB_USER_SERVER
  value: {{ .Values.database.user | quote }}
- name: DB_PASSWORD_SERVER
  valueFrom:
    secretKeyRef: {name: {{ .Values.credentials.existingSecret | quote }}, key: DB_PASSWORD_SERVER}
{{- end -}}
