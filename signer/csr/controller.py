"""The hot path: each approved CertificateSigningRequest of ours is answered once.

One loop, no threads but for RSA CA keys of 4096 bits and more. The watch feeds the backlog; one task (`_pump`) takes
requests in turn, decides and signs them inline, and starts the write; as many writes are under way as the window
allows. Between two requests the loop runs once, so that neither the watch nor the Leases starve.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from issuers.certificate import new_serial
from issuers.errors import SigningFailed
from signer.api.certificatesigningrequest import CertificateSigningRequest, RequestContent, read_content
from signer.api.signername import parse_signer_name
from signer.authorities.registry import Registry
from signer.authorities.state import PENDING
from signer.csr.answer import Answer, issue, refuse
from signer.csr.backlog import Backlog, Pending, Stage
from signer.csr.evaluate import NOTHING_ASKED, Answers, AskKey, AskReference, Issue, evaluate
from signer.csr.flow import flow_of
from signer.csr.questions import Questions
from signer.csr.record import Record
from signer.csr.sharing import Sharing
from signer.csr.window import Window
from signer.csr.writer import Writer
from signer.kube.backoff import delay
from signer.kube.errors import ApiError, Unreachable
from signer.kube.protobuf import ProtobufError
from signer.kube.reflector import Change, Reflector
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.tenancy.decide import Limits
from signer.tenancy.verdict import Bind, Reason, Refuse, Reread, Unready, Wait
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)

_SLOW_RSA_BITS = 4096
_APPROVAL_PATIENCE = 5.0
_RECHECK = 30.0
_SETTLE_TRIES = 40  # at least half a minute
_SETTLERS = 4


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may set of the hot path."""

    cluster_resource_namespace: str
    limits: Limits
    write_window: int = 64
    drain_seconds: float = 20.0
    world: World = field(default_factory=without_wall)


def _now() -> datetime:
    return datetime.now(UTC)


