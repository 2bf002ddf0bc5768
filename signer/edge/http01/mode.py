"""How HTTP-01 reaches a host through the gateway that serves it, or what the user must change so that it can.

Pure. The modes, and what Istio does that decides between them (pilot/pkg/networking/core/gateway.go and route.go):

A. A VirtualService with a direct answer on the user's own Gateway: covers its port 80 and its port 443. httpsRedirect
   redirects before any route is looked at, and the CA follows to 443, whatever certificate is there.
B. A Gateway of our own on port 80 for exactly this host: where nothing of the user's serves port 80, or where only a
   wildcard's server redirects, on a Gateway on which no VirtualService names the host (it is a virtual host of its own
   then).
C. The user's redirect replaced by one in a VirtualService, which is by route: only where the user allows it.
D. An Ingress with the class of the user's own. E. An HTTPRoute on a Gateway of the Gateway API.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from signer.api.gateway import APIGateway, Gateway, Server, ServerTLS, server_host
from signer.api.ingress import Ingress
from signer.edge.host import Host
from signer.tenancy.verdict import Reason, Refuse

HTTP_PORT, HTTPS_PORT = 80, 443
"""Where a CA looks: RFC 8555, 8.3 (HTTP-01), and redirects to 443."""
_HTTP = frozenset(("HTTP", "HTTP2", "GRPC", "GRPC-WEB"))
_NO_CLIENT_CERTIFICATE = frozenset(("", "SIMPLE", "OPTIONAL_MUTUAL"))
ALLOW_REDIRECT_CHANGE = "mesh-signer.dev/http01-replace-redirect"
"""Annotation on a Gateway: "true" allows mode C."""
_ANY = "*"
_MOST_SPELLINGS = 8
"""Of one host: as many as our own admission policy lets pass (manifests/components/edge/objects.yaml)."""
EXACT = 1000
"""More than any wildcard's."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How the answer is served. `gateway` is (namespace, name) of the user's Gateway; `sections`: mode E's listeners.

    `hosts`: the host as the Gateway's servers have it, where routes are attached to these: Istio compares by case.
    `through_https`: port 80 redirects, so the listener on 443 must answer: a (placeholder) certificate is needed first.
    `redirect`: what we put on port 80 sends all but the challenge to https.
    """

    letter: Literal["A", "B", "C", "D", "E"]
    gateway: tuple[str, str]
    through_https: bool = False
    redirect: bool = False
    sections: tuple[str, ...] = ()
    ingress_class: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """One server that serves the host: how exactly it names it, in which letters, and who may attach routes there."""

    gateway: tuple[str, str]
    allows_change: bool
    server: Server
    exactness: int
    own_routes: bool
    spelt: str

    @property
    def redirects(self) -> bool:
        """Whether it sends all to https before any route is looked at."""
        return self.server.tls is not None and self.server.tls.https_redirect


def mode_for_gateway(
    host: Host,
    wanted_by: Gateway,
    others: Iterable[Gateway] = (),
    *,
    routed: Collection[tuple[str, str]] | None = None,
    public_ports: Mapping[int, int] | None = None,
    views: Callable[[Gateway], Iterable[View]] | None = None,
) -> Mode | Refuse:
    """Choose between A, B and C for a host of an Istio Gateway.

    `others` are the Gateways of the same proxies, since Istio merges servers of one port. `routed` are the Gateways
    (namespace, name) on which a VirtualService names exactly this host; None: it is not known, so all may be.
    `public_ports` maps a server's port to the one that the world sees (8080 -> 80; 0: none), where Services lead elsewhere
    (proxies/ports.py). `views` gives what `views_of` does for this host, where that is known already.

    A redirecting server redirects a host that it names, and also one that it covers by a wildcard, as soon as a
    VirtualService on the same Gateway names it: ours, in mode A, is one (run on Istio 1.31 with Envoy 1.40).
    """
    if host.wildcard:
        return _refuse("WildcardNeedsDNS01", f"{host} can only be proven by DNS-01; add a dns01 solver to the issuer")
    ports = public_ports or {}
    key = (wanted_by.metadata.namespace, wanted_by.metadata.name)
    seen = views or (lambda gateway: views_of(host, gateway))
    found = [view for gateway in (wanted_by, *others) for view in seen(gateway)]
    http = [view for view in found if _is_http(view.server) and _public(view, ports) == HTTP_PORT]
    https = _most_exact(
        view
        for view in found
        if _terminates(view.server) and _public(view, ports) == HTTPS_PORT and view.gateway == key
    )
    own = [view for view in http if view.gateway == key and view.own_routes]
    without_us = [
        view
        for view in http
        if view.redirects and (view.exactness == EXACT or routed is None or view.gateway in routed)
    ]
    with_us = [*without_us, *(view for view in own if view.redirects and view not in without_us)]
    spellings = dict.fromkeys(view.spelt for view in (*own, *https) if view.own_routes)
    hosts = tuple(spellings)[:_MOST_SPELLINGS] or (str(host),)
    if own and not with_us:
        return Mode("A", key, hosts=hosts)
    if with_us and any(_mode(view) in _NO_CLIENT_CERTIFICATE and view.own_routes for view in https):
        return Mode("A", key, through_https=True, hosts=hosts)
    if not without_us:
        # What port 80 gives now stays: a redirect, where nothing or a redirect was; else the routes that are there.
        return Mode("B", key, redirect=all(view.redirects for view in http))
    return _redirect_in_the_way(host, key, without_us, https, hosts)


def _redirect_in_the_way(
    host: Host, key: tuple[str, str], redirecting: list[View], https: list[View], hosts: tuple[str, ...]
) -> Mode | Refuse:
    """Port 80 redirects exactly this host, and port 443 cannot answer: C where allowed, else say what to change.

    C changes servers that say 80 themselves: what it took stands in the Gateway by that number.
    """
    exact = all(view.exactness == EXACT and view.server.port.number == HTTP_PORT for view in redirecting)
    if exact and all(view.allows_change and view.gateway == key and view.own_routes for view in redirecting):
        return Mode("C", key, redirect=True, hosts=hosts)
    namespace, name = redirecting[0].gateway
    gateway = f"Gateway {namespace}/{name}"
    change = (
        f'set {ALLOW_REDIRECT_CHANGE}: "true" on it so that its httpsRedirect is replaced by a redirect that spares'
        " challenges, remove httpsRedirect, or use a dns01 solver"
    )
    if not https:
        return _refuse(
            "NoHTTPSServer",
            f"{gateway} redirects {host} to https, and Gateway {key[0]}/{key[1]} has no server for it on port {HTTPS_PORT};"
            f" add one, or {change}",
        )
    if any(_mode(view) == "MUTUAL" for view in https):
        return _refuse(
            "MutualTLS",
            f"{gateway} redirects {host} to https, where a client certificate is required, which a CA does not have; {change}",
        )
    return _refuse(
        "RoutesRestricted",
        f"the hosts of Gateway {key[0]}/{key[1]} take routes for {host} of another namespace only;"
        f" write ./{host} or */{host} there, or {change}",
    )


def views_of(host: Host, gateway: Gateway) -> Iterable[View]:
    """The servers of a Gateway that serve a host."""
    meta = gateway.metadata
    allows = meta.annotations.get(ALLOW_REDIRECT_CHANGE) == "true"
    for server in gateway.spec.servers:
        best: tuple[int, bool, str] | None = None
        for text in server.hosts:
            entry = server_host(text)
            exact = exactness(entry.name.lower(), host)
            if not exact:
                continue
            # Istio takes the routes of each entry that fits: one that lets ours in is enough.
            found = (exact, entry.takes(meta.namespace, meta.namespace), spelt(entry.name, host))
            best = found if best is None else max(best, found)
        if best is not None:
            yield View((meta.namespace, meta.name), allows, server, *best)


def exactness(pattern: str, host: Host) -> int:
    """How exactly a server's host names this one; 0 when it does not. Envoy takes the longest wildcard."""
    if pattern == host.name:
        return EXACT
    if pattern == _ANY:
        return 1
    if pattern.startswith("*.") and host.name.endswith(pattern[1:]):
        return 1 + len(pattern)
    return 0


