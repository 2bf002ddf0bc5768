"""One Lease that this process writes: take it, renew it, give it up.

Concurrency: used by one task at a time. Deadlines are on the loop's monotonic clock.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from signer.kube.clock import utc_now
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.leases.record import LEASES, Json, Sighting, held, released, sight
from signer.kube.objects import ObjectRequests


def monotonic() -> float:
    """The loop's clock, so that a test may bring its own."""
    return asyncio.get_running_loop().time()


class Terms(msgspec.Struct, frozen=True):
    """On what terms a Lease is held.

    Attributes:
        duration: seconds after our last renewal at which others may take over.
        predecessor: seconds without a change after which a Lease that another process of our name holds counts as that of our
            predecessor.
        labels: written each time.
        personal: the Lease is named after us, so nobody else has a reason to hold it: it is taken back at once.
    """

    duration: float
    predecessor: float = 0.0
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    personal: bool = False


class OwnLease:
    """A Lease that this process writes: optimistic PUT of what it wrote last, GET and decide again when that fails.

    Two processes of one identity are two: which of them holds the Lease is written in an annotation. What others may write into
    a Lease (a label gone, another holder in the Lease of a member) lasts until our next renewal.

    `twin` tells that another process of our name writes our personal Lease.

    Args:
        client: an open client.
        namespace: of the Lease.
        name: of the Lease.
        identity: who we are, for people and for other members.
        terms: on which it is held.
    """

    def __init__(self, client: ObjectRequests, namespace: str, name: str, identity: str, terms: Terms) -> None:
        self._client = client
        self._namespace = namespace
        self.name = name
        self._identity = identity
        self.process = secrets.token_hex(4)
        self._terms = terms
        self._written: Json | None = None
        self._had = False
        self._sighting: Sighting | None = None
        self.holder = ""
        self.twin = False

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
            if seen is not None and self._leaves_to(seen):
                # Somebody deleted the Lease. Its holder, if it lives, writes it anew; give it the time that it had.
                return False
            metadata = {"name": self.name, "namespace": self._namespace}
            try:
                self._took(await self._client.create(LEASES, self._held({"metadata": metadata})))
            except AlreadyExists:
                return False
            return True
        seen = self._sighting = sight(found, self._sighting, monotonic(), self._terms.duration)
        self.holder = seen.holder
        if self._terms.personal:
            # A predecessor of our name is dead when we start; who writes our Lease after us lives.
            self.twin = self._had and seen.holder == self._identity and not self._ours(seen)
            if self.twin:
                return False
        elif self._leaves_to(seen):
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
                await self._delete()
            else:
                await self._client.replace(LEASES, released(lease, utc_now()))

    async def _delete(self) -> None:
        # Read first: our last write may have been stored without our knowing, or another process of our name has the Lease.
        found = await self._client.get(LEASES, self.name, self._namespace)
        if self._ours(sight(found, None, monotonic(), self._terms.duration)):
            version = (found.get("metadata") or {}).get("resourceVersion")
            await self._client.delete(LEASES, self.name, self._namespace, resource_version=version)

    def _ours(self, seen: Sighting) -> bool:
        return seen.holder == self._identity and seen.process in {"", self.process}

    def _leaves_to(self, seen: Sighting) -> bool:
        """Tell whether the Lease is another's for now."""
        now = monotonic()
        if self._terms.personal or self._ours(seen) or seen.expired(now):
            return False
        return seen.holder != self._identity or now <= seen.seen_at + self._terms.predecessor

    def _held(self, lease: Json) -> Json:
        return held(
            lease, self._identity, self._terms.duration, utc_now(), process=self.process, labels=self._terms.labels
        )

    async def _write(self, lease: Json) -> None:
        self._took(await self._client.replace(LEASES, self._held(lease)))

    def _took(self, lease: Json) -> None:
        self._written = lease
        self._had = True
        self.holder = self._identity
