{{- /* What several templates need. The templates below manifests/ are written by `python -m charts.generate`; these are not. */ -}}

{{- define "mesh-signer.image" -}}
{{- with .Values.image -}}
{{- .repository -}}
{{- if .digest -}}@{{ .digest }}{{- else -}}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* One option of `mesh-signer run`: (list NAME VALUE). Helm reads numbers as floats, and would write the large ones so. */ -}}
{{- define "mesh-signer.argument" -}}
{{- $value := index . 1 -}}
{{- if kindIs "slice" $value -}}{{- $value = join "," $value -}}{{- end -}}
{{- if kindIs "float64" $value -}}{{- $value = int64 $value -}}{{- end -}}
{{- printf "--%s=%v" (index . 0) $value | toJson -}}
{{- end -}}

{{- /* Ten seconds more than the program takes to finish what it has: 20 unless --drain-seconds says otherwise. */ -}}
{{- define "mesh-signer.gracePeriod" -}}
{{- $drain := index .Values.settings "drain-seconds" -}}
{{- add 10 (kindIs "invalid" $drain | ternary 20 (int64 $drain)) -}}
{{- end -}}
