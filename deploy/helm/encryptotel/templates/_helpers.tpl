{{- define "labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meta" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 5060
  runAsGroup: 5060
  fsGroup: 5060
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "container" -}}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "hostIP" -}}
- name: HOST_IP
  valueFrom: { fieldRef: { fieldPath: status.hostIP } }
{{- end }}

{{- /* The nodes as Kamailio wants them, from the name that all of their addresses stand under. */ -}}
{{- define "nodesList" -}}
getent ahostsv4 {{ .Release.Name }}-nodes.{{ .Release.Namespace }}.svc | awk '{ print "1 sip:" $1 ":5060" }' | sort -u
{{- end }}

{{- define "answersSip" -}}
timeoutSeconds: 5
exec:
  command:
    - bash
    - -c
    - |
      exec 3<>"/dev/udp/$POD_IP/5060"
      printf '%s\r\n' "OPTIONS sip:$POD_IP SIP/2.0" "Via: SIP/2.0/UDP $POD_IP:9;rport;branch=z9hG4bK$RANDOM$RANDOM" \
        "Max-Forwards: 70" "From: <sip:probe@$POD_IP>;tag=$RANDOM" "To: <sip:$POD_IP>" "Call-ID: probe$RANDOM$RANDOM" \
        "CSeq: 1 OPTIONS" "Content-Length: 0" "" | dd bs=4096 iflag=fullblock status=none >&3 # one datagram
      [ "$(timeout 3 head -c 11 <&3)" = "SIP/2.0 200" ]
{{- end }}

{{- /* Where each host of the edge has an rtpengine, as [media] rtpengines. */ -}}
{{- define "engines" -}}
[{{ range $at, $one := .Values.edge.addresses }}{{ if $at }}, {{ end }}"{{ $one }}:2223"{{ end }}]
{{- end }}
