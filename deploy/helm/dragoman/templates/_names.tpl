{{- define "dragoman.labels" -}}
app.kubernetes.io/part-of: dragoman
app.kubernetes.io/instance: {{ .release | quote }}
app.kubernetes.io/component: {{ .name | quote }}
{{- end }}
