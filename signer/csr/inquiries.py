"""What the wall asks for before it decides: to store who owns a signer, to read live what is true of a tenant.

A refused workload comes again and again, and so do a thousand at once: all requests with the same question wait for
one inquiry, each question is asked once a second at most, and only few are under way in all. A live read counts for
the requests that were there before it began, so a claim that was applied before a request is never overlooked.
Used on the loop only.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from signer.api.issuer import IssuerRef
from signer.csr.queue.backlog import Backlog, Pending
from signer.kube.errors import ApiError, Unreachable
from signer.kube.reach import loudness
from signer.tenancy.verdict import Bind, Confirm, Inquiry, Reread
from signer.tenancy.world import World

log = logging.getLogger(__name__)

# Of each kind: the hot path's own writes come first.
_AT_ONCE = 4
# Seconds between two inquiries about the same thing.
_SPACING = 1.0
# A safety net: what waits longer is decided anew.
_PATIENCE = 30.0
_REMEMBERED = 4096
# Seconds until failures of one kind are trouble, and after the last one until they are none.
_TROUBLE = 30.0
_FORGOTTEN = 60.0

WAITS_FOR_CLAIMS = "ReadingClaims"
WAITS_FOR_BINDING = "StoringOwner"
WAITS_FOR_CONFIRMATION = "ReadingNamespace"
# What is told of a request whose inquiry has failed for a while.
INQUIRY_FAILED = "InquiryFailed"


_REASONS = {Bind: WAITS_FOR_BINDING, Reread: WAITS_FOR_CLAIMS, Confirm: WAITS_FOR_CONFIRMATION}


class Mesh(Protocol):
    """What is known of the mesh, and how to know more (signer/mesh)."""

    @property
    def world(self) -> World:
        """What decisions are made from; its entries change on the loop, between two decisions."""

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call a handler whenever the world has changed."""

    async def bind(self, signer: IssuerRef, namespace: str, uid: str) -> None:
        """Store that a namespace owns a signer, or learn who does. Raises ApiError or Unreachable."""

    async def reread(self, namespace: str) -> None:
        """Read the claims of a namespace and the mesh config, live, into the world. Raises ApiError or Unreachable."""

    async def confirm(self, asked: Confirm) -> None:
        """Find out live that this very namespace may have a signer. Raises ApiError or Unreachable, and when it may not."""

    def issued(self, signer: IssuerRef, namespace: str, now: datetime, policy: str) -> None:
        """Note that a namespace was given a certificate by a signer, by a SignerPolicy or by none ("")."""

    def refused(self, signer: IssuerRef) -> None:
        """Note that a request for a signer was refused."""


@dataclass(frozen=True, slots=True)
class _Failing:
    """Inquiries of one kind that had no answer, `since` one and up to the `last` (seconds)."""

    since: float
    last: float
    text: str


def not_answered(question: Inquiry) -> str:
    """Say, for people, which inquiry had no answer."""
    if isinstance(question, Reread):
        return f"the claims of namespace {question.namespace} cannot be read"
    if isinstance(question, Confirm):
        return f"that namespace {question.namespace} may have {question.signer} cannot be confirmed"
    return f"the owner of {question.signer} (namespace {question.namespace}) cannot be stored"


class Inquiries:
    """Asks through `mesh`, and gives the requests of `backlog` their turn when there is an answer.

    `failed` takes a request whose inquiry could not be made, why, and what it was; `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        mesh: Mesh,
        backlog: Backlog,
        failed: Callable[[Pending, BaseException, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._mesh = mesh
        self._backlog = backlog
        self._failed = failed
        self._clock = clock
        self._next: dict[Hashable, object] = {}  # the topic of those that the next inquiry is for
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._last: dict[Hashable, float] = {}
        self._failing: dict[type, _Failing] = {}
        # Refused requests of many namespaces never stand before those that will be granted.
        self._slots = {kind: asyncio.Semaphore(_AT_ONCE) for kind in _REASONS}

    @property
    def under_way(self) -> int:
        """How many questions are being asked, or wait until they may be."""
        return len(self._tasks)

    @property
    def trouble(self) -> str:
        """What has failed for half a minute, every time and for whomever it was asked; "" when nothing has."""
        now = self._clock()
        found = (one for one in self._failing.values() if one.last + _FORGOTTEN > now)
        return "; ".join(one.text for one in found if now - one.since >= _TROUBLE)

    def ask(self, pending: Pending, question: Inquiry) -> None:
        """Put a request aside until its question is answered."""
        # All claims of a namespace are read together, whichever signer was asked for.
        topic = self._next.setdefault(question, object())
        reason = _REASONS[type(question)]
        self._backlog.park(pending, reason=reason, topic=topic, seconds=_PATIENCE)
        if question not in self._tasks:
            self._tasks[question] = asyncio.get_running_loop().create_task(self._run(question))

    def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks.values()):
            task.cancel()

    async def _run(self, question: Inquiry) -> None:
        try:
            while self._backlog.waiting_on(self._next[question]):
                early = self._last.get(question, float("-inf")) + _SPACING - self._clock()
                if early > 0:
                    await asyncio.sleep(early)
                async with self._slots[type(question)]:
                    await self._round(question)
        finally:
            del self._tasks[question], self._next[question]

    async def _round(self, question: Inquiry) -> None:
        topic = self._next[question]
        if isinstance(question, Reread):
            self._next[question] = object()
        self._note(question)
        try:
            if isinstance(question, Reread):
                await self._mesh.reread(question.namespace)
            elif isinstance(question, Confirm):
                await self._mesh.confirm(question)
            else:
                await self._mesh.bind(question.signer, question.namespace, question.namespace_uid)
                await asyncio.sleep(0)  # what was stored is worked into the world in this turn of the loop
        except Exception as error:  # noqa: BLE001 - whatever it was, those that wait for it must not wait for ever
            what = self._tell(question, error)
            for pending in self._backlog.waiting(topic):
                self._failed(pending, error, what)
            return
        self._failing.pop(type(question), None)
        for pending in self._backlog.waiting(topic):
            if isinstance(question, Reread):
                pending.answers = replace(pending.answers, fresh=True)
            self._backlog.make_ready(pending)

    def _note(self, question: Inquiry) -> None:
        now = self._clock()
        if len(self._last) >= _REMEMBERED:
            self._last = {asked: at for asked, at in self._last.items() if at + _SPACING > now}
        self._last[question] = now

    def _tell(self, question: Inquiry, error: Exception) -> str:
        what = not_answered(question)
        # The text of what was not foreseen may quote what it choked on.
        why = str(error) if isinstance(error, ApiError | Unreachable) else type(error).__name__
        log.log(loudness(error), "%s; it will be retried: %s", what, why)
        now = self._clock()
        since = self._failing[type(question)].since if type(question) in self._failing else now
        self._failing[type(question)] = _Failing(since, now, f"{what}: {why}")
        return what
