"""In which namespaces a Secret is wanted: asks for the Pods that serve a wish's objects. Used on the loop.

What follows from where they run is decided in placement.py.
"""

from signer.edge.gateways.gather import Wanted
from signer.edge.gateways.look import Look
from signer.edge.gateways.placement import NoGateway, Placement, place
from signer.edge.gateways.wish import Wish
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import granted_by_policy
from signer.edge.proxies.find import Proxies
from signer.tenancy.verdict import Refuse

NO_POD_RECHECK = 5.0
BLOCKED_RECHECK = 30.0


class Targets:
    """Finds them. `gateway_namespaces` are where administrators let proxies of others run."""

    def __init__(self, claims: Claims, proxies: Proxies, gateway_namespaces: frozenset[str]) -> None:
        self._claims = claims
        self._proxies = proxies
        self._gateway_namespaces = gateway_namespaces

    async def of(self, look: Look, wanted: Wanted, wish: Wish) -> set[str]:
        """The namespaces; none when there is no proxy yet, or none where it may go, which is told.

        Raises ApiError, Unreachable.
        """
        namespace = look.asker.namespace
        granted = all(granted_by_policy(host, look.asker, self._claims.policies.values()) for host in wish.hosts)
        found: set[str] = set()
        waits = False
        for selector in wanted.selectors_of(wish):
            if selector is None:
                found.add(namespace)
                continue
            pods = await self._proxies.find(selector, (namespace, *sorted(self._gateway_namespaces)))
            placed = place(
                namespace,
                selector,
                pods,
                gateway_namespaces=self._gateway_namespaces,
                granted=granted,
                namespaced_issuer=wish.issuer.normal()[1] == "Issuer",
            )
            match placed:
                case Placement(namespaces, passed):
                    found.update(namespaces)
                    for reason in passed:
                        look.tell(wish.sources, reason)
                case NoGateway(reason):
                    waits = True
                    look.tell(wish.sources, reason)
                case Refuse(reasons):
                    for reason in reasons:
                        look.tell(wish.sources, reason)
        if waits:
            look.undecided.add(wish.secret_name)
            look.soon(NO_POD_RECHECK)
        elif not found:
            look.soon(BLOCKED_RECHECK)
        if not found:
            look.states["waiting" if waits else "refused"] += 1
        return found