class RequestController:
    """Answers requests until cancelled; `drain` works off what is there."""

    def __init__(
        self,
        reflector: Reflector[CertificateSigningRequest],
        registry: Registry,
        writer: Writer,
        questions: Questions,
        sharing: Sharing,
        recorder: EventRecorder,
        metrics: Metrics,
        audit: AuditLog,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _now,
    ) -> None:
        self._reflector = reflector
        self._registry = registry
        self._writer = writer
        self._questions = questions
        self._sharing = sharing
        self._options = options
        self._clock = clock
        self._wall = wall
        self._record = Record(recorder, metrics, audit, clock=clock, wall=wall)
        self._window = Window(options.write_window)
        self._backlog = Backlog(lambda reason, step: metrics.waiting.labels(reason).inc(step))
        self._unapproved: dict[str, tuple[CertificateSigningRequest, float]] = {}
        self._in_flight = 0
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        # After an outage there may be thousands at once, and requests that wait come first.
        self._settling = asyncio.Semaphore(_SETTLERS)
        metrics.queued.set_function(lambda: self._backlog.ready)
        metrics.in_flight.set_function(lambda: self._in_flight)
        metrics.window.set_function(lambda: self._window.size)
        reflector.subscribe(self._changed)
        registry.subscribe(self._backlog.issuer_changed)
        registry.subscribe_secrets(self._backlog.secret_changed)

    async def run(self) -> None:
        """Answer requests until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reflector.run())
                tasks.create_task(self._pump())
                tasks.create_task(self._watch_over())
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    async def drain(self) -> None:
        """Take no more in, and answer what is ready: at most `drain_seconds`. The rest is another replica's."""
        self._draining = True
        self._sharing.leave()
        deadline = self._clock() + self._options.drain_seconds
        while (self._backlog.ready or self._in_flight) and self._clock() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)
        if left := self._backlog.ready + self._in_flight:
            log.warning("stopping with %d requests unanswered; they are taken up again after the start", left)

    # What the watch says.

    def _changed(self, change: Change[CertificateSigningRequest]) -> None:
        new, old = change.new, change.old
        if old is not None and (new is None or new.uid != old.uid):
            pending = self._backlog.get(old.uid)
            if pending is not None and not pending.taken:
                self._sharing.answered(old.uid)
            if pending is not None and pending.stage is not Stage.WORKING and isinstance(pending.unsent, Answer):
                # Our own write may have done that: the audit log must not end on "unknown" when it can be known.
                self._aside(self._settle(pending, pending.unsent))
            self._gone(old.uid)
        if new is not None:
            self._offer(new)

    def _offer(self, csr: CertificateSigningRequest) -> None:
        """Look at a request as it is now."""
        if csr.answered:
            self._gone(csr.uid)
            return
        if not csr.approved:
            self._unapproved.setdefault(csr.uid, (csr, self._clock()))
            return
        self._unapproved.pop(csr.uid, None)
        pending = self._backlog.get(csr.uid)
        if pending is not None:
            # A newer version while it is worked on: the write that is under way will tell of the conflict.
            if pending.csr.resource_version != csr.resource_version:
                pending.csr, pending.answers = csr, NOTHING_ASKED
                if pending.stage is Stage.PARKED:
                    self._backlog.make_ready(pending)
            return
        ref = parse_signer_name(csr.signer_name)
        if ref is None or self._draining:
            return
        pending = Pending(csr, ref, self._clock(), flow_of(csr, self._options.world.namespaces))
        self._backlog.add(pending)
        if not self._left_to_owner(pending):
            self._backlog.make_ready(pending)

    def _left_to_owner(self, pending: Pending) -> bool:
        """Park a request that another replica has its time for yet; False when it is ours to answer now."""
        wait = self._sharing.delay(pending.csr.uid, self._clock() - pending.since)
        if wait > 0:
            self._backlog.park(pending, seconds=wait)
        return wait > 0

    def _gone(self, uid: str) -> None:
        self._unapproved.pop(uid, None)
        self._backlog.remove(uid)

    # Deciding, in turn.

    async def _pump(self) -> None:
        await self._registry.synced.wait()
        while True:
            while self._in_flight < self._window.size and (pending := self._backlog.take()) is not None:
                try:
                    self._turn(pending)
                except Exception as error:  # noqa: BLE001 - one request must never stop the others
                    self._unforeseen(pending, error)
                await asyncio.sleep(0)
            self._backlog.wake.clear()
            if not self._backlog.ready or self._in_flight >= self._window.size:
                await self._backlog.wake.wait()

    def _turn(self, pending: Pending) -> None:
        csr = pending.csr
        if self._left_to_owner(pending):
            return
        pending.taken = True
        if isinstance(pending.unsent, Answer) and pending.unsent.csr.resource_version == csr.resource_version:
            self._start(pending, self._write(pending, pending.unsent))
            return
        if isinstance(pending.unsent, Answer):
            # The object has changed since, and is unanswered: so that write was not stored.
            self._record.outcome(pending.unsent, "conflict", "the request changed before the answer was stored")
            pending.unsent = None
        try:
            content = read_content(csr)
        except ProtobufError as error:
            # What the API server sent cannot be read: not this requester's fault, and not to be answered blindly.
            log.error("request %s: the API server's bytes cannot be read: %s", csr.name, error)  # noqa: TRY400
            self._try_again(pending)
            return
        now = self._wall()
        verdict = evaluate(
            content,
            pending.ref,
            self._registry.get,
            pending.answers,
            limits=self._options.limits,
            world=self._options.world,
            cluster_resource_namespace=self._options.cluster_resource_namespace,
            now=now,
        )
        if isinstance(verdict, Issue):
            self._issue(pending, verdict)
        elif isinstance(verdict, Refuse):
            answer = refuse(csr, verdict, requester=content.username, now=now)
            self._record.intent(answer)
            self._start(pending, self._write(pending, answer))
        elif isinstance(verdict, Wait):
            self._wait(pending, verdict)
        elif isinstance(verdict, Unready | Bind | Reread):  # not without a mesh that is watched
            self._wait(pending, Wait(Reason("MeshNotRead", "the mesh is not watched"), pending.ref))
        else:
            self._start(pending, self._ask(pending, verdict, content))

    def _issue(self, pending: Pending, verdict: Issue) -> None:
        key = verdict.authority.key if verdict.authority is not None else verdict.key
        if isinstance(key, RSAPrivateKey) and key.key_size >= _SLOW_RSA_BITS:
            self._start(pending, self._sign_off_loop(pending, verdict))
            return
        try:
            answer = issue(pending.csr, verdict, serial=new_serial())
        except SigningFailed as error:
            self._signing_failed(pending, error)
            return
        self._record.intent(answer)
        self._start(pending, self._write(pending, answer))

    async def _sign_off_loop(self, pending: Pending, verdict: Issue) -> None:
        try:
            answer = await asyncio.to_thread(issue, pending.csr, verdict, serial=new_serial())
        except SigningFailed as error:
            self._signing_failed(pending, error)
            return
        self._record.intent(answer)
        await asyncio.sleep(0)  # the intent is written before the answer is sent
        await self._write(pending, answer)

    def _signing_failed(self, pending: Pending, error: SigningFailed) -> None:
        log.error("request %s: signing with %s failed: %s", pending.csr.name, pending.ref, error)
        self._record.tell(pending, "Warning", "SigningError", f"Error signing certificate: {error}")
        self._try_again(pending)

    def _wait(self, pending: Pending, verdict: Wait) -> None:
        reason = verdict.reason
        if reason.code != PENDING:
            self._record.tell(pending, "Warning", reason.code, reason.message)
        pending.answers = Answers(may_reference=pending.answers.may_reference)
        if verdict.secret is not None:
            self._registry.watch_secrets(verdict.secret[0])
        self._backlog.park(pending, reason=reason.code, issuer=verdict.issuer, secret=verdict.secret, seconds=_RECHECK)

    async def _ask(self, pending: Pending, question: AskReference | AskKey, content: RequestContent) -> None:
        csr = pending.csr
        try:
            if isinstance(question, AskReference):
                answers = Answers(may_reference=await self._questions.may_reference(question.issuer, content))
            else:
                key = await self._questions.key(question.namespace, question.name)
                answers = Answers(may_reference=pending.answers.may_reference, key=key)
        except (ApiError, Unreachable) as error:
            log.warning("request %s: %s", pending.csr.name, error)
            self._try_again(pending, error.retry_after if isinstance(error, ApiError) else None)
            return
        # What was asked for an older version of the object says nothing of this one.
        pending.answers = answers if pending.csr is csr else NOTHING_ASKED
        self._backlog.make_ready(pending)

    # Writing.

    def _start(self, pending: Pending, work: "asyncio._CoroutineLike[None]") -> None:
        self._in_flight += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._finished(pending, task))

    def _finished(self, pending: Pending, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._in_flight -= 1
        self._backlog.wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._unforeseen(pending, error)

    def _unforeseen(self, pending: Pending, error: BaseException) -> None:
        """Tell where something failed, without the error's text: it may quote what it choked on, and that may be a key."""
        places = traceback.extract_tb(error.__traceback__)
        place = f"{places[-1].name} line {places[-1].lineno}" if places else "nowhere"
        kind = type(error).__name__
        log.error("request %s: unforeseen failure; it is tried again (%s in %s)", pending.csr.name, kind, place)
        self._try_again(pending)

    async def _write(self, pending: Pending, answer: Answer) -> None:
        result = await self._writer.write(answer, unsure=pending.unsent is answer)
        if result.throttled:
            self._window.throttled(self._clock())
        if result.outcome == "unknown":
            pending.unsent = answer
            self._record.complain(result.message)
            if not pending.failures:
                self._record.outcome(answer, "unknown", result.message)
            if self._backlog.get(pending.csr.uid) is not pending:  # the watch was quicker: it is answered, or deleted
                await self._settle(pending, answer)
                return
            self._try_again(pending, result.retry_after)
            return
        if not result.throttled:
            self._window.succeeded()
        self._record.outcome(answer, result.outcome, result.message)
        self._record.count(pending, answer, result, known=self._known(pending))
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
            self._try_again(pending)
            return
        self._gone(pending.csr.uid)

    def _aside(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Do what nobody waits for, outside the window of writes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, pending: Pending, answer: Answer) -> None:
        for attempt in range(1, _SETTLE_TRIES + 1):
            async with self._settling:
                result = await self._writer.settle(answer)
            if result.outcome != "unknown":
                self._record.outcome(answer, result.outcome, result.message)
                self._record.count(pending, answer, result, known=self._known(pending))
                return
            await asyncio.sleep(delay(attempt, first=0.1, cap=1.0, retry_after=result.retry_after))

    def _known(self, pending: Pending) -> bool:
        return self._registry.get(pending.ref) is not None

    def _try_again(self, pending: Pending, retry_after: float | None = None) -> None:
        pending.failures += 1
        seconds = delay(pending.failures, first=0.1, cap=10.0, retry_after=retry_after)
        self._backlog.park(pending, reason="Retry", seconds=seconds)

    async def _watch_over(self) -> None:
        """Tell of requests that nobody approves, and make sure that nothing that is stored was overlooked."""
        next_check = self._clock() + _RECHECK
        while True:
            await asyncio.sleep(1.0)
            late = self._clock() - _APPROVAL_PATIENCE
            for uid, (csr, since) in tuple(self._unapproved.items()):
                if since <= late:
                    self._unapproved[uid] = (csr, float("inf"))  # told once, however often the object changes
                    self._record.waits_for_approval(csr)
            if self._clock() >= next_check:
                next_check = self._clock() + _RECHECK
                for csr in tuple(self._reflector.store.values()):
                    if csr.approved and not csr.answered and self._backlog.get(csr.uid) is None:
                        self._offer(csr)


def is_ours(csr: CertificateSigningRequest) -> bool:
    """Tell whether a request is for one of our signer domains and still unanswered."""
    return not csr.answered and parse_signer_name(csr.signer_name) is not None
