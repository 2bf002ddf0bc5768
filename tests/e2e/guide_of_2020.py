"""What a guide of 2020 has its reader apply on Istio 1.5 with cert-manager 0.13, word for word in what counts.

https, with a redirect from port 80, for one host on the ingress gateway; the Certificate is written by hand, beside the
gateway. The guide's own application is the one that its VirtualService leads to.
"""

HOST = "application.sample.com"
MANIFESTS = """
apiVersion: cert-manager.io/v1alpha2
kind: ClusterIssuer
metadata:
 name: letsencrypt-staging
 namespace: cert-manager
spec:
 acme:
   # The ACME server URL
   server: https://acme-staging-v02.api.letsencrypt.org/directory
   # Email address used for ACME registration
   email: someone@example.com
   # Name of a secret used to store the ACME account private key
   privateKeySecretRef:
     name: letsencrypt-staging
   # Enable the HTTP-01 challenge provider
   solvers:
     - selector: {}
       http01:
           ingress:
             class: istio
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
 name: bookinfo
 namespace: apps
spec:
 hosts:
 - "application.sample.com"
 gateways:
 - istio-system/application-gateway
 http:
 - match:
   - uri:
       exact: /productpage
   - uri:
       prefix: /static
   - uri:
       exact: /login
   - uri:
       exact: /logout
   - uri:
       prefix: /api/v1/products
   route:
   - destination:
       host: productpage
       port:
         number: 9080
---
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata:
 name: application-gateway
 namespace: istio-system
 labels:
   release: istio
 annotations:
   externaldns: ssl
spec:
 selector:
   istio: ingressgateway-ssl # use istio default controller
 servers:
 - port:
     number: 443
     name: https
     protocol: HTTPS
   hosts:
   - "application.sample.com"
   tls:
     credentialName: application.sample.com
     mode: SIMPLE # enables HTTPS on this port

 - port:
     number: 80
     name: http
     protocol: HTTP
   hosts:
   - "application.sample.com"
   tls:
     httpsRedirect: true # sends 301 redirect for http requests
---
apiVersion: cert-manager.io/v1alpha2
kind: Certificate
metadata:
 name: application.sample.com
 namespace: istio-system
spec:
 commonName: application.sample.com
 dnsNames:
 - application.sample.com
 issuerRef:
   kind: ClusterIssuer
   name: letsencrypt-staging
 secretName: application.sample.com
"""
