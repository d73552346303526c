{{/* The name of everything of the operator: the release's, told apart from others. */}}
{{- define "recloser.name" -}}
{{- if contains "recloser" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-recloser" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end }}
{{- end }}

{{/* The labels that select the operator's pods. Gateways let in pods with the first. */}}
{{- define "recloser.selector" -}}
app.kubernetes.io/name: recloser-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "recloser.labels" -}}
{{ include "recloser.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "recloser.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "recloser.name" .) .Values.serviceAccount.name }}{{ else }}{{ required "serviceAccount.name is needed with serviceAccount.create: false" .Values.serviceAccount.name }}{{ end }}
{{- end }}
