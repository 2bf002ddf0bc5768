"""Whether cert-manager's own cainjector is at work: two injectors would undo each other, so ours leaves it the field.

It is asked by its Lease, which it renews every few seconds; a Lease that nobody renews any more runs out. One task.
"""

import asyncio
from collections.abc import Callable, Sequence

from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.leases.own import monotonic
from signer.kube.leases.record import LEASES, Sighting, sight

RIVAL_LEASE = "cert-manager-cainjector-leader-election"
# Where cert-manager's chart puts it, unless it is told otherwise.
RIVAL_NAMESPACE = "kube-system"
_DURATION = 60.0
_EVERY_SECONDS = 5.0


class Rival:
    """Looks for the Lease in these namespaces. `told` is called with what is found, "" for nobody, when that changes."""

    def __init__(self, client: ApiClient, namespaces: Sequence[str], told: Callable[[str], None]) -> None:
        self._client = client
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._told = told
        self._seen: dict[str, Sighting | None] = {}
        self.trouble = "it is not known yet whether cert-manager's cainjector is at work"

    async def look(self) -> None:
        """Look once."""
        found = ""
        for namespace in self._namespaces:
            try:
                lease = await self._client.get(LEASES, RIVAL_LEASE, namespace)
            except NotFound:
                self._seen.pop(namespace, None)
                continue
            except (ApiError, Unreachable) as error:
                if self.trouble:  # what was known stays so while it cannot be asked
                    found = f"cannot see whether cert-manager's cainjector is at work: {error}"
                continue
            seen = self._seen[namespace] = sight(lease, self._seen.get(namespace), monotonic(), _DURATION)
            if not seen.expired(monotonic()):
                found = (
                    f"cert-manager's cainjector is at work (Lease {namespace}/{RIVAL_LEASE}, held by {seen.holder[:80]}): "
                    "nothing is injected until it is gone"
                )
                break
        if found != self.trouble:
            self.trouble = found
            self._told(found)

    async def until(self, *, present: bool) -> None:
        """Look until a rival is there, or until none is."""
        while bool(self.trouble) is not present:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.look()
