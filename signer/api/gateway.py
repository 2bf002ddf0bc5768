"""Gateways, as far as public certificates go: Istio's (networking.istio.io) and the Gateway API's.

Pure: reading never fails; what cannot be read is told in `problem`.
Sources: https://istio.io/latest/docs/reference/config/networking/gateway/ and
https://gateway-api.sigs.k8s.io/reference/spec/
"""

from typing import Any, NamedTuple

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

GATEWAYS = Resource("networking.istio.io", "v1", "gateways", "Gateway", namespaced=True)
API_GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway", namespaced=True)


class Port(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """servers[].port; `protocol` is HTTP, HTTPS, TLS and so on, in any case."""

    number: int = 0
    protocol: str = ""
    name: str = ""


class ServerTLS(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """servers[].tls; an empty mode is PASSTHROUGH for TLS without certificates, SIMPLE where a certificate is named."""

    https_redirect: bool = False
    mode: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    server_certificate: str = ""
    private_key: str = ""
    tls_certificates: tuple[Any, ...] = ()


class Server(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of servers; hosts are `host`, `namespace/host`, `./host`, `*/host`."""

    port: Port = Port()
    hosts: tuple[str, ...] = ()
    tls: ServerTLS | None = None
    name: str = ""


class ServerHost(NamedTuple):
    """An entry of servers[].hosts: the host as it is written, and which namespaces' routes it takes ("." for its own)."""

    name: str
    namespace: str = "*"

    def takes(self, namespace: str, own: str) -> bool:
        """Whether it takes routes of a namespace; `own` is the Gateway's."""
        return self.namespace in ("*", namespace) or (self.namespace == "." and namespace == own)


def server_host(text: str) -> ServerHost:
    """Read an entry of servers[].hosts. What has a second slash names no host, as Istio's own check says.

    Source: Istio, pkg/config/validation (ValidateNamespaceSlashWildcardHostname).
    """
    before, slash, after = text.partition("/")
    return ServerHost(after, before) if slash else ServerHost(before)


class GatewaySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec; `selector` names the Pods that serve it, in any namespace."""

    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()


class Gateway(HasSpec[GatewaySpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """An Istio Gateway."""

    spec_type = GatewaySpec


class CertificateRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """listeners[].tls.certificateRefs[]; a Secret unless it says otherwise, in the Gateway's namespace when unset."""

    group: str = ""
    kind: str = "Secret"
    name: str = ""
    namespace: str = ""


class ListenerTLS(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """listeners[].tls; the mode is Terminate when unset."""

    mode: str = "Terminate"
    certificate_refs: tuple[CertificateRef, ...] = ()


class RouteNamespaces(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """listeners[].allowedRoutes.namespaces: All, Selector, Same or None; Same when unset."""

    from_: str = msgspec.field(name="from", default="Same")


class AllowedRoutes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """listeners[].allowedRoutes."""

    namespaces: RouteNamespaces = RouteNamespaces()


class Listener(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of listeners; an empty hostname is every host."""

    name: str = ""
    hostname: str = ""
    port: int = 0
    protocol: str = ""
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()


class GatewayAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """addresses[]: of type Hostname it names, for Istio, a Service whose Pods serve the Gateway."""

    type: str = "IPAddress"
    value: str = ""


class APIGatewaySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec, as far as we read it."""

    gateway_class_name: str = ""
    listeners: tuple[Listener, ...] = ()
    addresses: tuple[GatewayAddress, ...] = ()


class APIGateway(HasSpec[APIGatewaySpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """A Gateway of the Gateway API."""

    spec_type = APIGatewaySpec
