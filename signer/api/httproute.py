"""HTTPRoutes and ReferenceGrants of the Gateway API: we write them, and read of HTTPRoutes which hosts they name on which Gateways.

Pure: reading never fails; what cannot be read is told in `problem`.
Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", namespaced=True)
REFERENCE_GRANTS = Resource(
    "gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant", namespaced=True
)
"""v1beta1 is what every release since 0.6 serves; v1 came with 1.5."""


class ParentRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """parentRefs[]; a Gateway unless it says otherwise, in the route's namespace when unset; "" is every listener."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: str = ""
    name: str = ""
    section_name: str = ""


class HTTPRouteSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec, as far as we read it."""

    hostnames: tuple[str, ...] = ()
    parent_refs: tuple[ParentRef, ...] = ()


class HTTPRoute(HasSpec[HTTPRouteSpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """An HTTPRoute."""

    spec_type = HTTPRouteSpec
