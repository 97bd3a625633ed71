{{/* Name of the pool's Deployment, Service and account. */}}
{{- define "hotbay-runtime.name" -}}
{{- $pool := required "pool, the name of the pool, is empty" .Values.pool }}
{{- if gt (len $pool) 50 }}{{ fail "pool has more than 50 characters" }}{{ end }}
{{- printf "hotbay-%s" $pool }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "hotbay-runtime.labels" -}}
{{ include "hotbay-runtime.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hotbay
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels that find the pool's pods; a Deployment's may not change. */}}
{{- define "hotbay-runtime.selectorLabels" -}}
app.kubernetes.io/name: hotbay-runtime
app.kubernetes.io/instance: {{ .Release.Name }}
hotbay.dev/pool: {{ .Values.pool | quote }}
{{- end }}

{{- define "hotbay-runtime.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What Pod Security restricted wants of a container, and a root file system that nothing can change. */}}
{{- define "hotbay-runtime.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
