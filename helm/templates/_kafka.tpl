{{/* How pods reach Kafka. The values describe it once; librdkafka, the review desk and KEDA need it in three forms. */}}

{{- define "mimamori.sasl" -}}{{- if hasPrefix "SASL_" .Values.kafka.security.protocol }}true{{ end -}}{{- end -}}
{{- define "mimamori.tls" -}}{{- if hasSuffix "SSL" .Values.kafka.security.protocol }}true{{ end -}}{{- end -}}

{{/* The PEM files to mount, as key → path, where the protocol has TLS and keys are named. JSON. */}}
{{- define "mimamori.pems" -}}
{{- $security := .Values.kafka.security -}}
{{- $pems := dict -}}
{{- if include "mimamori.tls" . -}}
{{- range $key, $path := dict "caKey" "ca.crt" "certificateKey" "tls.crt" "privateKeyKey" "tls.key" -}}
{{- with get $security $key -}}{{- $_ := set $pems . $path -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $pems -}}
{{- end -}}

{{/* The secret with the credentials of a part: its own, or else the one of all. Takes "root" and "part". */}}
{{- define "mimamori.kafkaSecret" -}}
{{- $security := .root.Values.kafka.security -}}
{{- get $security.existingSecrets .part | default $security.existingSecret -}}
{{- end -}}

{{/* Environment of the worker and the topics job. Takes "root" and "part". Kubernetes fills in $(KAFKA_…) from the secret when the
     container starts, so no manifest ever holds a credential. */}}
{{- define "mimamori.kafkaEnv" -}}
{{- $secret := include "mimamori.kafkaSecret" . -}}
{{- with .root -}}
{{- $security := .Values.kafka.security -}}
{{- $config := deepCopy .Values.kafka.config -}}
{{- $_ := set $config "security.protocol" $security.protocol -}}
{{- if include "mimamori.sasl" . -}}
{{- $_ := set $config "sasl.mechanism" $security.saslMechanism -}}
{{- $_ := set $config "sasl.username" "$(KAFKA_USERNAME)" -}}
{{- $_ := set $config "sasl.password" "$(KAFKA_PASSWORD)" }}
- name: KAFKA_USERNAME
  {{- include "mimamori.fromSecret" (dict "secret" $secret "key" $security.usernameKey) | nindent 2 }}
- name: KAFKA_PASSWORD
  {{- include "mimamori.fromSecret" (dict "secret" $secret "key" $security.passwordKey) | nindent 2 }}
{{- end }}
{{- if include "mimamori.tls" . -}}
{{- range $key, $option := dict "caKey" "ssl.ca.location" "certificateKey" "ssl.certificate.location" "privateKeyKey" "ssl.key.location" -}}
{{- with get $security $key -}}
{{- $_ := set $config $option (printf "/etc/mimamori/kafka/%s" (get (include "mimamori.pems" $.root | fromJson) .)) -}}
{{- end -}}
{{- end -}}
{{- end }}
- name: MIMAMORI_BOOTSTRAP
  value: {{ .Values.kafka.bootstrap | quote }}
- name: MIMAMORI_TOPIC_PREFIX
  value: {{ .Values.kafka.topicPrefix | quote }}
- name: MIMAMORI_KAFKA
  value: {{ toJson $config | quote }}
{{- with .Values.allowInsecure }}
- name: MIMAMORI_ALLOW_INSECURE
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Credentials of the review desk, each as a setting of its own. */}}
{{- define "mimamori.reviewKafkaEnv" -}}
{{- $secret := include "mimamori.kafkaSecret" (dict "root" . "part" "review") -}}
{{- $security := .Values.kafka.security -}}
{{- if include "mimamori.sasl" . }}
- name: MIMAMORI_REVIEW_SASL_USERNAME
  {{- include "mimamori.fromSecret" (dict "secret" $secret "key" $security.usernameKey) | nindent 2 }}
- name: MIMAMORI_REVIEW_SASL_PASSWORD
  {{- include "mimamori.fromSecret" (dict "secret" $secret "key" $security.passwordKey) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the desk shows the identity provider. */}}
{{- define "mimamori.reviewAccessEnv" -}}
{{- $access := .Values.review.access -}}
{{- if and (eq $access.mode "oidc") $access.existingSecret $access.clientSecretKey }}
- name: MIMAMORI_REVIEW_OIDC_CLIENT_SECRET
  {{- include "mimamori.fromSecret" (dict "secret" $access.existingSecret "key" $access.clientSecretKey) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What signs webhooks, where any are sent. */}}
{{- define "mimamori.reviewWebhooksEnv" -}}
{{- with .Values.review.webhooks -}}
{{- if .url }}
- name: MIMAMORI_REVIEW_WEBHOOK_SECRET
  {{- include "mimamori.fromSecret" (dict "secret" .existingSecret "key" .secretKey) | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Takes "root" and "part". */}}
{{- define "mimamori.pemVolume" -}}
{{- with include "mimamori.pems" .root | fromJson -}}
- name: kafka-tls
  secret:
    secretName: {{ include "mimamori.kafkaSecret" $ }}
    defaultMode: 0440
    items:
      {{- range $key, $path := . }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end -}}
{{- end -}}

{{- define "mimamori.pemMount" -}}
{{- if include "mimamori.pems" . | fromJson -}}
- name: kafka-tls
  mountPath: /etc/mimamori/kafka
  readOnly: true
{{- end -}}
{{- end -}}
