{{- define "syncer.labels" -}}
app.kubernetes.io/name: kcp-syncer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
