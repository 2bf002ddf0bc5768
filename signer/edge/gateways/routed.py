"""Hosts that routes of other namespaces name for a Gateway's "*", where an EdgePolicy lets them in. Pure.

Anybody can write a VirtualService on anybody's Gateway, so by itself it says nothing of who may have the host. An EdgePolicy with
`routesFrom` is an admin's word that routes of these namespaces name hosts for the Gateways of those that have the hosts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from signer.api.gateway import server_host
from signer.api.labels import PART_OF
from signer.api.virtualservice import VirtualService
from signer.edge.host import Host, read_host
from signer.edge.hosts.decide import Asker, EdgeWorld
from signer.edge.hosts.policy import HostPolicy, deciding

MOST_OF_ONE = 1000
"""Hosts that are read of one other namespace's routes at a look: what it writes must not use up the Gateway's own budget."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Hosts by the Gateway's name, each with the namespace of its route; those that are claimed already first, the oldest first."""

    hosts: Mapping[str, tuple[tuple[str, Host], ...]] = field(default_factory=lambda: MappingProxyType({}))

    def on(self, gateway: str, namespace: str, listed: Iterable[str]) -> tuple[Host, ...]:
        """Those for the "*" in a server's hosts: `*`, `*/*`, or `apps/*`, which takes routes of that namespace alone."""
        found = self.hosts.get(gateway)
        if not found:
            return ()
        every = [one for one in (server_host(text) for text in listed if text.endswith("*")) if one.name == "*"]
        return tuple(dict.fromkeys(host for where, host in found if any(one.takes(where, namespace) for one in every)))


NOTHING = Routed()


def elsewhere(route: VirtualService) -> frozenset[str]:
    """The namespaces of the Gateways that a VirtualService names and that are not its own's."""
    return frozenset(where for where, _ in route.attached_to) - {route.metadata.namespace}


def names_of(route: VirtualService, namespace: str) -> Iterator[str]:
    """The Gateways of another namespace that a VirtualService names, where it is seen by proxies of others than its own."""
    meta = route.metadata
    seen = not route.spec.export_to or any(one not in {".", "~", meta.namespace} for one in route.spec.export_to)
    if meta.namespace == namespace or not seen or PART_OF.items() <= meta.labels.items():
        return
    for where, name in route.attached_to:
        if where == namespace and name:
            yield name


def routed(
    routes: Iterable[VirtualService], gateway: Asker, asker: Callable[[str], Asker | None], world: EdgeWorld
) -> Routed:
    """The hosts of other namespaces' routes that EdgePolicies let in for the Gateways of this namespace.

    `asker` gives a namespace that exists. A host is let in when a policy that decides about it covers the Gateway's namespace, and
    takes routes of the route's.
    """
    giving = [
        one for one in world.policies if one.takes_routes and one.covers(gateway.namespace, gateway.uid, gateway.labels)
    ]
    if not giving:
        return NOTHING
    letting: dict[str, list[HostPolicy]] = {}
    left: dict[str, int] = {}
    found: dict[str, dict[tuple[str, Host], None]] = {}
    for route in routes:
        where = route.metadata.namespace
        names = tuple(names_of(route, gateway.namespace))
        if names and where not in letting:
            who = asker(where)
            letting[where] = [one for one in giving if who is not None and one.takes_routes_of(where, who.labels)]
            left[where] = MOST_OF_ONE
        for text in route.spec.hosts if names and letting[where] else ():
            if not left[where]:
                break
            left[where] -= 1
            host = read_host(text)
            if isinstance(host, Host) and any(one in letting[where] for one in deciding(world.policies, host)):
                for name in names:
                    found.setdefault(name, {})[where, host] = None

    def age(one: tuple[str, Host]) -> tuple[bool, float, Host, str]:
        claim = world.claims.get(one[1].claim_name)
        mine = claim is not None and (claim.namespace, claim.namespace_uid) == (gateway.namespace, gateway.uid)
        made = claim.made.timestamp() if claim is not None and claim.made is not None else 0.0
        return not mine, made, one[1], one[0]

    return Routed({name: tuple(sorted(hosts, key=age)) for name, hosts in found.items()})
