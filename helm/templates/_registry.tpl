{{/* How workers, shadows and the job that registers reach a schema registry. Secrets are files, so that what is renewed
     reaches running pods. */}}

{{/* Whether the job before install and upgrade registers the schema of labels. */}}
{{- define "mimamori.registers" -}}
{{- with .Values.schemaRegistry -}}{{- if and .register.enabled (ne .labelFormat "plain") }}true{{ end -}}{{- end -}}
{{- end -}}

{{/* The secret with the credentials of a part: its own, or else the one of all. Takes "root" and "part". */}}
{{- define "mimamori.registrySecret" -}}
{{- $registry := .root.Values.schemaRegistry -}}
{{- eq .part "schemas" | ternary $registry.register.existingSecret "" | default $registry.existingSecret -}}
{{- end -}}

{{/* What is mounted of the secret, as setting → key and file, where a key is named. JSON. */}}
{{- define "mimamori.registryFiles" -}}
{{- $registry := .Values.schemaRegistry -}}
{{- $files := dict -}}
{{- if $registry.url -}}
{{- with $registry.passwordKey -}}{{- $_ := set $files "PASSWORD_FILE" (dict "key" . "path" "password") -}}{{- end -}}
{{- with $registry.tokenKey -}}{{- $_ := set $files "TOKEN_FILE" (dict "key" . "path" "token") -}}{{- end -}}
{{- with $registry.caKey -}}{{- $_ := set $files "CA" (dict "key" . "path" "ca.crt") -}}{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* Takes "root" and "part". */}}
{{- define "mimamori.registryEnv" -}}
{{- with .root.Values.schemaRegistry }}
{{- if .url }}
- name: MIMAMORI_SCHEMA_REGISTRY_URL
  value: {{ .url | quote }}
{{- if ne .labelFormat "plain" }}
- name: MIMAMORI_LABEL_FORMAT
  value: {{ .labelFormat }}
{{- end }}
{{- if .userKey }}
- name: MIMAMORI_SCHEMA_REGISTRY_USER
  {{- include "mimamori.fromSecret" (dict "secret" (include "mimamori.registrySecret" $) "key" .userKey) | nindent 2 }}
{{- end }}
{{- range $setting, $file := include "mimamori.registryFiles" $.root | fromJson }}
- name: MIMAMORI_SCHEMA_REGISTRY_{{ $setting }}
  value: /etc/mimamori/registry/{{ $file.path }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Takes "root" and "part". */}}
{{- define "mimamori.registryVolumes" -}}
{{- with include "mimamori.registryFiles" .root | fromJson -}}
- name: registry
  secret:
    secretName: {{ include "mimamori.registrySecret" $ }}
    defaultMode: 0440
    items:
      {{- range $_, $file := . }}
      - key: {{ $file.key }}
        path: {{ $file.path }}
      {{- end }}
{{- end -}}
{{- end -}}

{{- define "mimamori.registryMounts" -}}
{{- if include "mimamori.registryFiles" . | fromJson -}}
- name: registry
  mountPath: /etc/mimamori/registry
  readOnly: true
{{- end -}}
{{- end -}}
