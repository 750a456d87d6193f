{{/* How pods reach Kafka. The values describe it once; librdkafka, the review desk and KEDA need it in three forms. */}}

{{- define "mimamori.sasl" -}}{{- if hasPrefix "SASL_" .Values.kafka.security.protocol }}true{{ end -}}{{- end -}}
{{- define "mimamori.tls" -}}{{- if hasSuffix "SSL" .Values.kafka.security.protocol }}true{{ end -}}{{- end -}}

{{/* Whether clients log in by a token of their pod's service account, and so without a secret. */}}
{{- define "mimamori.podToken" -}}
{{- if and (include "mimamori.sasl" .) (eq .Values.kafka.security.saslMechanism "OAUTHBEARER") .Values.kafka.security.oauth.serviceAccountAudience }}true{{ end -}}
{{- end -}}

{{/* What is mounted of the secret, as setting → key and file, where the protocol uses it and a key is named. JSON. They are
     files and no variables, so that what is renewed in the secret reaches the pods that run. */}}
{{- define "mimamori.kafkaFiles" -}}
{{- $security := .Values.kafka.security -}}
{{- $files := dict -}}
{{- if include "mimamori.tls" . -}}
{{- $_ := set $files "SSL_CA" (dict "key" $security.caKey "path" "ca.crt") -}}
{{- $_ := set $files "SSL_CERTIFICATE" (dict "key" $security.certificateKey "path" "tls.crt") -}}
{{- $_ := set $files "SSL_KEY" (dict "key" $security.privateKeyKey "path" "tls.key") -}}
{{- $_ := set $files "SSL_KEY_PASSWORD_FILE" (dict "key" $security.privateKeyPasswordKey "path" "tls.key.password") -}}
{{- end -}}
{{- if and (include "mimamori.sasl" .) (not (include "mimamori.podToken" .)) -}}
{{- $_ := set $files "SASL_PASSWORD_FILE" (dict "key" $security.passwordKey "path" "password") -}}
{{- if eq $security.saslMechanism "OAUTHBEARER" -}}
{{- $_ := set $files "SASL_TOKEN_CA" (dict "key" $security.oauth.caKey "path" "token-ca.crt") -}}
{{- end -}}
{{- end -}}
{{- range $setting, $file := $files -}}
{{- if not $file.key -}}{{- $_ := unset $files $setting -}}{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* The secret with the credentials of a part: its own, or else the one of all. Takes "root" and "part". */}}
{{- define "mimamori.kafkaSecret" -}}
{{- $security := .root.Values.kafka.security -}}
{{- get $security.existingSecrets .part | default $security.existingSecret | default (include "mimamori.strimziUser" .) -}}
{{- end -}}

{{/* The KafkaUser of a part, and Strimzi's secret of that name, where that lies in the release's namespace. */}}
{{- define "mimamori.strimziUser" -}}
{{- $strimzi := .root.Values.strimzi -}}
{{- if and $strimzi.users.enabled (ne .part "topics") (ne $strimzi.users.authentication "tls-external") (has $strimzi.namespace (list "" .root.Release.Namespace)) -}}
{{- printf "%s-%s" (include "mimamori.name" .root) .part -}}
{{- end -}}
{{- end -}}

