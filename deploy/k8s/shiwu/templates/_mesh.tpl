{{- /* What the services are: ports, whom each calls and with which scope, which stores and models each needs.
       Addresses, network policies and access are derived from this. */ -}}

{{- define "shiwu.mesh" -}}
gateway: {port: 50050, calls: [detector, embedder, classifier, search, catalog], stores: [], models: true, may: scan}
detector: {port: 50051, calls: [], stores: [triton], models: true}
embedder: {port: 50052, calls: [], stores: [triton], models: true}
classifier: {port: 50053, calls: [], stores: [], models: true}
search: {port: 50054, calls: [], stores: [milvus], models: false}
catalog: {port: 50055, calls: [detector, embedder, search], stores: [database], models: false, may: catalog:write}
{{- end -}}

{{- define "shiwu.milvusEndpoint" -}}
{{- if .Values.milvus.bundled.enabled -}}
http://{{ include "shiwu.host" (dict "root" . "part" "milvus") }}:19530
{{- else -}}
{{ .Values.milvus.endpoint }}
{{- end -}}
{{- end -}}

{{- define "shiwu.shardMap" -}}
{{- $endpoint := include "shiwu.milvusEndpoint" . -}}
shards:
{{- range .Values.search.shards }}
  {{- if not (or .endpoint $endpoint) }}
  {{- fail (printf "shard %s has no Milvus: set milvus.endpoint, milvus.bundled.enabled or the shard's endpoint" .name) }}
  {{- end }}
  - {{ merge (dict) . (dict "endpoint" $endpoint) | toJson }}
{{- end }}
{{- with .Values.search.moves }}
moves:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "shiwu.tritonEndpoint" -}}
{{- if .Values.triton.enabled -}}
{{ .Values.triton.endpoint | default (printf "%s:8001" (include "shiwu.host" (dict "root" . "part" "triton"))) }}
{{- end -}}
{{- end -}}

{{- /* (dict "root" $ "part" "gateway"): the Secret with the certificate of a service */ -}}
{{- define "shiwu.tlsSecret" -}}
{{ get .root.Values.tls.secrets .part | default (printf "%s-%s-tls" (include "shiwu.fullname" .root) .part) }}
{{- end -}}

