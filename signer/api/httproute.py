"""HTTPRoutes and ReferenceGrants of the Gateway API: we write them, and read nothing of them but their metadata.

Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from signer.kube.resource import Resource

HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", namespaced=True)
REFERENCE_GRANTS = Resource(
    "gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant", namespaced=True
)
"""v1beta1 is what every release since 0.6 serves; v1 came with 1.5."""