{{/* librdkafka's further settings of a part. Static members are known by their pod's name, which the kubelet fills in. */}}
{{- define "mimamori.kafkaConfig" -}}
{{- $config := deepCopy .root.Values.kafka.config -}}
{{- $worker := .root.Values.worker -}}
{{- if and (eq .part "worker") $worker.staticMembership.enabled -}}
{{- $_ := set $config "group.instance.id" "$(POD_NAMESPACE).$(POD_NAME)" -}}
{{- if ne (dig "group_protocol" "classic" $worker.settings) "consumer" -}}
{{- $_ := set $config "session.timeout.ms" (mul 1000 (int $worker.staticMembership.sessionTimeoutSeconds)) -}}
{{- end -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* How one part gets access to Kafka. Takes "root", "part" and "prefix", that of the part's settings. */}}
{{- define "mimamori.kafkaAccess" -}}
{{- $secret := include "mimamori.kafkaSecret" . -}}
{{- $security := .root.Values.kafka.security -}}
{{- $prefix := .prefix -}}
- name: {{ $prefix }}SECURITY_PROTOCOL
  value: {{ $security.protocol }}
{{- if include "mimamori.sasl" .root }}
- name: {{ $prefix }}SASL_MECHANISM
  value: {{ $security.saslMechanism }}
{{- if include "mimamori.podToken" .root }}
- name: {{ $prefix }}SASL_TOKEN_FILE
  value: /etc/mimamori/kafka-token/token
{{- else }}
- name: {{ $prefix }}SASL_USERNAME
  {{- /* Strimzi's secret has no user name: it is the secret's own. */}}
  {{- if eq $secret (include "mimamori.strimziUser" .) }}
  value: {{ $secret }}
  {{- else }}
  {{- include "mimamori.fromSecret" (dict "secret" $secret "key" $security.usernameKey) | nindent 2 }}
  {{- end }}
{{- if eq $security.saslMechanism "OAUTHBEARER" }}
- name: {{ $prefix }}SASL_TOKEN_URL
  value: {{ $security.oauth.tokenUrl | quote }}
{{- with $security.oauth.scope }}
- name: {{ $prefix }}SASL_TOKEN_SCOPE
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $setting, $file := include "mimamori.kafkaFiles" .root | fromJson }}
- name: {{ $prefix }}{{ $setting }}
  value: /etc/mimamori/kafka/{{ $file.path }}
{{- end }}
{{- end -}}

{{/* Environment of the worker and the topics job. Takes "root" and "part". */}}
{{- define "mimamori.kafkaEnv" -}}
{{- include "mimamori.kafkaAccess" (dict "root" .root "part" .part "prefix" "MIMAMORI_") }}
{{- with .root }}
- name: MIMAMORI_BOOTSTRAP
  value: {{ .Values.kafka.bootstrap | quote }}
- name: MIMAMORI_TOPIC_PREFIX
  value: {{ .Values.kafka.topicPrefix | quote }}
{{- with include "mimamori.kafkaConfig" $ | fromJson }}
- name: MIMAMORI_KAFKA
  value: {{ toJson . | quote }}
{{- end }}
{{- with without .Values.allowInsecure "plaintext_front" }}
- name: MIMAMORI_ALLOW_INSECURE
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Environment of the review desk. */}}
{{- define "mimamori.reviewKafkaEnv" -}}
{{- include "mimamori.kafkaAccess" (dict "root" . "part" "review" "prefix" "MIMAMORI_REVIEW_") }}
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

{{/* Takes "root" and "part". No subPath is used: Kubernetes does not renew what is mounted by one. */}}
{{- define "mimamori.kafkaVolumes" -}}
{{- with include "mimamori.kafkaFiles" .root | fromJson -}}
{{- $apart := and (hasKey . "SSL_CA") $.root.Values.kafka.security.caSecret -}}
- name: kafka
  {{- if $apart }}
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ $apart }}
          items:
            - { key: {{ .SSL_CA.key }}, path: {{ .SSL_CA.path }} }
      {{- with omit . "SSL_CA" }}
      - secret:
          name: {{ include "mimamori.kafkaSecret" $ }}
          items:
            {{- range $_, $file := . }}
            - { key: {{ $file.key }}, path: {{ $file.path }} }
            {{- end }}
      {{- end }}
  {{- else }}
  secret:
    secretName: {{ include "mimamori.kafkaSecret" $ }}
    defaultMode: 0440
    items:
      {{- range $_, $file := . }}
      - key: {{ $file.key }}
        path: {{ $file.path }}
      {{- end }}
  {{- end }}
{{ end -}}
{{- if include "mimamori.podToken" .root -}}
- name: kafka-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: {{ .root.Values.kafka.security.oauth.serviceAccountAudience | quote }}
          expirationSeconds: {{ .root.Values.kafka.security.oauth.serviceAccountTokenSeconds }}
          path: token
{{- end -}}
{{- end -}}

{{- define "mimamori.kafkaMounts" -}}
{{- if include "mimamori.kafkaFiles" . | fromJson -}}
- name: kafka
  mountPath: /etc/mimamori/kafka
  readOnly: true
{{ end -}}
{{- if include "mimamori.podToken" . -}}
- name: kafka-token
  mountPath: /etc/mimamori/kafka-token
  readOnly: true
{{- end -}}
{{- end -}}
