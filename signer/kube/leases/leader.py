"""One leader among replicas, by a Lease.

Concurrency: each object is one task's `run`. All deadlines are on the loop's monotonic clock; the times written into Leases are for
people. Why not the `kubernetes` package's leader election: its calls have no deadline of their own, it goes by the wall clock, it
neither notices that the leader's work died nor waits until it stopped, and it does not release the Lease.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal

from signer.kube.errors import ApiError, Unreachable, told
from signer.kube.leases.own import OwnLease, Terms, monotonic
from signer.kube.objects import ObjectRequests
from signer.kube.reach import loudness

logger = logging.getLogger(__name__)


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
    ) -> None:
        if not 0 < retry < renew < duration:
            raise ValueError("a Lease needs retry < renew < duration")
        self._lease = OwnLease(client, namespace, name, identity, Terms(duration, predecessor=2 * retry))
        self._where = f"Lease {namespace}/{name}"
        self._renew = renew
        self._retry = retry
        self._spare = duration - renew
        self._trouble = ""

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
            try:
                await self._keep(deadline, work)
                if work.done():
                    await work  # raises what it raised
                    return
            finally:
                await self._stop(work)
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
            trouble = told(error)
            if trouble != self._trouble:
                self._trouble = trouble
                logger.log(loudness(error), "%s: cannot be taken or renewed: %s", self._where, trouble)
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
