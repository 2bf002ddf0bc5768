"""VirtualServices of networking.istio.io, as far as challenges need them: hosts, Gateways, who sees them, what matches.

Pure: reading never fails; what cannot be read is told in `problem`.
Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/
"""

from typing import Any

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

VIRTUAL_SERVICES = Resource("networking.istio.io", "v1", "virtualservices", "VirtualService", namespaced=True)
MESH = "mesh"
"""Among the Gateways of a route: all sidecars, and no Gateway."""


class StringMatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the three is set."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class HTTPMatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """http[].match[]: all that is set must fit. What we need not read is kept as it is."""

    uri: StringMatch | None = None
    method: StringMatch | None = None
    scheme: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, Any] = {}
    without_headers: dict[str, Any] = {}
    query_params: dict[str, Any] = {}
    gateways: tuple[str, ...] = ()
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    port: int = 0
    ignore_uri_case: bool = False


class HTTPRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """http[]: no match at all fits everything."""

    name: str = ""
    match: tuple[HTTPMatch, ...] = ()


class VirtualServiceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec, as far as we read it."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    export_to: tuple[str, ...] = ()
    http: tuple[HTTPRule, ...] = ()


class VirtualService(HasSpec[VirtualServiceSpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """A VirtualService."""

    spec_type = VirtualServiceSpec

    @property
    def attached_to(self) -> tuple[tuple[str, str], ...]:
        """The Gateways (namespace, name) that it names, each once."""
        named = (gateway_named(one, self.metadata.namespace) for one in self.spec.gateways if one != MESH)
        return tuple(dict.fromkeys(named))


def gateway_named(text: str, own: str) -> tuple[str, str]:
    """Read a Gateway's name in a VirtualService of the namespace `own`: (namespace, name).

    `name`, `namespace/name` and `./name`; and `name.namespace`, or longer, as it was before there was a slash.
    Source: Istio, pilot/pkg/model/virtualservice.go (resolveGatewayName).
    """
    before, slash, after = text.partition("/")
    if slash:
        return own if before == "." else before, after
    name, dot, rest = text.partition(".")
    return rest.partition(".")[0] if dot else own, name
