"""A work queue of keys with client-go's promises, on one event loop.

Keys may belong to flows, such as the namespace of an object: flows are served in turn, and of one flow half of the workers at
most are at work, so that nobody's many or slow keys keep all the others waiting. A tenant may have several namespaces, so a
flow with workers gets another one only while as many stay free as it has: of eight workers the first has four, the second
two, and a third and fourth still find one each.

Concurrency: everything runs on the loop; only `run` awaits. A key is handled by at most one worker at a time. A key added while it
is being handled is handled once more afterwards, so nobody has to lock, and no change is lost.
Time is the loop's (`loop.time()`), so that a test may bring its own clock.
Source of the semantics: client-go util/workqueue.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from signer.kube import backoff
from signer.kube.turns import Turns

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys to be handled, each once however often it was added, now or later.

    Args:
        first: seconds before the first retry of a key, doubled for each further one.
        cap: the longest wait between retries, in seconds.
        on_error: called with (key, error) when a handler raised; None means that it is logged.
        flow: names the flow of a key; None means that all keys are alike.
    """

    def __init__(
        self,
        *,
        first: float = 0.5,
        cap: float = 300.0,
        on_error: Callable[[K, Exception], None] | None = None,
        flow: Callable[[K], Hashable] | None = None,
    ) -> None:
        self._first = first
        self._cap = cap
        self._on_error = on_error or _log
        self._flow = flow
        self._ready: Turns[K] = Turns()
        self._at_work: dict[Hashable, int] = {}
        self._workers = 0
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._idle: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many keys wait to be handled now."""
        return len(self._ready)

    @property
    def working(self) -> int:
        """How many keys are being handled."""
        return len(self._working)

    def failures(self, key: K) -> int:
        """How many times in a row the key went back with `add_backoff`."""
        return self._failures.get(key, 0)

    def add(self, key: K) -> None:
        """Have the key handled as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._offer(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have the key handled after that time; of several times that were asked for, the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        pending = self._later.get(key)
        if pending is not None:
            if pending.when() <= when:
                return
            pending.cancel()
        self._later[key] = loop.call_at(when, self._due, key)

    def add_backoff(self, key: K, retry_after: float | None = None, *, why: Exception | None = None) -> None:  # noqa: ARG002
        """Have the key handled again after its own, growing pause (at least retry_after seconds).

        `why` is for those who tell of it: the error that a handler took for one that passes by itself.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, backoff.delay(failures, first=self._first, cap=self._cap, retry_after=retry_after))

    def forget(self, key: K) -> None:
        """The key is fine: its next failure starts with the shortest pause again. Does not take it off the queue."""
        self._failures.pop(key, None)

    async def run(self, handler: Callable[[K], Awaitable[None]], workers: int = 1) -> None:
        """Handle keys until cancelled.

        A handler that raises gets its key back with backoff; one that returns without add_backoff has its failures forgotten.
        """
        self._workers = workers
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(handler))

    def _due(self, key: K) -> None:
        del self._later[key]
        self.add(key)

    def _flow_of(self, key: K) -> Hashable:
        return None if self._flow is None else self._flow(key)

    def _offer(self, key: K) -> None:
        self._ready.add(self._flow_of(key), key, key)
        self._wake()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    async def _next(self) -> K:
        while (key := self._ready.take()) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        flow = self._flow_of(key)
        self._at_work[flow] = self._at_work.get(flow, 0) + 1
        self._share()
        return key

    def _done(self, key: K) -> None:
        flow = self._flow_of(key)
        self._at_work[flow] -= 1
        if not self._at_work[flow]:
            del self._at_work[flow]
            self._ready.let_go(flow)
        self._share()
        self._wake()

    def _share(self) -> None:
        """Hold the flows that have their part of the workers. There are no more of them than workers."""
        if self._flow is None:
            return
        free = self._workers - sum(self._at_work.values())
        for flow, busy in self._at_work.items():
            if busy < max(1, self._workers // 2) and free - 1 >= busy:
                self._ready.let_go(flow)
            else:
                self._ready.hold(flow)

    async def _worker(self, handler: Callable[[K], Awaitable[None]]) -> None:
        while True:
            key = await self._next()
            self._dirty.discard(key)
            self._working.add(key)
            before = self._failures.get(key, 0)
            try:
                await handler(key)
            except Exception as error:  # noqa: BLE001 - one key's trouble must not end the worker
                self._on_error(key, error)
                self.add_backoff(key, getattr(error, "retry_after", None))
            else:
                if self._failures.get(key, 0) == before:
                    self.forget(key)
            finally:
                self._working.discard(key)
                self._done(key)
                if key in self._dirty:
                    self._offer(key)
            # A handler that never really waits must not keep the loop from the watches.
            await asyncio.sleep(0)


def _log(key: object, error: Exception) -> None:
    logger.error("%s: %s: %s", key, type(error).__name__, error, exc_info=error)
