"""How many workers one CA may keep busy: a server that answers slowly, or never, must not stop what others have ordered.

A tenant chooses the server of a namespaced Issuer, and each request to it may take half a minute. So the Issuers of one
namespace share few workers, and each ClusterIssuer has a part of them. Used on the loop; nobody waits for a turn: a key
that has none comes back soon.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator

from signer.api.issuer import IssuerRef

CLUSTER_SHARE = 8
TENANT_SHARE = 2
NAMESPACE_SHARE = 6
BUSY_RECHECK = 1.0
"""Seconds until a key that had no turn is looked at again."""


class Shares:
    """The turns of one controller's workers."""

    def __init__(self, *, cluster: int = CLUSTER_SHARE, tenant: int = TENANT_SHARE) -> None:
        self._cluster = cluster
        self._tenant = tenant
        self._busy: Counter[tuple[str, str]] = Counter()

    def turn(self, ref: IssuerRef) -> contextlib.AbstractContextManager[bool]:
        """Whether this issuer's work may be done now; until the block ends it counts."""
        if ref.namespace:
            return self._turn(("issuers", ref.namespace), self._tenant)
        return self._turn(("issuer", ref.name), self._cluster)

    def namespace(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """The same for a look at what a namespace's Gateways lead to."""
        return self._turn(("namespace", name), NAMESPACE_SHARE)

    @contextlib.contextmanager
    def _turn(self, share: tuple[str, str], limit: int) -> Iterator[bool]:
        if self._busy[share] >= limit:
            yield False
            return
        self._busy[share] += 1
        try:
            yield True
        finally:
            self._busy[share] -= 1
            if not self._busy[share]:
                del self._busy[share]
