{{/* The source of /bundle/current: built or fetched by init containers, from a claim, or from an image. .root, .bundle */}}

{{- define "mimamori.bundleVolume" -}}
- name: bundle
  {{- if has .bundle.source (list "recipe" "fetch") }}
  emptyDir:
    sizeLimit: {{ get (get .bundle .bundle.source) "sizeLimit" }}
  {{- else if eq .bundle.source "claim" }}
  persistentVolumeClaim:
    claimName: {{ .bundle.claim.name }}
    readOnly: true
  {{- else }}
  image:
    reference: {{ .bundle.image.reference }}
    pullPolicy: {{ .bundle.image.pullPolicy }}
  {{- end }}
{{- if eq .bundle.source "fetch" }}
{{- with .bundle.fetch.volumes }}
{{ toYaml . }}
{{- end }}
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
  {{- if has .bundle.source (list "recipe" "fetch") }}
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

{{/* The init containers that bring the bundle, as a list; [] where it is mounted. They run again when the node restarts, on
     the same emptyDir: a bundle that was built is then only verified. */}}
{{- define "mimamori.bundleInit" -}}
{{- $bundle := .root.Values.bundle -}}
{{- if eq $bundle.source "recipe" -}}
- name: bundle
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [bundle, build, {{ $bundle.recipe.name | quote }}, --out, /bundle/current]
  {{- include "mimamori.containerSecurity" .root | nindent 2 }}
  resources:
    {{- toYaml $bundle.recipe.resources | nindent 4 }}
  volumeMounts:
    - name: bundle
      mountPath: /bundle
    - name: tmp
      mountPath: /tmp
    - name: cache
      mountPath: /var/cache/mimamori
{{- else if eq $bundle.source "fetch" -}}
- name: fetch
  image: {{ $bundle.fetch.image }}
  imagePullPolicy: {{ $bundle.fetch.pullPolicy }}
  {{- with $bundle.fetch.command }}
  command: {{ toJson . }}
  {{- end }}
  {{- with $bundle.fetch.args }}
  args: {{ toJson . }}
  {{- end }}
  env:
    - name: HOME
      value: /tmp
    {{- with $bundle.fetch.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "mimamori.containerSecurity" .root | nindent 2 }}
  resources:
    {{- toYaml $bundle.fetch.resources | nindent 4 }}
  volumeMounts:
    - name: bundle
      mountPath: /bundle
    - name: tmp
      mountPath: /tmp
    {{- with $bundle.fetch.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
- name: verify
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    - bundle
    - verify
    - /bundle/current
    {{- with $bundle.fingerprint }}
    - --fingerprint={{ . }}
    {{- end }}
    {{- if $bundle.publicKey }}
    - --public-key=/etc/mimamori/bundle/public.pem
    {{- end }}
  {{- include "mimamori.containerSecurity" .root | nindent 2 }}
  resources:
    {{- toYaml $bundle.fetch.resources | nindent 4 }}
  volumeMounts:
    {{- include "mimamori.bundleMount" (dict "root" .root "bundle" $bundle) | nindent 4 }}
    - name: tmp
      mountPath: /tmp
    - name: cache
      mountPath: /var/cache/mimamori
{{- else -}}
[]
{{- end -}}
{{- end -}}
