{{- /* (dict "root" $ "part" "gateway") */ -}}
{{- define "shiwu.deployment" -}}
{{- $values := .root.Values -}}
{{- $own := get $values .part -}}
{{- $me := get (include "shiwu.mesh" . | fromYaml) .part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
spec:
  {{- if not $own.autoscaling.enabled }}
  replicas: {{ $own.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A pod goes only when its successor serves, and clients have found that: they look again every two seconds.
  minReadySeconds: 5
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels:
      {{- include "shiwu.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "shiwu.labels" . | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- if eq .part "search" }}
        checksum/shards: {{ include "shiwu.shardMap" .root | sha256sum }}
        {{- end }}
        kubectl.kubernetes.io/default-container: {{ .part }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "shiwu.podBasics" . | nindent 6 }}
      # What the kubelet must not cut short: the notice, the drain, and the end of the process.
      terminationGracePeriodSeconds: {{ add $values.drain.notice $values.drain.grace 10 }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "shiwu.selector" $ | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- $init := include "shiwu.initContainers" . }}
      {{- if trim $init }}
      initContainers:
        {{- $init | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .part }}
          image: {{ include "shiwu.image" (dict "root" .root "image" .part) }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          env:
            {{- include "shiwu.environment" . | fromYaml | include "shiwu.env" | trim | nindent 12 }}
          ports:
            - {name: grpc, containerPort: {{ $me.port }}}
            - {name: metrics, containerPort: 9090}
            - {name: health, containerPort: 9091}
          # The server listens when its models are loaded. It is alive while it answers, whatever it waits for: no
          # restart would bring a store back. It is ready while it serves.
          startupProbe:
            grpc: {port: 9091, service: liveness}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            grpc: {port: 9091, service: liveness}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            grpc: {port: 9091}
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          lifecycle:
            preStop: {sleep: {seconds: {{ $values.drain.notice }}}}
          resources:
            {{- toYaml $own.resources | nindent 12 }}
          securityContext:
            {{- include "shiwu.containerSecurity" . | nindent 12 }}
          volumeMounts:
            {{- include "shiwu.mounts" . | nindent 12 }}
      volumes:
        {{- include "shiwu.volumes" . | nindent 8 }}
{{- end -}}

{{- /* What the pods of services and of the migration share. */ -}}
{{- define "shiwu.podBasics" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "shiwu.fullname" .root }}-{{ .part }}
automountServiceAccountToken: false
# Its variables, DETECTOR_PORT and the like, would be unknown settings.
enableServiceLinks: false
securityContext:
  {{- include "shiwu.podSecurity" 65532 | nindent 2 }}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "shiwu.initContainers" -}}
{{- $values := .root.Values -}}
{{- if and (get (include "shiwu.mesh" . | fromYaml) .part).models (eq $values.models.source "init") -}}
- name: models
  image: {{ include "shiwu.image" (dict "root" .root "image" "models") }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  command: [cp, --recursive, /models/., /to]
  resources:
    requests: {cpu: 50m, memory: 32Mi}
    limits: {memory: 128Mi}
  securityContext:
    {{- include "shiwu.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /to}
{{- end }}
{{- if and (eq .part "catalog") $values.database.bundled.enabled -}}
# The bundled database starts with this pod, too late for a hook. Pods that migrate at once wait for each other.
{{ include "shiwu.migrate" . }}
{{- end }}
{{- end -}}

{{- define "shiwu.migrate" -}}
{{- $values := .root.Values -}}
- name: migrate
  image: {{ include "shiwu.image" (dict "root" .root "image" "catalog") }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args: [migrate]
  env:
    {{- include "shiwu.env" (dict "CATALOG_DATABASE_URL" (dict "name" $values.database.secret "key" "url")) | trim | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  securityContext:
    {{- include "shiwu.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end -}}
