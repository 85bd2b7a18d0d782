{{- define "matryoshka.private" -}}x{{- end -}}
