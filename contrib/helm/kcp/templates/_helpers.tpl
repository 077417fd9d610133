{{- define "kcp.labels" -}}
app.kubernetes.io/name: kcp
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "kcp.host" -}}
{{ .Values.externalHostname | default (printf "%s.%s.svc" .Release.Name .Release.Namespace) }}
{{- end }}
