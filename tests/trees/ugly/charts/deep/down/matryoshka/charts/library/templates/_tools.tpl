{{- define "toolbox.tool" -}}hammer{{- end -}}
