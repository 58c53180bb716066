{{- /* What a service's container finds where. (dict "root" $ "part" "gateway") */ -}}

{{- define "shiwu.mounts" -}}
{{- $values := .root.Values -}}
- {name: tmp, mountPath: /tmp}
{{- if (get (include "shiwu.mesh" . | fromYaml) .part).models }}
- {name: models, mountPath: /models, readOnly: true{{ if eq $values.models.source "image" }}, subPath: models{{ end }}}
{{- end }}
{{- if $values.tls.enabled }}
- {name: tls, mountPath: /etc/shiwu/tls, readOnly: true}
{{- if and (eq .part "gateway") $values.tls.door }}
- {name: door, mountPath: /etc/shiwu/door, readOnly: true}
{{- end }}
{{- end }}
{{- if and (include "shiwu.asksForAccess" .) $values.access.keys.secret }}
- {name: access, mountPath: /etc/shiwu/access, readOnly: true}
{{- end }}
{{- if eq .part "search" }}
- {name: shards, mountPath: /etc/shiwu/shards, readOnly: true}
{{- end }}
{{- if eq .part "catalog" }}
- {name: imports, mountPath: /var/lib/shiwu/imports}
{{- if $values.catalog.feeds.claim }}
- {name: feeds, mountPath: /feeds, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "shiwu.volumes" -}}
{{- $values := .root.Values -}}
- {name: tmp, emptyDir: {sizeLimit: 256Mi}}
{{- if (get (include "shiwu.mesh" . | fromYaml) .part).models }}
- name: models
  {{- if eq $values.models.source "init" }}
  emptyDir: {sizeLimit: 1Gi}
  {{- else if eq $values.models.source "image" }}
  image: {reference: {{ include "shiwu.image" (dict "root" .root "image" "models") | quote }}, pullPolicy: {{ $values.image.pullPolicy }}}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ required "models.source is claim: set models.claim" $values.models.claim }}, readOnly: true}
  {{- end }}
{{- end }}
{{- if $values.tls.enabled }}
- name: tls
  secret: {secretName: {{ include "shiwu.tlsSecret" . }}, defaultMode: 0440}
{{- if and (eq .part "gateway") $values.tls.door }}
- name: door
  secret: {secretName: {{ $values.tls.door }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- if and (include "shiwu.asksForAccess" .) $values.access.keys.secret }}
- name: access
  secret:
    secretName: {{ $values.access.keys.secret }}
    defaultMode: 0440
    items: [{key: {{ $values.access.keys.key }}, path: keys}]
{{- end }}
{{- if eq .part "search" }}
- name: shards
  configMap: {name: {{ include "shiwu.fullname" .root }}-shards}
{{- end }}
{{- if eq .part "catalog" }}
- {name: imports, emptyDir: {sizeLimit: 1Gi}}
{{- with $values.catalog.feeds.claim }}
- name: feeds
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}
