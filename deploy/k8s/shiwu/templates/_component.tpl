{{- /* All that one service is: (dict "root" $ "part" "gateway"). */ -}}
{{- define "shiwu.component" -}}
{{- $own := get .root.Values .part -}}
{{- $me := get (include "shiwu.mesh" . | fromYaml) .part -}}
{{ include "shiwu.deployment" . }}
---
# Without an address of its own: names lead to all pods, over which callers spread their calls.
apiVersion: v1
kind: Service
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "shiwu.selector" . | nindent 4 }}
  ports:
    - {name: grpc, port: {{ $me.port }}, targetPort: grpc, appProtocol: grpc}
    - {name: metrics, port: 9090, targetPort: metrics}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "shiwu.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "shiwu.selector" . | nindent 6 }}
{{- with $own.autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "shiwu.metadata" $ | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "shiwu.fullname" $.root }}-{{ $.part }}}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  behavior:
    # Quick to grow; slow to shrink, for each pod that goes has calls to finish.
    scaleDown: {stabilizationWindowSeconds: 300, policies: [{type: Pods, value: 1, periodSeconds: 60}]}
  metrics:
    {{- if not (or .cpu .pods) }}{{ fail (printf "%s.autoscaling needs cpu, pods or both" $.part) }}{{ end }}
    {{- with .cpu }}
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ . }}}}}
    {{- end }}
    {{- with .pods }}
    - {type: Pods, pods: {metric: {name: {{ .name }}}, target: {type: AverageValue, averageValue: {{ .averageValue | quote }}}}}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}
