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
