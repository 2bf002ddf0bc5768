"""Brings answers to the API server: so many writes at once as the window allows, each until its outcome is known.

With a wall, one flow has a part of the window at most: what a flood of one tenant has under way at once, the API server
works off before another tenant's write. Used on the loop only.
"""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from signer.csr.answers.compose import Answer
from signer.csr.answers.window import Window
from signer.csr.answers.writer import Writer
from signer.csr.outcome import NOTHING_ASKED
from signer.csr.queue.backlog import Backlog, Pending
from signer.csr.queue.flow import Flow
from signer.csr.queue.share import Share
from signer.csr.record import Record
from signer.kube.backoff import delay
from signer.observe.audit import AuditLog

log = logging.getLogger(__name__)

_SETTLE_TRIES = 40  # at least half a minute
_SETTLERS = 4
# What waits for the audit log; a topic of the backlog, and the reason in the gauge.
AUDIT = "AuditLog"

Work = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be under way at once: `window` writes, and with `shared` a part of it for each flow; `clock` in seconds."""

    window: int
    shared: bool
    clock: Callable[[], float]


class Delivery:
    """Writes answers of pending requests. `stored(pending, answer)` is told of each that is there for good.

    `in_flight` is how many tasks that hold a place in the window are under way, `window` how many may be. A flow that has
    its part of it under way is held in the backlog, where the window is shared.
    """

    def __init__(
        self,
        writer: Writer,
        backlog: Backlog,
        record: Record,
        audit: AuditLog,
        room: Room,
        stored: Callable[[Pending, Answer], None],
    ) -> None:
        self._writer = writer
        self._backlog = backlog
        self._record = record
        self._audit = audit
        self._clock = room.clock
        self._stored = stored
        self.window = Window(room.window)
        self.in_flight = 0
        self._shared = room.shared
        self._by_flow: Counter[Flow] = Counter()
        self._share = Share()
        self._tasks: set[asyncio.Task[None]] = set()
        # After an outage there may be thousands at once, and requests that wait come first.
        self._settling = asyncio.Semaphore(_SETTLERS)
        audit.subscribe(self._audit_works)

    @property
    def full(self) -> bool:
        """Whether nothing more may be started now: the window is used up, or what is issued could not be written down."""
        return self.in_flight >= self.window.size or self._audit.blocked

    def start(self, pending: Pending, work: Work) -> None:
        """Begin a request's work, which holds a place in the window."""
        flow = pending.flow
        self._take_place(flow)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._finished(pending, flow, task))

    def close(self) -> None:
        """End all that is under way."""
        for task in tuple(self._tasks):
            task.cancel()

    async def write(self, pending: Pending, answer: Answer) -> None:
        """Send an answer, and go by what became of it."""
        if self._audit.blocked:  # its intent may be in memory only
            pending.unsent = answer
            self._backlog.park(pending, reason=AUDIT, topic=AUDIT)
            return
        pending.answer = answer
        begun = self._clock()
        result = await self._writer.write(answer, unsure=pending.unsent is answer)
        if result.outcome == "stored":
            now = self._clock()
            self._share.wrote(now - begun, self.window.size, now)
        if result.throttled:
            self.window.throttled(self._clock())
        if result.outcome == "unknown":
            pending.unsent = answer
            self._record.complain(pending, result)
            if not pending.failures:
                self._record.outcome(pending, answer, "unknown", result.message)
            if self._backlog.get(pending.csr.uid) is not pending:  # the watch was quicker: it is answered, or deleted
                await self.settle(pending, answer)
                return
            self.try_again(pending, result.retry_after)
            return
        if not result.throttled:
            self.window.succeeded()
        self._record.outcome(pending, answer, result.outcome, result.message)
        self._record.count(pending, answer, result)
        if result.outcome == "conflict" and result.latest is not None and not result.latest.answered:
            # Somebody changed the object, not its answer: decide again on what it says now.
            pending.csr, pending.unsent, pending.answers = result.latest, None, NOTHING_ASKED
            self._backlog.make_ready(pending)
            return
        if result.outcome == "invalid":
            self._record.tell(
                pending, "Warning", "ErrorUpdate", f"The API server does not take the answer: {result.message}"
            )
            pending.unsent = None
            self.try_again(pending)
            return
        if result.outcome in {"stored", "refused"}:
            self._stored(pending, answer)
        self._backlog.remove(pending.csr.uid)

    def settle_aside(self, pending: Pending, answer: Answer) -> None:
        """Find out what became of an answer that nobody waits for any more, outside the window."""
        task = asyncio.get_running_loop().create_task(self.settle(pending, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, pending: Pending, answer: Answer) -> None:
        """Find out what became of an answer, so that the audit log does not end on "unknown" when it can be known."""
        for attempt in range(1, _SETTLE_TRIES + 1):
            async with self._settling:
                result = await self._writer.settle(answer)
            if result.outcome != "unknown":
                self._record.outcome(pending, answer, result.outcome, result.message)
                self._record.count(pending, answer, result)
                if result.outcome in {"stored", "refused"}:
                    self._stored(pending, answer)
                return
            await asyncio.sleep(delay(attempt, first=0.1, cap=1.0, retry_after=result.retry_after))

    def try_again(self, pending: Pending, retry_after: float | None = None) -> None:
        """Give a request its turn again after a pause that grows."""
        pending.failures += 1
        seconds = delay(pending.failures, first=0.1, cap=10.0, retry_after=retry_after)
        self._backlog.park(pending, reason="Retry", seconds=seconds)

    def unforeseen(self, pending: Pending, error: BaseException) -> None:
        """Tell where something failed, without the error's text: it may quote what it choked on, and that may be a key."""
        places = traceback.extract_tb(error.__traceback__)
        place = f"{places[-1].name} line {places[-1].lineno}" if places else "nowhere"
        kind = type(error).__name__
        log.error("request %s: unforeseen failure; it will be retried (%s in %s)", pending.csr.name, kind, place)
        self.try_again(pending)

    def _take_place(self, flow: Flow) -> None:
        self.in_flight += 1
        if self._shared:
            self._by_flow[flow] += 1
            self._hold(flow)

    def _give_place(self, flow: Flow) -> None:
        self.in_flight -= 1
        if self._shared:
            self._by_flow[flow] -= 1
            self._hold(flow)
            if not self._by_flow[flow]:
                del self._by_flow[flow]

    def _hold(self, flow: Flow) -> None:
        """Hold a flow back that has its share under way, so that one tenant's storm leaves room for the others (ADR 25)."""
        now = self._clock()
        self._share.seen(flow, now)
        if self._by_flow[flow] >= self._share.places(flow, self.window.size, now, others=len(self._by_flow) > 1):
            self._backlog.hold(flow)
        else:
            self._backlog.let_go(flow)

    def _finished(self, pending: Pending, flow: Flow, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._give_place(flow)
        self._backlog.wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unforeseen(pending, error)

    def _audit_works(self) -> None:
        self._backlog.release(AUDIT)
        self._backlog.wake.set()
