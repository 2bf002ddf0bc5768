"""External-DNS' definition of DNSEndpoint, as far as it is used here: the group, the kind, and the fields of a record."""

ENDPOINT_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: dnsendpoints.externaldns.k8s.io
  annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes-sigs/external-dns/pull/2007"}
spec:
  group: externaldns.k8s.io
  scope: Namespaced
  names: {kind: DNSEndpoint, listKind: DNSEndpointList, plural: dnsendpoints, singular: dnsendpoint}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                endpoints:
                  type: array
                  items:
                    type: object
                    properties:
                      dnsName: {type: string}
                      labels: {type: object, additionalProperties: {type: string}}
                      providerSpecific: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
                      recordTTL: {type: integer, format: int64}
                      recordType: {type: string}
                      setIdentifier: {type: string}
                      targets: {type: array, items: {type: string}}
"""
