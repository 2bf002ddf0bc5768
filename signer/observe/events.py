"""Kubernetes Events: what a user sees with `kubectl describe`. Best effort, and never in anybody's way.

`emit` only puts an Event into a bounded queue; one task writes them, at a bounded rate, since each Event costs the API
server as much as a certificate. Repeats of an Event are one Event with a count. What does not fit is counted and
dropped: a condition, a metric and an audit line tell the same. Where nothing else does, notices.py has it wait for room.
What waits is written in turns, a namespace of the objects after the other, and each has its part of the room, so that
one tenant's Events hold up nobody else's. What one tenant causes elsewhere is told with his `share`. Used on the loop only.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from signer.api.event import EVENTS, ObjectReference
from signer.api.names import shortened
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.turns import Turns

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

_COMPONENT = "mesh-signer"
_MAX_MESSAGE = 1024  # the API server's own limit
_QUEUE = 1000
# Of one namespace; so many find room also when all the rest is taken.
_QUEUE_OF_ONE, _ALWAYS = 250, 10
_REMEMBERED = 4096
_RATE = 10.0  # a second, over time
_BURST = 50
# In a burst of requests, Events that say "issued" would take their share of what the API server can do.
_COURTESY_RATE = 1.0
_COURTESY_BURST = 10
# Of one tenant.
_SHARE_RATE = 0.5
_SHARE_BURST = 20
_SHARES = 2048


class _Event(msgspec.Struct, frozen=True):
    ref: ObjectReference
    type: EventType
    reason: str
    message: str


class _Written(msgspec.Struct):
    name: str
    namespace: str
    count: int


class _Bucket:
    """So many at once, and so many a second over time."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = self._burst
        self._refilled = clock()

    def take(self) -> float:
        """Take one; 0, or the seconds until there is one again, when none was taken."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled) * self._rate)
        self._refilled = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class EventRecorder:
    """Writes Events in the background; `run` must be running for them to reach the API server."""

    def __init__(
        self,
        client: ApiClient,
        *,
        instance: str,
        on_drop: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._instance = instance
        self._on_drop = on_drop
        self._clock = clock
        self._queue: Turns[_Event] = Turns()
        self._numbers = itertools.count()
        self._known: OrderedDict[_Event, _Written] = OrderedDict()
        self._wake = asyncio.Event()
        self._all = _Bucket(_RATE, _BURST, clock)
        self._courtesies = _Bucket(_COURTESY_RATE, _COURTESY_BURST, clock)
        self._shares: OrderedDict[str, _Bucket] = OrderedDict()

    def emit(
        self,
        ref: ObjectReference,
        type_: EventType,
        reason: str,
        message: str,
        *,
        courtesy: bool = False,
        share: str | None = None,
    ) -> None:
        """Take an Event that says what is stored as well; it is dropped, and counted, when too many wait already.

        Never blocks. Whether it was taken is not said, so nobody can remember it as told: who must know asks Notices.
        A `courtesy` tells only what the object shows anyway: ten at once and one a second; more are left out, uncounted.
        `share` names the tenant that caused it ("": one that is not known): twenty at once and one in two seconds. Without it
        the Event counts for the object's own namespace, which has its turn and no more than its part of the queue.
        """
        if courtesy and self._courtesies.take() > 0:
            return
        if not self.offer(ref, type_, reason, message, share=share):
            self.dropped()

    def offer(
        self, ref: ObjectReference, type_: EventType, reason: str, message: str, *, share: str | None = None
    ) -> bool:
        """Take an Event if there is room for it now, and say whether there was. Only for Notices, which try again."""
        flow = share if share is not None else ref.namespace
        there = self._queue.waiting(flow)
        if there >= (_QUEUE_OF_ONE if flow else _QUEUE) or (
            len(self._queue) >= _QUEUE and (there >= _ALWAYS or not flow)
        ):
            return False
        if share is not None and self._share(share).take() > 0:
            return False
        self._queue.add(flow, next(self._numbers), _Event(ref, type_, reason, message[:_MAX_MESSAGE]))
        self._wake.set()
        return True

    def dropped(self) -> None:
        """Count an Event that will not be written."""
        self._on_drop()

    def _share(self, name: str) -> _Bucket:
        bucket = self._shares.get(name)
        if bucket is None:
            if len(self._shares) >= _SHARES:
                self._shares.popitem(last=False)
            bucket = self._shares[name] = _Bucket(_SHARE_RATE, _SHARE_BURST, self._clock)
        else:
            self._shares.move_to_end(name)
        return bucket

    async def run(self) -> None:
        """Write Events until cancelled."""
        while True:
            await self._wake.wait()
            while self._queue:
                await self._take_token()
                if (event := self._queue.take()) is not None:
                    await self._write(event)
            self._wake.clear()

    async def _take_token(self) -> None:
        while (wait := self._all.take()) > 0:  # noqa: ASYNC110 - waits for time, not for an event
            # Not less than a moment: the last bit of a float must not make this a busy loop.
            await asyncio.sleep(max(wait, 0.001))

    async def _write(self, event: _Event) -> None:
        try:
            await self._write_once(event)
        except (ApiError, Unreachable) as error:
            # An Event is a courtesy: it is not worth a retry that may hurt those who need an answer.
            log.debug("Event %s on %s not written: %s", event.reason, event.ref.name, error)
            self._on_drop()

    async def _write_once(self, event: _Event) -> None:
        now = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        written = self._known.get(event)
        if written is not None:
            written.count += 1
            self._known.move_to_end(event)
            try:
                await self._client.patch(
                    EVENTS,
                    written.name,
                    {"count": written.count, "lastTimestamp": now},
                    namespace=written.namespace,
                    kind="merge",
                )
            except NotFound:
                del self._known[event]
            else:
                return
        body = event_object(event.ref, event.type, event.reason, event.message, now=now, instance=self._instance)
        namespace = body["metadata"]["namespace"]
        await self._client.create(EVENTS, body, namespace)
        self._known[event] = _Written(body["metadata"]["name"], namespace, 1)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def event_object(
    ref: ObjectReference, type_: EventType, reason: str, message: str, *, now: str, instance: str
) -> dict[str, Any]:
    """Build a core/v1 Event. Those about cluster-scoped objects live in the namespace `default`, as kubectl expects."""
    involved = {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "name": ref.name,
        "uid": ref.uid,
        "resourceVersion": ref.resource_version,
        "namespace": ref.namespace,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            # At most 253 characters for a name; the random part keeps two Events on one object apart.
            "name": f"{shortened(ref.name, 230)}.{secrets.token_hex(8)}",
            "namespace": ref.namespace or "default",
        },
        "involvedObject": {key: value for key, value in involved.items() if value},
        "reason": reason,
        "message": message,
        "type": type_,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": instance,
    }
