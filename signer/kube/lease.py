"""Leases over the API: one leader among replicas, and replicas that know of each other.

Concurrency: each object is one task's `run`. All deadlines are on the loop's monotonic clock; the times written into Leases are for
people. Why not the `kubernetes` package's leader election: its calls have no deadline of their own, it goes by the wall clock, it
neither notices that the leader's work died nor waits until it stopped, and it does not release the Lease.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

import msgspec

from signer.kube.client import ApiClient
from signer.kube.codec import JsonCodec
from signer.kube.errors import ApiError, Unreachable
from signer.kube.lease_record import LEASES, Sighting, lease_name, owner
from signer.kube.objects import ObjectRequests
from signer.kube.own_lease import OwnLease, monotonic, utc_now
from signer.kube.reflector import Change, Reflector

logger = logging.getLogger(__name__)

GROUP_LABEL = "mesh-signer.dev/group"
# Dead replicas' Leases are swept away after so many of their durations.
SWEEP_AFTER = 24


class Leadership:
    """Lets one of several replicas work at a time.

    Args:
        client: an open client.
        namespace: of the Lease.
        name: of the Lease.
        identity: who we are; different for each process (Pod name).
        duration: seconds after our last renewal at which others may take over.
        renew: seconds after our last renewal at which we stop working; what is left until `duration` is for stopping.
        retry: seconds between attempts to take or renew.
        now: wall clock, for what people read in the Lease.
    """

    def __init__(
        self,
        client: ObjectRequests,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not 0 < retry < renew < duration:
            raise ValueError("a Lease needs retry < renew < duration")
        self._lease = OwnLease(client, namespace, name, identity, duration=duration, now=now)
        self._where = f"Lease {namespace}/{name}"
        self._renew = renew
        self._retry = retry
        self._spare = duration - renew
        self._trouble = ""
        self.leading = False

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `lead` whenever, and only while, the Lease is ours.

        When the Lease cannot be renewed, `lead` is cancelled and waited for before others may take over, and we stand again.
        When `lead` ends by itself, the Lease is released and this returns, or raises what `lead` raised. Cancelling this
        cancels `lead`, waits for it, and releases the Lease.
        """
        while True:
            deadline = await self._acquire()
            logger.info("%s: leading", self._where)
            work = asyncio.create_task(lead())
            self.leading = True
            try:
                await self._keep(deadline, work)
                if work.done():
                    await work  # raises what it raised
                    return
            finally:
                await self._stop(work)
                self.leading = False
                await self._give_up()
            logger.warning("%s: lost it, standing again", self._where)

    async def _acquire(self) -> float:
        """Stand until the Lease is ours; gives the time until which we may work."""
        while True:
            started = monotonic()
            if await self._attempt(self._renew) == "ours":
                return started + self._renew
            # Jitter, so that those who stand do not all try at once.
            await asyncio.sleep(self._retry * (1 + random.random() / 5))  # noqa: S311 - no secret

    async def _keep(self, deadline: float, work: asyncio.Task[None]) -> None:
        """Renew until the work ends, the deadline passes, or another holds the Lease."""
        while True:
            await asyncio.wait([work], timeout=min(self._retry, max(0.0, deadline - monotonic())))
            # Counted from before the request: the server cannot have stored it earlier than that.
            started = monotonic()
            if work.done() or started >= deadline:
                return
            renewal = asyncio.create_task(self._attempt(deadline - started))
            try:
                await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    return
                if renewal.result() == "ours":
                    deadline = started + self._renew
                elif renewal.result() == "another's":
                    return
            finally:
                renewal.cancel()
                await asyncio.wait((renewal,))

    async def _attempt(self, seconds: float) -> Literal["ours", "another's", "unknown"]:
        try:
            async with asyncio.timeout(seconds):
                ours = await self._lease.hold()
        except (ApiError, Unreachable, TimeoutError) as error:
            trouble = f"{type(error).__name__} {error}"
            if trouble != self._trouble:
                self._trouble = trouble
                logger.warning("%s: cannot be taken or renewed: %s", self._where, str(error) or "no answer in time")
            return "unknown"
        self._trouble = ""
        return "ours" if ours else "another's"

    async def _stop(self, work: asyncio.Task[None]) -> None:
        """Cancel the work and wait for its end, however often we are cancelled meanwhile: its end is what we promised."""
        if work.done():
            return
        work.cancel()
        cancelled = False
        while not work.done():
            try:
                await asyncio.wait((work,), timeout=self._spare)
            except asyncio.CancelledError:
                cancelled = True
            else:
                if not work.done():
                    logger.error("%s: the work has not stopped in time, another may lead already", self._where)
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.error("%s: the work failed while it was stopped", self._where, exc_info=error)
        if cancelled:
            await self._give_up()
            raise asyncio.CancelledError

    async def _give_up(self) -> None:
        with suppress(ApiError, Unreachable, TimeoutError):
            async with asyncio.timeout(self._retry):
                await self._lease.release()


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
        now: wall clock, for what people read in the Lease.
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
        now: Callable[[], datetime] = utc_now,
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
            now=now,
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


__all__ = ["GROUP_LABEL", "Leadership", "Members", "lease_name", "owner"]
