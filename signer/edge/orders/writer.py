"""What is written of Orders: their status, their Challenges, and Events about them.

Runs on the loop, in the leader. Every write is noted as superseding what the cache still has. `insist` holds its worker
until a write is done: nothing else could be done without the API server.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from signer.api.challenge import CHALLENGES, Challenge
from signer.api.event import reference_to
from signer.api.meta import to_rfc3339
from signer.api.order import ORDERS, Order
from signer.edge.orders.step import MakeChallenge, challenge_body, told
from signer.edge.orders.values import key_of
from signer.kube import backoff
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound, Unreachable
from signer.kube.superseded import Key, Superseded
from signer.observe.events import EventRecorder, EventType
from signer.observe.notices import Notice, Notices

T = TypeVar("T")
# Seconds between the tries of `insist`.
_FIRST, _CAP = 0.2, 5.0


class OrderWriter:
    """Writes Orders. Raises NotFound and Conflict as the API server answers, where nothing else is said."""

    def __init__(self, client: ApiClient, recorder: EventRecorder) -> None:
        self._client = client
        self._notices = Notices(recorder)
        self._superseded = Superseded()

    def stale(self, order: Order) -> bool:
        """Tell whether this is older than what we wrote last."""
        return self._superseded.stale(key_of(order), order.metadata.resource_version)

    def forget(self, key: Key) -> None:
        """The Order is gone."""
        self._superseded.forget(key)

    async def live(self, order: Order) -> Order:
        """Read the Order as it is now."""
        found = await self._client.get(ORDERS, order.metadata.name, order.metadata.namespace)
        return msgspec.convert(found, Order)

    async def patch(self, order: Order, status: dict[str, Any]) -> Order:
        """Merge into the status, and return what is stored then.

        Without a resourceVersion: whatever else was written meanwhile, what the CA said must never be lost.
        """
        meta = order.metadata
        body = {"status": status}
        written = msgspec.convert(
            await self._client.patch(ORDERS, meta.name, body, namespace=meta.namespace, subresource="status"), Order
        )
        self._superseded.replaced(key_of(order), meta.resource_version, written.metadata.resource_version)
        return written

    async def note(self, order: Order, reason: str, text: str) -> None:
        """Say in the status what is waited for; a change of it only, and an Event once. One that is gone is passed over."""
        if await self.say(order, text):
            self.emit(order, "Warning", reason, told(text))

    async def say(self, order: Order, text: str) -> bool:
        """Say in the status what is waited for, without an Event; whether it was news. One that is gone is passed over."""
        text = told(text)
        if order.status.reason == text:
            return False
        try:
            await self.patch(order, {"reason": text})
        except (Conflict, NotFound):
            return False
        return True

    async def end(self, order: Order, state: str, why: str, now: datetime) -> Order:
        """Store that nothing comes of it, and why."""
        status = {"state": state, "reason": told(why), "failureTime": to_rfc3339(now)}
        written = await self.patch(order, status)
        self.emit(written, "Warning", "Failed", told(why))
        return written

    async def withdraw(self, order: Order, why: str) -> None:
        """Delete an Order that was never placed, so that it is made anew; one that is gone is as good."""
        self.emit(order, "Warning", "NextIssuer", told(why))
        with contextlib.suppress(NotFound, Conflict):
            meta = order.metadata
            await self._client.delete(ORDERS, meta.name, meta.namespace, uid=meta.uid)

    async def challenge(self, order: Order, made: MakeChallenge, key: str) -> None:
        """Create a Challenge; `key` is what it answers. One that is there is as good."""
        try:
            await self._client.create(CHALLENGES, challenge_body(order, made, key))
        except AlreadyExists:
            return
        text = f"Created Challenge resource {made.name!r} for domain {made.authorization.identifier!r}"
        self.emit(order, "Normal", "Created", text)

    async def tidy(self, challenges: Iterable[Challenge]) -> None:
        """Delete the Challenges of a finished Order; their finalizers have what they presented taken away first."""
        for one in challenges:
            meta = one.metadata
            if not meta.deletion_timestamp:
                try:
                    await self._client.delete(CHALLENGES, meta.name, meta.namespace, uid=meta.uid)
                except (NotFound, Conflict):
                    continue

    def emit(self, order: Order, kind: EventType, reason: str, message: str) -> None:
        """Write an Event about it; what it warns of is in the log too."""
        about = reference_to(ORDERS, order.metadata)
        self._notices.logged(about, Notice(kind, reason, message), share=about.namespace)


async def insist(
    write: Callable[[], Awaitable[T]],
    *,
    tries: int = 200,
    on_error: Callable[[ApiError | Unreachable], object] = lambda _: None,
) -> T:
    """Write what a CA does not say twice, until it is done, for 15 minutes. `on_error` is told of each try that failed.

    Raises what an API server says for good: NotFound, Conflict, Invalid.
    Forbidden is not for good: one that has just started knows no roles yet.
    """
    for failures in range(1, tries):
        try:
            return await write()
        except (NotFound, Conflict, Invalid):
            raise
        except (ApiError, Unreachable) as error:
            on_error(error)
            asked = getattr(error, "retry_after", None)
            await asyncio.sleep(backoff.delay(failures, first=_FIRST, cap=_CAP, retry_after=asked))
    return await write()
