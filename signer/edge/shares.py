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
BUSY_RECHECK = 1.0
"""Seconds until a key that had no turn is looked at again."""


class Shares:
    """The turns of one controller's workers."""

    def __init__(self, *, cluster: int = CLUSTER_SHARE, tenant: int = TENANT_SHARE) -> None:
        self._cluster = cluster
        self._tenant = tenant
        self._busy: Counter[tuple[str, str]] = Counter()

    @contextlib.contextmanager
    def turn(self, ref: IssuerRef) -> Iterator[bool]:
        """Whether this issuer's work may be done now; until the block ends it counts."""
        share = (ref.namespace, "") if ref.namespace else ("", ref.name)
        mine = self._busy[share] < (self._tenant if ref.namespace else self._cluster)
        if not mine:
            yield False
            return
        self._busy[share] += 1
        try:
            yield True
        finally:
            self._busy[share] -= 1
            if not self._busy[share]:
                del self._busy[share]
