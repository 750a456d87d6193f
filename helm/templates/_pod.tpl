{{/* The parts that every pod has. */}}

{{- define "mimamori.podBase" -}}
serviceAccountName: {{ .Values.serviceAccountName }}
automountServiceAccountToken: false
# A Service named mimamori would put MIMAMORI_PORT and the like into the environment, and the worker
# refuses to start on a MIMAMORI_ name that is not a setting.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "mimamori.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* .probe: periods and thresholds; .path. The port is always the container's `http`. */}}
{{- define "mimamori.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{ toYaml .probe }}
{{- end -}}

{{/* Reads one key of an existing secret. .secret, .key */}}
{{- define "mimamori.fromSecret" -}}
valueFrom:
  secretKeyRef:
    name: {{ .secret }}
    key: {{ .key }}
{{- end -}}
