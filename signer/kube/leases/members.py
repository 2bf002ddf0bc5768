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
from signer.kube.errors import ApiError, Unreachable, told
from signer.kube.leases.own import OwnLease, Terms
from signer.kube.leases.record import LEASES, Sighting, lease_name
from signer.kube.reach import loudness
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
    """Announces this replica by a Lease of its own and knows which others are alive, so that work can be shared (see `heirs`).

    A replica is alive while its Lease changes, by a clock that hardly moves while the API server is silent, so that an outage of the
    API server makes nobody believe to be alone. Our own view always has ourselves in it.

    Args:
        client: an open client.
        namespace: of the Leases.
        group: what the members share; part of the Leases' names and their label.
        identity: who we are; different for each process (Pod name).
        duration: seconds without renewal after which a member counts as dead.
        on_change: called with the members when they change.

    `able` may be set: it tells whether this replica can work now; one that cannot leaves the group until it can. `identity` is who
    we are: as given, until another process turns out to be called the same.
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
        self._group = group
        self.identity = identity
        self._duration = duration
        self.able: Callable[[], bool] = lambda: True
        self._away = False
        self._on_change = on_change
        self._own = self._lease_of(identity)
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

    def _lease_of(self, identity: str) -> OwnLease:
        return OwnLease(
            self._client,
            self._namespace,
            lease_name(self._group, identity),
            identity,
            Terms(self._duration, labels={GROUP_LABEL: self._group}, personal=True),
        )

    def members(self) -> tuple[str, ...]:
        """The replicas that are alive and can work, sorted; ourselves when there is no other."""
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
            if self.able() is self._away:
                self._away = not self._away
                what = "cannot work: the others take its part until it can" if self._away else "works again"
                logger.warning("this replica %s", what)
                self._count()
            await (self._withdraw() if self._away else self._announce())
            await self._sweep()
            await asyncio.sleep(self._duration / 3)

    async def _withdraw(self) -> None:
        with suppress(ApiError, Unreachable, TimeoutError):  # then it runs out by itself
            async with asyncio.timeout(self._duration):
                await self._own.release(delete=True)

    async def _announce(self) -> None:
        try:
            async with asyncio.timeout(self._duration):
                taken = await self._own.hold()
            if self._own.twin:
                self._rename()
                return
            trouble = "" if taken else f"{self._own.name} was written by another at the same moment"
            level = logging.WARNING
        except (ApiError, Unreachable, TimeoutError) as error:
            trouble, level = told(error), loudness(error)
        if trouble and trouble != self._trouble:
            logger.log(level, "cannot announce this replica, others will not share work with it: %s", trouble)
        self._trouble = trouble

    def _rename(self) -> None:
        """Go on under a name of our own: two that are called the same would both take each other's requests for theirs."""
        former, self.identity = self.identity, f"{self.identity}-{self._own.process}"
        logger.warning(
            "another process is called %s too (Lease %s/%s), so this one goes on as %s: give each replica an --identity of "
            "its own",
            former,
            self._namespace,
            self._own.name,
            self.identity,
        )
        self._own = self._lease_of(self.identity)
        self._count()

    def _changed(self, change: Change[_Lease]) -> None:
        name = change.key[1]
        if change.new is None:
            self._sightings.pop(name, None)
        else:
            spec = change.new.spec
            seconds = float(spec.lease_duration_seconds or self._duration)
            holder = spec.holder_identity or ""
            # A dead one may have asked for more patience than we have.
            self._sightings[name] = Sighting(
                holder if name == lease_name(self._group, holder) else "",  # each member's Lease is named after it
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
        alive = {sighting.holder for sighting in self._sightings.values() if not sighting.expired(now)}
        alive = (alive - {self.identity} if self._away else alive | {self.identity}) or {self.identity}
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
