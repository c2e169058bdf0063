{{- define "polycall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters: a StatefulSet adds a hash of eleven to the names of its revisions, and pods are names of hosts. */}}
{{- define "polycall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "polycall.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "polycall.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "polycall.servers" -}}{{ include "polycall.fullname" . }}-servers{{- end -}}
{{- define "polycall.gateway" -}}{{ include "polycall.fullname" . }}-gateway{{- end -}}

{{- define "polycall.selector" -}}
app.kubernetes.io/name: {{ include "polycall.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "polycall.labels" -}}
{{ include "polycall.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "polycall.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "polycall.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "polycall.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "polycall.secret" -}}
{{- required "existingSecret is required: the name of a Secret with the database URL, the encryption key and the bootstrap key" .Values.existingSecret -}}
{{- end -}}

{{/* As many names as there can ever be servers: names that do not resolve yet are passed over. */}}
{{- define "polycall.mostServers" -}}
{{- if eq .Values.autoscaling.mode "none" -}}
{{ .Values.server.replicas }}
{{- else -}}
{{ .Values.autoscaling.maxReplicas }}
{{- end -}}
{{- end -}}

{{- define "polycall.replicas" -}}
{{- $servers := include "polycall.servers" . -}}
{{- $names := list -}}
{{- range $index := until (int (include "polycall.mostServers" .)) -}}
{{- $names = append $names (printf "%s-%d.%s.%s.svc.%s:50052" $servers $index $servers $.Release.Namespace $.Values.clusterDomain) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{- define "polycall.floor" -}}
{{- get (dict "confined" "1" "namespaced" "2" "contained" "3") .Values.isolation.level -}}
{{- end -}}

{{/* What the server's container may do, by level. What runs in the sandbox has a filter and walls of its own. */}}
{{- define "polycall.securityContext" -}}
{{- if eq .Values.isolation.level "contained" -}}
# writes cgroups, which takes a privileged container; the pod's user namespace makes its root nobody on the node
privileged: true
runAsUser: 0
runAsNonRoot: false
readOnlyRootFilesystem: true
{{- else -}}
runAsUser: 10001
runAsGroup: 10001
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- if eq .Values.isolation.level "namespaced" }}
seccompProfile:
  {{- toYaml .Values.isolation.seccompProfile | nindent 2 }}
# the default profile of containerd and Docker forbids mounts, also those within a user namespace
appArmorProfile:
  type: Unconfined
{{- if .Values.isolation.unmaskProc }}
procMount: Unmasked
{{- end }}
{{- else }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- end -}}
{{- end -}}

{{/* Numbers of YAML are floats to Helm, which would write 10000000 as 1e+07. */}}
{{- define "polycall.settings" -}}
{{- range $name, $value := . }}
{{- $text := toString $value }}
{{- if kindIs "float64" $value }}
{{- $text = eq (floor $value) $value | ternary (printf "%.0f" $value) (toString $value) }}
{{- end }}
- name: POLYCALL_{{ upper $name }}
  value: {{ $text | quote }}
{{- end }}
{{- end -}}
