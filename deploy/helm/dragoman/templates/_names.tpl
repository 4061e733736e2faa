{{- define "dragoman.labels" -}}
app.kubernetes.io/part-of: dragoman
app.kubernetes.io/instance: {{ .release | quote }}
app.kubernetes.io/component: {{ .name | quote }}
{{- end }}

{{- /* Where the mesh meets: one Redis, the master that sentinels know, or a cluster. */ -}}
{{- define "dragoman.redis" -}}
{{- $kind := dict "single" "" "sentinel" "+sentinel" "cluster" "+cluster" -}}
{{- $behind := dict "single" (toString .redis.database) "sentinel" .redis.master "cluster" "" -}}
{{ ternary "rediss" "redis" .redis.tls }}{{ get $kind .redis.mode }}://{{ .user }}:$(REDIS_PASSWORD)@{{ ternary (first .redis.hosts) (join "," .redis.hosts) (eq .redis.mode "cluster") }}/{{ get $behind .redis.mode }}
{{- end }}
