{{/* Labels of every object. */}}
{{- define "hotbay.labels" -}}
{{ include "hotbay.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hotbay
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels that find the operator's pods; a Deployment's may not change. */}}
{{- define "hotbay.selectorLabels" -}}
app.kubernetes.io/name: hotbay-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Name of what is not in a namespace: two releases would otherwise share it. */}}
{{- define "hotbay.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace .Values.serviceAccount.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* HOTBAY_REGISTRY_MIRRORS: prefix=URL,prefix=URL. */}}
{{- define "hotbay.registryMirrors" -}}
{{- $mirrors := list }}
{{- range $prefix, $url := .Values.registryMirrors }}
{{- $mirrors = append $mirrors (printf "%s=%s" $prefix $url) }}
{{- end }}
{{- join "," $mirrors }}
{{- end }}

{{/* Peers of a NetworkPolicy: every address but those of networkPolicy.egress.never. */}}
{{- define "hotbay.anywhere" -}}
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

{{/* Rules of a NetworkPolicy: the API server. Plugins see its Service's address and port or, later, its own. */}}
{{- define "hotbay.apiServer" -}}
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
{{- if .registries }}
- ports:
    - port: 443
  to:
    {{- include "hotbay.anywhere" $ | trim | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The bytes of a Kubernetes quantity, whole. A number of values.yaml comes as a float. */}}
{{- define "hotbay.bytes" -}}
{{- if not (kindIs "string" .) }}
{{- int64 . }}
{{- else }}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) | floor | int64 }}
{{- end }}
{{- end }}