def spelt(pattern: str, host: Host) -> str:
    """Write a host in the letters that a server has for it, as Istio must find it in a route: DNS knows no case, Istio does."""
    if pattern.lower() == host.name:
        return pattern
    below = pattern.removeprefix(_ANY)
    return host.name.removesuffix(below.lower()) + below


def _most_exact(views: Iterable[View]) -> list[View]:
    """The servers of the virtual host that takes the request: those that name the host most exactly."""
    found = list(views)
    best = max((view.exactness for view in found), default=0)
    return [view for view in found if view.exactness == best]


def _is_http(server: Server) -> bool:
    return server.port.protocol.upper() in _HTTP


def _terminates(server: Server) -> bool:
    """HTTPS alone has routes of HTTP behind it; TLS has not, and neither has PASSTHROUGH."""
    tls = server.tls or ServerTLS()
    named = tls.credential_name or tls.credential_names or tls.server_certificate
    return (
        server.port.protocol.upper() == "HTTPS"
        and tls.mode.upper() not in ("PASSTHROUGH", "AUTO_PASSTHROUGH")
        and bool(named)
    )


def _mode(view: View) -> str:
    return (view.server.tls or ServerTLS()).mode.upper()


def _public(view: View, ports: Mapping[int, int]) -> int:
    number = view.server.port.number
    return ports.get(number, number)


def mode_for_api_gateway(
    host: Host, gateway: APIGateway, *, public_ports: Mapping[int, int] | None = None
) -> Mode | Refuse:
    """Choose the listeners of port 80 that an HTTPRoute for this host attaches to (mode E); `public_ports` as above."""
    ports = public_ports or {}
    if host.wildcard:
        return _refuse("WildcardNeedsDNS01", f"{host} can only be proven by DNS-01; add a dns01 solver to the issuer")
    sections = tuple(
        listener.name
        for listener in gateway.spec.listeners
        if ports.get(listener.port, listener.port) == HTTP_PORT
        and listener.protocol.upper() == "HTTP"
        and exactness(listener.hostname.lower() or _ANY, host)
    )
    key = (gateway.metadata.namespace, gateway.metadata.name)
    if not sections:
        return _refuse(
            "NoHTTPListener",
            f"Gateway {key[0]}/{key[1]} has no listener of protocol HTTP on port {HTTP_PORT} for {host}; add one,"
            " or use a dns01 solver",
        )
    return Mode("E", key, sections=sections)


def mode_for_ingress(host: Host, ingress: Ingress) -> Mode | Refuse:
    """Take an Ingress of the user's class (mode D)."""
    if host.wildcard:
        return _refuse("WildcardNeedsDNS01", f"{host} can only be proven by DNS-01; add a dns01 solver to the issuer")
    key = (ingress.metadata.namespace, ingress.metadata.name)
    return Mode("D", key, ingress_class=ingress.class_name)


def _refuse(code: str, message: str) -> Refuse:
    return Refuse((Reason(code, message),))