{{- /* A service's settings as a map; a value that is a map is a Secret's key. What `settings` says comes first. */ -}}
{{- define "shiwu.environment" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $mesh := include "shiwu.mesh" . | fromYaml -}}
{{- $me := get $mesh .part -}}
{{- $env := dict
  "SERVER__HOST" "0.0.0.0"
  "SERVER__PORT" $me.port
  "SERVER__METRICS_PORT" 9090
  "SERVER__HEALTH_PORT" 9091
  "SERVER__DRAIN_SECONDS" $values.drain.grace
  "SERVER__MAX_CONNECTION_AGE_SECONDS" $values.connectionAge
  "OBSERVABILITY__LOG_LEVEL" $values.observability.logLevel -}}
{{- with $values.observability.otlpEndpoint }}{{ $_ := set $env "OBSERVABILITY__OTLP_ENDPOINT" . }}{{ end -}}
{{- $own := dict "CERTIFICATE" "/etc/shiwu/tls/tls.crt" "KEY" "/etc/shiwu/tls/tls.key" -}}
{{- if $values.tls.enabled -}}
  {{- $at := ternary "door" "tls" (and (eq .part "gateway") (ne $values.tls.door "")) -}}
  {{- range $name, $path := $own }}{{ $_ := set $env (printf "SERVER__TLS__%s" $name) (replace "/tls/" (printf "/%s/" $at) $path) }}{{ end -}}
  {{- if ternary $values.tls.gatewayClients $values.tls.mutual (eq .part "gateway") -}}
    {{- $_ := set $env "SERVER__TLS__CLIENT_CA" "/etc/shiwu/tls/ca.crt" -}}
  {{- end -}}
  {{- if and $values.tls.mutual (ne .part "gateway") -}}
    {{- $callers := dict -}}
    {{- range $other, $its := $mesh -}}
      {{- if has $.part $its.calls }}{{ $_ := set $callers (include "shiwu.host" (dict "root" $root "part" $other)) (list $its.may) }}{{ end -}}
    {{- end -}}
    {{- $_ := set $env "SERVER__ACCESS__CALLERS" (toJson $callers) -}}
  {{- end -}}
{{- end -}}
{{- range $peer := $me.calls -}}
  {{- $host := include "shiwu.host" (dict "root" $root "part" $peer) -}}
  {{- $_ := set $env (printf "%s__TARGET" (upper $peer)) (printf "dns:///%s:%v" $host (get $mesh $peer).port) -}}
  {{- if $values.tls.enabled -}}
    {{- $_ := set $env (printf "%s__TLS__CA" (upper $peer)) "/etc/shiwu/tls/ca.crt" -}}
    {{- if $values.tls.mutual -}}
      {{- range $name, $path := $own }}{{ $_ := set $env (printf "%s__TLS__%s" (upper $peer) $name) $path }}{{ end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if include "shiwu.asksForAccess" . -}}
  {{- if and (ne .part "gateway") (not (and $values.tls.enabled $values.tls.mutual)) }}{{ fail (printf "access.services names %s: the mesh's own calls to it need tls.enabled and tls.mutual" .part) }}{{ end -}}
  {{- if $values.access.keys.secret }}{{ $_ := set $env "SERVER__ACCESS__KEYS" "/etc/shiwu/access/keys" }}{{ end -}}
  {{- range $name, $value := $values.access.jwt -}}
    {{- with $value }}{{ $_ := set $env (printf "SERVER__ACCESS__%s" (upper $name)) . }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- $triton := include "shiwu.tritonEndpoint" $root -}}
{{- if and $triton (has "triton" $me.stores) }}{{ $_ := set $env "RUNNER__ENDPOINT" (printf "triton://%s" $triton) }}{{ end -}}
{{- if eq .part "gateway" -}}
  {{- $_ := set $env "MODELS" "/models" -}}
{{- else if eq .part "detector" -}}
  {{- $_ := set $env "MODEL" (printf "/models/%s" $values.models.detector) -}}
{{- else if eq .part "embedder" -}}
  {{- $paths := list -}}
  {{- range $values.models.embedders }}{{ $paths = append $paths (printf "/models/%s" .) }}{{ end -}}
  {{- $_ := set $env "MODELS" (toJson $paths) -}}
{{- else if eq .part "classifier" -}}
  {{- $_ := set $env "MODELS" "/models" -}}
  {{- $_ := set $env "EMBEDDER" (first $values.models.embedders) -}}
{{- else if eq .part "search" -}}
  {{- $_ := set $env "SHARDS" "/etc/shiwu/shards/shards.yaml" -}}
  {{- with $values.milvus.secret }}{{ $_ := set $env "TOKEN" (dict "name" . "key" "token") }}{{ end -}}
{{- else if eq .part "catalog" -}}
  {{- $_ := set $env "DATABASE_URL" (dict "name" $values.database.secret "key" "url") -}}
  {{- $_ := set $env "IMPORTS__ERRORS" "/var/lib/shiwu/imports" -}}
  {{- if $values.catalog.feeds.claim }}{{ $_ := set $env "IMPORTS__ROOTS" (toJson (list "/feeds")) }}{{ end -}}
{{- end -}}
{{- $named := dict -}}
{{- range $name, $value := $env }}{{ $_ := set $named (printf "%s_%s" (upper $.part) $name) $value }}{{ end -}}
{{- toYaml (merge (dict) (get $values .part).settings $named) -}}
{{- end -}}

{{- define "shiwu.asksForAccess" -}}
{{- $access := .root.Values.access -}}
{{- if and (has .part $access.services) (or $access.keys.secret $access.jwt.jwks) }}yes{{ end -}}
{{- end -}}

{{- /* A map of that kind as a container's env. */ -}}
{{- define "shiwu.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  valueFrom: {secretKeyRef: {{ toJson $value }}}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}
