"""Replicas that know of each other, by a Lease of each.

Concurrency: each object is one task's `run`. All deadlines are on the loop's monotonic clock; the times written into
Leases are for people.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.errors import ApiError, Unreachable
from signer.kube.leases.own import OwnLease
from signer.kube.leases.record import LEASES, Sighting, lease_name
from signer.kube.reflector import Change, Reflector

logger = logging.getLogger(__name__)

GROUP_LABEL = "mesh-signer.dev/group"
# Dead replicas' Leases are swept away after so many of their durations.
SWEEP_AFTER = 24


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Lease(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class Members:
    """Announces this replica by a Lease of its own and knows which others are alive, so that work can be shared (see `owner`).

    A replica is alive while its Lease changes, by a clock that hardly moves while the API server is silent, so that an outage of the
    API server makes nobody believe to be alone. Our own view always has ourselves in it.

    Args:
        client: an open client.
        namespace: of the Leases.
        group: what the members share; part of the Leases' names and their label.
        identity: who we are; different for each process (Pod name).
        duration: seconds without renewal after which a member counts as dead.
        on_change: called with the members when they change.
    """

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        group: str,
        identity: str,
        *,
        duration: float = 5.0,
        on_change: Callable[[tuple[str, ...]], None] = lambda _members: None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._duration = duration
        self._on_change = on_change
        self._own = OwnLease(
            client,
            namespace,
            lease_name(group, identity),
            identity,
            duration=duration,
            labels={GROUP_LABEL: group},
        )
        self._reflector = Reflector(
            client,
            LEASES,
            JsonCodec(_Lease),
            namespace=namespace,
            label_selector=f"{GROUP_LABEL}={group}",
            clock=lambda: asyncio.get_running_loop().time(),
        )
        self._reflector.subscribe(self._changed)
        self._sightings: dict[str, Sighting] = {}
        self._members: tuple[str, ...] = (identity,)
        self._counting = False
        self._contact = 0.0
        self._listened = 0.0
        self._trouble = ""

    def members(self) -> tuple[str, ...]:
        """The replicas that are alive, sorted; at least ourselves."""
        return self._members

    async def run(self) -> None:
        """Announce and watch; never returns. Cancelling it takes our Lease away, so that others need not wait."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reflector.run())
                group.create_task(self._keep_announced())
        finally:
            with suppress(ApiError, Unreachable, TimeoutError):
                async with asyncio.timeout(2):
                    await self._own.release(delete=True)

    async def _keep_announced(self) -> None:
        while True:
            await self._announce()
            await self._sweep()
            await asyncio.sleep(self._duration / 3)

    async def _announce(self) -> None:
        try:
            async with asyncio.timeout(self._duration):
                taken = await self._own.hold()
            trouble = "" if taken else f"{self._own.name} is held by {self._own.holder!r}"
        except (ApiError, Unreachable, TimeoutError) as error:
            trouble = f"{type(error).__name__}: {error}"
        if trouble and trouble != self._trouble:
            logger.warning("cannot announce this replica, others will not share work with it: %s", trouble)
        self._trouble = trouble

    def _changed(self, change: Change[_Lease]) -> None:
        name = change.key[1]
        if change.new is None:
            self._sightings.pop(name, None)
        else:
            spec = change.new.spec
            seconds = float(spec.lease_duration_seconds or self._duration)
            # A dead one may have asked for more patience than we have.
            self._sightings[name] = Sighting(
                spec.holder_identity or "",
                min(seconds, self._duration),
                change.new.metadata.resource_version,
                self._listening(),
            )
        # Events that came together are taken in together, else a late batch would make members vanish for a moment.
        if not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_soon(self._count)

    def _listening(self) -> float:
        """Seconds for which we have listened to the API server; our own renewals alone bring news more often than the bound."""
        contact = self._reflector.last_contact
        if contact > self._contact:
            self._listened += min(contact - self._contact, self._duration / 2)
            self._contact = contact
        return self._listened

    def _count(self) -> None:
        self._counting = False
        now = self._listening()
        alive = {s.holder for s in self._sightings.values() if not s.expired(now)} | {self._identity}
        members = tuple(sorted(alive))
        if members != self._members:
            self._members = members
            logger.info("replicas of this group: %s", ", ".join(members))
            self._on_change(members)

    async def _sweep(self) -> None:
        """Delete Leases whose holder died long ago, exactly as we saw them last; several replicas may try, one succeeds."""
        now = self._listening()
        for name, sighting in list(self._sightings.items()):
            if name != self._own.name and now - sighting.seen_at > SWEEP_AFTER * self._duration:
                with suppress(ApiError, Unreachable):
                    await self._client.delete(LEASES, name, self._namespace, resource_version=sighting.version)
