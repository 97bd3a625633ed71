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

{{/* Start of the names of the pool's admission policies, which are in no namespace. No part can hold a dot. */}}
{{- define "hotbay-runtime.policy" -}}
{{ printf "hotbay.%s.%s" .Release.Namespace .Values.pool }}
{{- end }}

{{/* A selector of the pool's namespace; the API server sets this label itself. */}}
{{- define "hotbay-runtime.ownNamespace" -}}
matchLabels:
  kubernetes.io/metadata.name: {{ .Release.Namespace }}
{{- end }}

{{/* Peers of a NetworkPolicy: every address but those of networkPolicy.egress.never. */}}
{{- define "hotbay-runtime.anywhere" -}}
{{- $never := dict "0.0.0.0/0" list "::/0" list }}
{{- range .Values.networkPolicy.egress.never }}
{{- $all := ternary "::/0" "0.0.0.0/0" (contains ":" .) }}
{{- $_ := set $never $all (append (get $never $all) .) }}
{{- end }}
{{- range $all, $except := $never }}
- ipBlock:
    cidr: {{ $all | quote }}
    {{- with $except }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Rules of a NetworkPolicy: the API server, for the agent. Plugins see its Service's address and port or, later, its own. */}}
{{- define "hotbay-runtime.apiServer" -}}
{{- with .Values.networkPolicy.egress }}
{{- if .apiServer }}
# the API server, by its addresses
- ports:
    - port: 443
    - port: {{ .apiServerPort }}
  to:
    {{- range .apiServer }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
{{- else }}
# The API server, wherever it is. Some plugins (Cilium) match a node by no address, so its own port is open to all of them.
- ports:
    - port: {{ .apiServerPort }}
{{- if not .open }}
- ports:
    - port: 443
  to:
    {{- include "hotbay-runtime.anywhere" $ | trim | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The bytes of a Kubernetes quantity, whole. A number of values.yaml comes as a float. */}}
{{- define "hotbay-runtime.bytes" -}}
{{- if not (kindIs "string" .) }}
{{- int64 . }}
{{- else }}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) | floor | int64 }}
{{- end }}
{{- end }}
