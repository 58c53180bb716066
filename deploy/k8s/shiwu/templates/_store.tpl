{{- /* One store with its Service and account: root, part, kind, replicas, user, ports and mounts by name, env, command,
       alive and ready (probes), volumes, and values: its image, resources and, for a StatefulSet, storage. */ -}}
{{- define "shiwu.store" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "shiwu.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
    {{- end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: {{ .kind }}
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
spec:
  replicas: {{ .replicas }}
  {{- if eq .kind "StatefulSet" }}
  serviceName: {{ include "shiwu.fullname" .root }}-{{ .part }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "shiwu.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "shiwu.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "shiwu.fullname" .root }}-{{ .part }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext:
        {{- include "shiwu.podSecurity" .user | nindent 8 }}
      {{- with .root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .part }}
          image: {{ .values.image }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- with .command }}
          command: {{ toJson . }}
          {{- end }}
          {{- with .env }}
          env:
            {{- include "shiwu.env" . | trim | nindent 12 }}
          {{- end }}
          ports:
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          startupProbe: {{ merge (dict "periodSeconds" 5 "failureThreshold" 60) .ready | toJson }}
          livenessProbe: {{ merge (dict "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 6) .alive | toJson }}
          readinessProbe: {{ merge (dict "periodSeconds" 5 "timeoutSeconds" 3) .ready | toJson }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "shiwu.containerSecurity" . | nindent 12 }}
          volumeMounts:
            {{- range $name, $path := .mounts }}
            - {name: {{ $name }}, mountPath: {{ $path }}}
            {{- end }}
      volumes:
        {{- toYaml .volumes | nindent 8 }}
  {{- with .values.storage }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .className }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .size }}}}
  {{- end }}
{{- end -}}
