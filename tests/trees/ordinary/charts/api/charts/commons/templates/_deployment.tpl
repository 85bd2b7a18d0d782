{{- define "commons.deployment" }}
{{- $ := .context }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "commons.name" $ }}
spec:
  replicas: {{ $.Values.replicaCount }}
  selector:
    matchLabels: {app: {{ include "commons.name" $ }}}
  template:
    metadata:
      labels: {app: {{ include "commons.name" $ }}}
    spec:
      containers:
        - name: main
          image: {{ include "commons.image" $.Values.image }}
          ports: [{containerPort: {{ .port }}}]
{{- end }}
{{- define "commons.image" }}
{{- printf "%s:%s" .repository (required "image.tag is required" .tag) | quote }}
{{- end }}
{{- define "commons.name" }}
{{- .Release.Name | trunc 63 }}
{{- end }}
{{- define "commons.service" }}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "commons.name" .context }}
spec:
  ports: [{port: {{ .port | default 80 }}}]
{{- end }}
