"""Hosts that routes name for a Gateway's "*": those of other namespaces where an EdgePolicy lets them in. Pure.

Anybody can write a VirtualService on anybody's Gateway, so by itself it says nothing of who may have the host. An EdgePolicy with
`routesFrom` is an admin's word that routes of these namespaces name hosts for the Gateways of those that have the hosts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from signer.api.gateway import API_GATEWAYS, Listener, server_host
from signer.api.httproute import HTTPRoute
from signer.api.labels import PART_OF
from signer.api.meta import ObjectMeta
from signer.api.virtualservice import VirtualService
from signer.edge.host import Host, read_host
from signer.edge.hosts.decide import Asker, EdgeWorld
from signer.edge.hosts.policy import HostPolicy, deciding

MOST_OF_ONE = 1000
"""Hosts that are read of one other namespace's routes at a look: what it writes must not use up the Gateway's own budget."""


Route = VirtualService | HTTPRoute
_KINDS: Mapping[type[Route], str] = {VirtualService: "Gateway", HTTPRoute: "APIGateway"}


class Named(NamedTuple):
    """A host that a route names: the route's namespace, and the listener that it wants, "" for each."""

    namespace: str
    listener: str
    host: Host


@dataclass(frozen=True, slots=True)
class Routed:
    """Hosts by the Gateway's kind and name; those that are claimed already first, the oldest first."""

    hosts: Mapping[tuple[str, str], tuple[Named, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def on(self, gateway: str, namespace: str, listed: Iterable[str]) -> tuple[Host, ...]:
        """Those for the "*" in a server's hosts: `*`, `*/*`, or `apps/*`, which takes routes of that namespace alone."""
        found = self.hosts.get(("Gateway", gateway))
        if not found:
            return ()
        every = [one for one in (server_host(text) for text in listed if text.endswith("*")) if one.name == "*"]
        return tuple(
            dict.fromkeys(one.host for one in found if any(each.takes(one.namespace, namespace) for each in every))
        )

    def on_listener(self, gateway: ObjectMeta, listener: Listener) -> tuple[Host, ...]:
        """Those for a listener of the Gateway API without a hostname, by its allowedRoutes; a Selector is left to the Gateway."""
        allowed = listener.allowed_routes.namespaces.from_
        return tuple(
            dict.fromkeys(
                one.host
                for one in self.hosts.get(("APIGateway", gateway.name), ())
                if one.listener in ("", listener.name)
                and (allowed != "None" if one.namespace == gateway.namespace else allowed in ("All", "Selector"))
            )
        )


NOTHING = Routed()


def gateways_of(route: Route) -> frozenset[str]:
    """The namespaces of the Gateways whose hosts hang on a route here: an HTTPRoute's own, and others'; a VirtualService's others."""
    own = route.metadata.namespace
    if isinstance(route, HTTPRoute):
        return frozenset(one.namespace or own for one in route.spec.parent_refs if one.kind == "Gateway")
    return frozenset(where for where, _ in route.attached_to) - {own}


def names_of(route: Route, namespace: str) -> tuple[tuple[str, str], ...]:
    """The Gateways of a namespace that a route names, each with the listener, where it is seen by their proxies."""
    meta = route.metadata
    if PART_OF.items() <= meta.labels.items():
        return ()
    if isinstance(route, HTTPRoute):
        return tuple(
            dict.fromkeys(
                (one.name, one.section_name)
                for one in route.spec.parent_refs
                if (one.group, one.kind) == (API_GATEWAYS.group, API_GATEWAYS.kind)
                and (one.namespace or meta.namespace) == namespace
            )
        )
    seen = not route.spec.export_to or any(one not in {".", "~", meta.namespace} for one in route.spec.export_to)
    if meta.namespace == namespace or not seen:
        return ()
    return tuple((name, "") for where, name in route.attached_to if where == namespace and name)


def said(route: Route | None) -> object:
    """What counts of a route for a Gateway of another namespace."""
    if isinstance(route, HTTPRoute):
        return route.spec
    return (route.spec.hosts, route.spec.gateways, route.spec.export_to) if route is not None else None


def routed(routes: Iterable[Route], gateway: Asker, asker: Callable[[str], Asker | None], world: EdgeWorld) -> Routed:
    """The hosts of routes for the Gateways of this namespace: of its own HTTPRoutes, and of others' routes that EdgePolicies let in.

    `asker` gives a namespace that exists. A host is let in when a policy that decides about it covers the Gateway's namespace, and
    takes routes of the route's.
    """
    giving = [
        one for one in world.policies if one.takes_routes and one.covers(gateway.namespace, gateway.uid, gateway.labels)
    ]
    letting: dict[str, list[HostPolicy]] = {}
    left: dict[str, int] = {}
    found: dict[tuple[str, str], dict[Named, None]] = {}
    for route in routes:
        where, own = route.metadata.namespace, route.metadata.namespace == gateway.namespace
        names = names_of(route, gateway.namespace) if own or giving else ()
        if names and where not in letting:
            who = asker(where)
            letting[where] = [one for one in giving if who is not None and one.takes_routes_of(where, who.labels)]
            left[where] = MOST_OF_ONE
        listed = route.spec.hostnames if isinstance(route, HTTPRoute) else route.spec.hosts
        for text in listed if names and (own or letting[where]) else ():
            if not left[where]:
                break
            left[where] -= 1
            host = read_host(text)
            if not isinstance(host, Host):
                continue
            if own or any(one in letting[where] for one in deciding(world.policies, host)):
                for name, listener in names:
                    found.setdefault((_KINDS[type(route)], name), {})[Named(where, listener, host)] = None

    def age(one: Named) -> tuple[bool, float, Host, str, str]:
        claim = world.claims.get(one.host.claim_name)
        mine = claim is not None and (claim.namespace, claim.namespace_uid) == (gateway.namespace, gateway.uid)
        made = claim.made.timestamp() if claim is not None and claim.made is not None else 0.0
        return not mine, made, one.host, one.namespace, one.listener

    return Routed({name: tuple(sorted(hosts, key=age)) for name, hosts in found.items()})
