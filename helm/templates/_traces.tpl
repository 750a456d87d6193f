{{/* Where spans go. Takes "root", "prefix" of the settings, and "ratio": whether this part begins traces of its own. */}}
{{- define "mimamori.tracesEnv" -}}
{{- with .root.Values.traces }}
{{- if .endpoint }}
- name: {{ $.prefix }}TRACES_ENDPOINT
  value: {{ .endpoint | quote }}
{{- if $.ratio }}
- name: {{ $.prefix }}TRACES_RATIO
  value: {{ .ratio | toJson | quote }}
{{- end }}
{{- if .existingSecret }}
- name: {{ $.prefix }}TRACES_HEADERS
  {{- include "mimamori.fromSecret" (dict "secret" .existingSecret "key" .headersKey) | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
