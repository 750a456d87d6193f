{{/* The source of /bundle/current: built by an init container, from a claim, or from an image. .root, .bundle */}}

{{- define "mimamori.bundleVolume" -}}
- name: bundle
  {{- if eq .bundle.source "recipe" }}
  emptyDir:
    sizeLimit: {{ .bundle.recipe.sizeLimit }}
  {{- else if eq .bundle.source "claim" }}
  persistentVolumeClaim:
    claimName: {{ .bundle.claim.name }}
    readOnly: true
  {{- else }}
  image:
    reference: {{ .bundle.image.reference }}
    pullPolicy: {{ .bundle.image.pullPolicy }}
  {{- end }}
{{- if .root.Values.bundle.publicKey }}
- name: bundle-key
  configMap:
    name: {{ include "mimamori.name" .root }}-bundle-key
{{- end }}
{{- end -}}

{{- define "mimamori.bundleMount" -}}
- name: bundle
  readOnly: true
  {{- if eq .bundle.source "recipe" }}
  mountPath: /bundle
  {{- else }}
  mountPath: /bundle/current
  {{- with get (get .bundle .bundle.source) "subPath" }}
  subPath: {{ . }}
  {{- end }}
  {{- end }}
{{- if .root.Values.bundle.publicKey }}
- name: bundle-key
  readOnly: true
  mountPath: /etc/mimamori/bundle
{{- end }}
{{- end -}}

{{/* The bundles beside `bundle`, each at /bundles/NAME, as JSON {"of": [{name, source, claim, image, fingerprint}]}. */}}

{{- define "mimamori.furtherBundles" -}}
{{- $further := .Values.moreBundles -}}
{{- if .Values.canary.enabled -}}
{{- $further = append $further (merge (dict "name" "canary") .Values.canary.bundle) -}}
{{- end -}}
{{- dict "of" $further | toJson -}}
{{- end -}}

{{- define "mimamori.furtherVolumes" -}}
{{- range (include "mimamori.furtherBundles" . | fromJson).of }}
- name: further-{{ .name }}
  {{- if eq .source "claim" }}
  persistentVolumeClaim:
    claimName: {{ dig "claim" "name" "" . }}
    readOnly: true
  {{- else }}
  image:
    reference: {{ dig "image" "reference" "" . }}
    pullPolicy: {{ dig "image" "pullPolicy" "IfNotPresent" . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "mimamori.furtherMounts" -}}
{{- range (include "mimamori.furtherBundles" . | fromJson).of }}
- name: further-{{ .name }}
  readOnly: true
  mountPath: /bundles/{{ .name }}
  {{- with dig .source "subPath" "" . }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* This runs again when the node restarts, on the same emptyDir; an existing bundle is then only verified. */}}
{{- define "mimamori.bundleInit" -}}
- name: bundle
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [bundle, build, {{ .root.Values.bundle.recipe.name | quote }}, --out, /bundle/current]
  {{- include "mimamori.containerSecurity" .root | nindent 2 }}
  resources:
    {{- toYaml .root.Values.bundle.recipe.resources | nindent 4 }}
  volumeMounts:
    - name: bundle
      mountPath: /bundle
    - name: tmp
      mountPath: /tmp
    - name: cache
      mountPath: /var/cache/mimamori
{{- end -}}
