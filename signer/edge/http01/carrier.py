"""Which object of a host carries its challenge, and how: all that serve it are tried, the nearest first. Pure.

Which count: those of the Challenge's own namespace; for a Challenge in one of the gateways' namespaces, where
administrators write, all. So a tenant's Certificate puts no route into somebody else's Gateway.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import INGRESS_CLASS, Ingress
from signer.api.meta import ObjectMeta
from signer.api.virtualservice import VirtualService
from signer.edge.host import Host
from signer.edge.http01.mode import (
    Mode,
    exactness,
    mode_for_api_gateway,
    mode_for_gateway,
    mode_for_ingress,
)
from signer.tenancy.verdict import Reason, Refuse

_KINDS = (Gateway, APIGateway, Ingress)
"""Where two objects name a host equally well, the earlier kind is tried first."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The object that carries the challenge, and how."""

    carrier: Gateway | APIGateway | Ingress
    mode: Mode


@dataclass(frozen=True, slots=True)
class Serving:
    """The objects of a cluster that may serve hosts; Gateways are as their users wrote them (redirect.users_servers)."""

    gateways: tuple[Gateway, ...] = ()
    api_gateways: tuple[APIGateway, ...] = ()
    ingresses: tuple[Ingress, ...] = ()


def choose(
    host: Host,
    namespace: str,
    serving: Serving,
    *,
    gateway_namespaces: Collection[str] = (),
    routes: Iterable[VirtualService] | None = None,
) -> Chosen | Reason:
    """Find what carries the challenge of a host. `namespace` is the Challenge's; `routes`: None when they are not known.

    A reason: nothing serves the host (NoGateway), or what the user must change at the first that does.
    """
    everywhere = namespace in gateway_namespaces
    found = [
        (near, -exact, kind, one)
        for kind, one, exact in _serving(host, serving)
        if not one.problem and (everywhere or one.metadata.namespace == namespace)
        for near in (one.metadata.namespace != namespace,)
    ]
    # The same answer each time: the Challenge's own namespace first, then the most exact, then by age.
    found.sort(key=lambda entry: (*entry[:3], *_age(entry[3].metadata)))
    routed = None if routes is None else _routed(host, routes)
    refused: Reason | None = None
    changing: Chosen | None = None
    for *_, one in found:
        mode = _mode(host, one, serving.gateways, routed)
        if isinstance(mode, Refuse):
            refused = refused or mode.reasons[0]
        elif mode.letter == "C":
            # It changes what the user wrote: only where nothing else will do.
            changing = changing or Chosen(one, mode)
        else:
            return Chosen(one, mode)
    if changing is not None:
        return changing
    if refused is not None:
        return refused
    where = "any namespace" if everywhere else f"namespace {namespace}"
    return Reason("NoGateway", f"no Gateway or Ingress in {where} serves {host}; the challenge waits for one")


def on_same_proxies(gateway: Gateway, gateways: Iterable[Gateway]) -> list[Gateway]:
    """The Gateways with this one's selector, itself among them: Istio merges their servers."""
    return [one for one in gateways if one.spec.selector == gateway.spec.selector]


def _serving(host: Host, serving: Serving) -> Iterator[tuple[int, Gateway | APIGateway | Ingress, int]]:
    for gateway in serving.gateways:
        patterns = [text.rpartition("/")[2] for server in gateway.spec.servers for text in server.hosts]
        if exact := _best(patterns, host):
            yield _KINDS.index(Gateway), gateway, exact
    for api_gateway in serving.api_gateways:
        if exact := _best([one.hostname or "*" for one in api_gateway.spec.listeners], host):
            yield _KINDS.index(APIGateway), api_gateway, exact
    for ingress in serving.ingresses:
        patterns = [
            *(rule.host or "*" for rule in ingress.spec.rules),
            *(one for t in ingress.spec.tls for one in t.hosts),
        ]
        if ingress.class_name == INGRESS_CLASS and (exact := _best(patterns, host)):
            yield _KINDS.index(Ingress), ingress, exact


def _best(patterns: Iterable[str], host: Host) -> int:
    return max((exactness(pattern.lower(), host) for pattern in patterns), default=0)


def _mode(
    host: Host,
    one: Gateway | APIGateway | Ingress,
    gateways: Iterable[Gateway],
    routed: Collection[tuple[str, str]] | None,
) -> Mode | Refuse:
    if isinstance(one, Gateway):
        others = [other for other in on_same_proxies(one, gateways) if other is not one]
        return mode_for_gateway(host, one, others, routed=routed)
    if isinstance(one, APIGateway):
        return mode_for_api_gateway(host, one)
    return mode_for_ingress(host, one)


def _routed(host: Host, routes: Iterable[VirtualService]) -> frozenset[tuple[str, str]]:
    """The Gateways on which a VirtualService names exactly this host."""
    found = set()
    for route in routes:
        if str(host) not in {one.lower() for one in route.spec.hosts}:
            continue
        for name in route.spec.gateways:
            before, slash, after = name.partition("/")
            found.add((before, after) if slash else (route.metadata.namespace, before))
    return frozenset(found)


def _age(meta: ObjectMeta) -> tuple[str, str, str]:
    return meta.creation_timestamp or "", meta.namespace, meta.name
