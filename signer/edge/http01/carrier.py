"""Which object of a host carries its challenge, and how: all that serve it are tried, the nearest first. Pure.

Which count: those of the Challenge's own namespace; for a Challenge in one of the gateways' namespaces, where
administrators write, all. So a tenant's Certificate puts no route into somebody else's Gateway.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from signer.api.gateway import APIGateway, Gateway, server_host
from signer.api.ingress import INGRESS_CLASS, Ingress
from signer.api.meta import ObjectMeta
from signer.api.virtualservice import VirtualService
from signer.edge.host import Host
from signer.edge.http01.mode import (
    EXACT,
    Mode,
    View,
    exactness,
    mode_for_api_gateway,
    mode_for_gateway,
    mode_for_ingress,
    views_of,
)
from signer.edge.proxies.ports import PUBLIC, PUBLIC_PORTS, Ports
from signer.tenancy.verdict import Reason, Refuse

MOST_TRIED = 16
"""Objects that serve one host: who writes more has the nearest of them tried."""
PortsOf = Callable[[Gateway | APIGateway], Ports]
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
    ports: PortsOf = lambda _: Ports(),
) -> Chosen | Reason:
    """Find what carries the challenge of a host. `namespace` is the Challenge's; `routes`: None when they are not known.

    `ports` says where the world's ports lead on the proxies of those that `with_ports_of_their_own` names. A reason: nothing
    serves the host (NoGateway), or what the user must change at the first that does.
    """
    found = _near(host, namespace, serving, gateway_namespaces)[:MOST_TRIED]
    beside = _Beside(host, serving.gateways)
    routed = None if routes is None else _routed(host, routes)
    refused: Reason | None = None
    changing: Chosen | None = None
    for one in found:
        mode = _mode(host, one, beside, routed, ports)
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
    return _nobody(host, namespace, serving, gateway_namespaces)


def with_ports_of_their_own(
    host: Host, namespace: str, serving: Serving, *, gateway_namespaces: Collection[str] = ()
) -> list[Gateway | APIGateway]:
    """Of those that may carry the challenge, the ones whose numbers alone do not say what the world sees."""
    found = []
    beside = _Beside(host, serving.gateways)
    for one in _near(host, namespace, serving, gateway_namespaces)[:MOST_TRIED]:
        if isinstance(one, Ingress):
            continue
        numbers = beside.numbers(one)
        if PUBLIC_PORTS in one.metadata.annotations or not numbers <= set(PUBLIC):
            found.append(one)
    return found


def _near(
    host: Host, namespace: str, serving: Serving, gateway_namespaces: Collection[str]
) -> list[Gateway | APIGateway | Ingress]:
    """What may carry it, always in the same order: the Challenge's own namespace first, then the most exact, then by age."""
    everywhere = namespace in gateway_namespaces
    found = [
        (one.metadata.namespace != namespace, -exact, kind, one)
        for kind, one, exact in _serving(host, serving)
        if not one.problem and (everywhere or one.metadata.namespace == namespace)
    ]
    found.sort(key=lambda entry: (*entry[:3], *_age(entry[3].metadata)))
    return [one for *_, one in found]


def _nobody(host: Host, namespace: str, serving: Serving, gateway_namespaces: Collection[str]) -> Reason:
    """Say that nothing near serves the host, and what names it elsewhere, which is what people look for then."""
    if namespace in gateway_namespaces:
        return Reason("NoGateway", f"no Gateway or Ingress in any namespace serves {host}; the challenge waits for one")
    message = f"no Gateway or Ingress in namespace {namespace} serves {host}; the challenge waits for one"
    elsewhere = sorted(
        f"{'Ingress' if isinstance(one, Ingress) else 'Gateway'} {one.metadata.namespace}/{one.metadata.name}"
        for _, one, exact in _serving(host, serving)
        if exact == EXACT and not one.problem
    )
    if elsewhere:
        message += (
            f". {elsewhere[0]} serves it, but a Certificate outside of --gateway-namespaces is proven through its own"
            f" namespace alone: have namespace {namespace} among --gateway-namespaces, or put both into one namespace"
        )
    return Reason("NoGateway", message)


def on_same_proxies(gateway: Gateway, gateways: Iterable[Gateway]) -> list[Gateway]:
    """The Gateways with this one's selector, itself among them: Istio merges their servers."""
    return [one for one in gateways if one.spec.selector == gateway.spec.selector]


def _serving(host: Host, serving: Serving) -> Iterator[tuple[int, Gateway | APIGateway | Ingress, int]]:
    for gateway in serving.gateways:
        patterns = [server_host(text).name for server in gateway.spec.servers for text in server.hosts]
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


class _Beside:
    """The Gateways of the same proxies, as one host sees them: worked out once, however many of them are tried."""

    def __init__(self, host: Host, gateways: Iterable[Gateway]) -> None:
        self._host = host
        self._numbers: dict[_Selector, set[int]] = {}
        self._views: dict[_Selector, list[tuple[Gateway, list[View]]]] = {}
        for one in gateways:
            key = _selector(one)
            self._numbers.setdefault(key, set()).update(server.port.number for server in one.spec.servers)
            if views := list(views_of(host, one)):
                self._views.setdefault(key, []).append((one, views))

    def numbers(self, one: Gateway | APIGateway) -> set[int]:
        """The ports that they name; of a Gateway those of all that share its proxies."""
        if isinstance(one, APIGateway):
            return {listener.port for listener in one.spec.listeners}
        return self._numbers[_selector(one)]

    def mode(self, one: Gateway, routed: Collection[tuple[str, str]] | None, ports: PortsOf) -> Mode | Refuse:
        """How a Gateway carries it, beside the others that serve the host."""
        known = self._views[_selector(one)]
        views = {id(gateway): found for gateway, found in known}
        others = [other for other, _ in known if other is not one]
        public = ports(one).of(self.numbers(one))
        return mode_for_gateway(
            self._host, one, others, routed=routed, public_ports=public, views=lambda gateway: views[id(gateway)]
        )


_Selector = tuple[tuple[str, str], ...]


def _selector(gateway: Gateway) -> _Selector:
    return tuple(sorted(gateway.spec.selector.items()))


def _mode(
    host: Host,
    one: Gateway | APIGateway | Ingress,
    beside: _Beside,
    routed: Collection[tuple[str, str]] | None,
    ports: PortsOf,
) -> Mode | Refuse:
    if isinstance(one, Gateway):
        return beside.mode(one, routed, ports)
    if isinstance(one, APIGateway):
        return mode_for_api_gateway(host, one, public_ports=ports(one).of(beside.numbers(one)))
    return mode_for_ingress(host, one)


def _routed(host: Host, routes: Iterable[VirtualService]) -> frozenset[tuple[str, str]]:
    """The Gateways on which a VirtualService names exactly this host."""
    named = (route for route in routes if str(host) in {one.lower() for one in route.spec.hosts})
    return frozenset(gateway for route in named for gateway in route.attached_to)


def _age(meta: ObjectMeta) -> tuple[str, str, str]:
    return meta.creation_timestamp or "", meta.namespace, meta.name
