{{- /* Pieces of network policies. */ -}}

{{- define "shiwu.peer" -}}
- podSelector:
    matchLabels:
      {{- include "shiwu.selector" . | nindent 6 }}
{{- end -}}

{{- define "shiwu.dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- with .Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "shiwu.toDatabase" -}}
- ports: [{port: {{ ternary 5432 .Values.database.port .Values.database.bundled.enabled }}}]
  {{- if .Values.database.bundled.enabled }}
  to:
    {{- include "shiwu.peer" (dict "root" . "part" "database") | nindent 4 }}
  {{- else }}
  {{- with .Values.networkPolicy.databaseTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "shiwu.bundles.database" }}{{ if .Values.database.bundled.enabled }}yes{{ end }}{{ end -}}
{{- define "shiwu.bundles.milvus" }}{{ if .Values.milvus.bundled.enabled }}yes{{ end }}{{ end -}}
{{- define "shiwu.bundles.triton" }}{{ if and .Values.triton.enabled (not .Values.triton.endpoint) }}yes{{ end }}{{ end -}}
