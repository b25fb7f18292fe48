{{/* Names. The webhook's configuration and certificate Secret are named after its Service: the controller relies on it. */}}
{{- define "gatepost.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains "gatepost" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-gatepost" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "gatepost.serviceName" -}}{{ include "gatepost.fullname" . }}-webhook{{- end -}}
{{- define "gatepost.certificateSecret" -}}{{ include "gatepost.serviceName" . }}-cert{{- end -}}

{{- define "gatepost.selectorLabels" -}}
app.kubernetes.io/name: gatepost
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "gatepost.labels" -}}
{{ include "gatepost.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* image: (dict "image" .Values.image.sidecar "chart" .Chart) */}}
{{- define "gatepost.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}{{ with .image.tag }}:{{ . }}{{ end }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "gatepost.sidecarImage" -}}{{ include "gatepost.image" (dict "image" .Values.image.sidecar "chart" .Chart) }}{{- end -}}

{{- define "gatepost.issuerImage" -}}{{ include "gatepost.image" (dict "image" .Values.image.issuer "chart" .Chart) }}{{- end -}}

{{/*
Namespaces that admission looks at: never kube-system nor our own, and only the
watched ones where there is a list. Expressions of a namespaceSelector.
*/}}
{{- define "gatepost.namespaceExpressions" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ uniq (list "kube-system" .Release.Namespace) | toJson }}
{{- with .Values.watchNamespaces }}
- key: kubernetes.io/metadata.name
  operator: In
  values: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* Rights that the reconcilers need where they look after objects. */}}
{{- define "gatepost.rules" -}}
- apiGroups: [gatepost.dev]
  resources: [agentauthpolicies, apikeys, signingkeys, tokenissuers]
  verbs: [get, list, watch]
- apiGroups: [gatepost.dev]
  resources: [agentauthpolicies/status, apikeys/status, signingkeys/status, tokenissuers/status]
  verbs: [patch]
# Secrets: metadata is watched, content is read one by one (those that policies,
# keys and issuers name), state, bundle and export Secrets are written.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
# Patch: the annotation gatepost.dev/bundle-revision and nothing else, which a
# ValidatingAdmissionPolicy sees to.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# What runs a TokenIssuer, and nothing else, which a ValidatingAdmissionPolicy sees
# to. Whatever is to go goes with its TokenIssuer.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
{{- end -}}
