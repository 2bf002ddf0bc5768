"""One Lease that this process writes: take it, renew it, give it up.

Concurrency: used by one task at a time. Deadlines are on the loop's monotonic clock.
"""

import asyncio
from contextlib import suppress

from signer.kube.clock import utc_now
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.leases.record import LEASES, Json, Sighting, held, released, sight
from signer.kube.objects import ObjectRequests


def monotonic() -> float:
    """The loop's clock, so that a test may bring its own."""
    return asyncio.get_running_loop().time()


class OwnLease:
    """A Lease that this process writes: optimistic PUT of what it wrote last, GET and decide again when that fails."""

    def __init__(
        self,
        client: ObjectRequests,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float,
        labels: dict[str, str] | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self.name = name
        self._identity = identity
        self._duration = duration
        self._labels = labels or {}
        self._written: Json | None = None
        self._sighting: Sighting | None = None
        self.holder = ""

    async def hold(self) -> bool:
        """Take or renew the Lease; False when another holds it. Raises ApiError, Unreachable."""
        if self._written is not None:
            try:
                await self._write(self._written)
            except (Conflict, NotFound):
                self._written = None  # somebody changed it: look before deciding
            else:
                return True
        try:
            found = await self._client.get(LEASES, self.name, self._namespace)
        except NotFound:
            seen = self._sighting
            if seen is not None and seen.holder != self._identity and not seen.expired(monotonic()):
                # Somebody deleted the Lease. Its holder, if it lives, writes it anew; give it the time that it had.
                return False
            metadata = {"name": self.name, "namespace": self._namespace, "labels": self._labels}
            wanted = held({"metadata": metadata}, self._identity, self._duration, utc_now())
            try:
                self._took(await self._client.create(LEASES, wanted))
            except AlreadyExists:
                return False
            return True
        self._sighting = sight(found, self._sighting, monotonic(), self._duration)
        self.holder = self._sighting.holder
        if self.holder != self._identity and not self._sighting.expired(monotonic()):
            return False
        try:
            await self._write(found)
        except Conflict:
            return False
        return True

    async def release(self, *, delete: bool = False) -> None:
        """Give the Lease up if we hold it: empty it, or delete it. Raises ApiError, Unreachable."""
        lease, self._written = self._written, None
        if lease is None:
            return
        with suppress(Conflict, NotFound):
            if delete:
                await self._client.delete(LEASES, self.name, self._namespace, uid=lease["metadata"].get("uid"))
            else:
                await self._client.replace(LEASES, released(lease, utc_now()))

    async def _write(self, lease: Json) -> None:
        self._took(await self._client.replace(LEASES, held(lease, self._identity, self._duration, utc_now())))

    def _took(self, lease: Json) -> None:
        self._written = lease
        self.holder = self._identity
