"""Kubernetes Events: what a user sees with `kubectl describe`. Best effort, and never in anybody's way.

`emit` only puts an Event into a bounded queue; one task writes them, at a bounded rate, since each Event costs the API
server as much as a certificate. Repeats of an Event are one Event with a count. What does not fit is counted and
dropped: a condition, a metric and an audit line tell the same. What one tenant causes has a share of its own, so that
his Warnings never take the room of others. Used on the loop only.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from signer.api.event import EVENTS, ObjectReference
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import ApiError, NotFound, Unreachable

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

_COMPONENT = "mesh-signer"
_MAX_MESSAGE = 1024  # the API server's own limit
_QUEUE = 1000
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


@dataclass(frozen=True, slots=True)
class _Event:
    ref: ObjectReference
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Written:
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
        self._queue: deque[_Event] = deque()
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
    ) -> bool:
        """Take an Event about an object; whether it was taken. Never blocks; drops it when too many wait already.

        A `courtesy` tells only what the object shows anyway: ten at once and one a second; more are left out, uncounted.
        `share` names the tenant that caused it ("": one that is not known): twenty at once and one in two seconds.
        """
        if courtesy and self._courtesies.take() > 0:
            return False
        if share is not None and self._share(share).take() > 0:
            self._on_drop()
            return False
        event = _Event(ref, type_, reason, message[:_MAX_MESSAGE])
        if len(self._queue) >= _QUEUE:
            self._on_drop()
            return False
        self._queue.append(event)
        self._wake.set()
        return True

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
                await self._write(self._queue.popleft())
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
            "name": f"{ref.name[:230]}.{secrets.token_hex(8)}",
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
