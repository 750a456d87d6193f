{{/* The job that Prometheus gives the pods: what the operator makes of the chart's PodMonitor, where no other is named. */}}
{{- define "mimamori.scrapedJob" -}}
{{- .Values.prometheusRule.job | default (printf "%s/%s" .Release.Namespace (include "mimamori.name" .)) -}}
{{- end -}}

{{/* An expression with a matcher added to each series of it: to those with matchers of their own, then to the others. */}}
{{- define "mimamori.ofThisRelease" -}}
{{- $matched := regexReplaceAll "(mimamori[_:][a-z0-9_:]+)" .expr (printf "${1}{%s}" .matcher) -}}
{{- replace "}{" ", " $matched -}}
{{- end -}}
