"""Which signers Pods ask, so that a ClusterTrustBundle is made for them: what one namespace asks takes no room of another's.

Whoever starts Pods chooses the names that they ask. So a name counts only where a signer has it, an Issuer only for Pods of its
own namespace (its wall stands there), and of one namespace the names that were asked last. What nobody has asked for an hour goes:
by then its bundle is there. Used on the loop only; the time is an argument.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from signer.api.issuer import IssuerRef

# So many signers of those that Pods of one namespace ask.
MOST_OF_A_NAMESPACE = 32
_COUNTS_FOR = timedelta(hours=1)


class AskedSigners:
    """Remembers who was asked by which namespace's Pods, and when last. `known` tells whether a signer has that name."""

    def __init__(self, known: Callable[[IssuerRef], bool]) -> None:
        self._known = known
        self._by_namespace: dict[str, dict[IssuerRef, datetime]] = {}

    def note(self, namespace: str, ref: IssuerRef, now: datetime) -> None:
        """Take that a Pod of a namespace asks a signer."""
        if not _may_mean(namespace, ref) or not self._known(ref):
            return
        mine = self._by_namespace.setdefault(namespace, {})
        mine.pop(ref, None)
        mine[ref] = now  # the latest last
        if len(mine) > MOST_OF_A_NAMESPACE:
            del mine[next(iter(mine))]

    def signers(self, waiting: Iterable[tuple[str, IssuerRef]], now: datetime) -> frozenset[IssuerRef]:
        """Name those that were asked within the hour, or that are asked and have not answered (`waiting`: by which namespace).

        Of the latter there may be some that are not there, or not any more.
        """
        for namespace, mine in list(self._by_namespace.items()):
            for ref in [ref for ref, at in mine.items() if not timedelta(0) <= now - at <= _COUNTS_FOR]:
                del mine[ref]
            if not mine:
                del self._by_namespace[namespace]
        noted = {ref for mine in self._by_namespace.values() for ref in mine}
        return frozenset(noted | {ref for namespace, ref in waiting if _may_mean(namespace, ref)})


def _may_mean(namespace: str, ref: IssuerRef) -> bool:
    return ref.kind != "Issuer" or ref.namespace == namespace
