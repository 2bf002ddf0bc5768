"""The hot path: each approved CertificateSigningRequest of ours is answered once.

One loop, no threads but for RSA CA keys of 4096 bits and more (signing.py). The watch feeds the backlog; one task
(`_pump`) takes requests in turn, decides and signs them inline, and starts the write; as many writes are under way as
the window allows (delivery.py). Between two requests the loop runs once, so that neither the watch nor the Leases starve.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from signer.api.certificatesigningrequest import CertificateSigningRequest, Head, RequestContent, read_content
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.api.requests import Request
from signer.api.signername import parse_signer_name
from signer.authorities.registry import Registry
from signer.csr.answers.compose import Answer
from signer.csr.answers.delivery import Delivery, Room
from signer.csr.answers.signing import Signing
from signer.csr.answers.writer import Writer
from signer.csr.doors import PodDoor
from signer.csr.evaluate import Circumstances, case_by_identity, case_of, evaluate
from signer.csr.foreign import ForeignCertificates
from signer.csr.inquiries import Mesh
from signer.csr.outcome import NOTHING_ASKED, AskKey, AskPod, AskReference, Issue, Verdict
from signer.csr.questions import Questions
from signer.csr.queue.backlog import Backlog, Pending, Stage
from signer.csr.queue.flow import flow_of
from signer.csr.queue.intake import Intake
from signer.csr.queue.others import Others
from signer.csr.queue.pacing import Pacing
from signer.csr.queue.replica import Sharing
from signer.csr.queue.unapproved import Unapproved
from signer.csr.queue.waiting import RECHECK, Sources, Waiting
from signer.csr.record import Around, Record
from signer.kube.clock import utc_now
from signer.kube.encoding.protobuf import ProtobufError
from signer.kube.reflector import Change, Reflector
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.tenancy.decide import unready
from signer.tenancy.verdict import Inquiry, Limits, Refuse, Unready, Wait
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may set of the hot path."""

    cluster_resource_namespace: str
    limits: Limits
    write_window: int = 64
    drain_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the hot path works with: where requests come from and answers go, who signs them, who is told.

    `intake` is what `reflector` reads requests with. Without a `mesh` there is no wall: all passes that cert-manager
    would sign. `pods` is the door of PodCertificateRequests, None where they are not asked for.
    """

    reflector: Reflector[CertificateSigningRequest]
    intake: Intake
    registry: Registry
    questions: Questions
    writer: Writer
    sharing: Sharing
    recorder: EventRecorder
    metrics: Metrics
    audit: AuditLog
    mesh: Mesh | None = None
    pods: PodDoor | None = None


class RequestController:
    """Answers requests until cancelled; `drain` works off what is there.

    `foreign` and `waiting` say in `trouble` why we are not ready on account of others, "" when we are.
    """

    def __init__(
        self,
        parts: Parts,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        registry, mesh, metrics, audit = parts.registry, parts.mesh, parts.metrics, parts.audit
        self._reflector = parts.reflector
        self._pods = parts.pods
        self._registry = registry
        self._sharing = parts.sharing
        self._options = options
        self._clock = clock
        self._wall = wall
        self._mesh = mesh
        self._no_wall = without_wall()
        around = Around(registry.get, lambda: self.world, clock, wall)
        self._record = Record(parts.recorder, metrics, audit, around)
        self._backlog = Backlog(lambda reason, step: metrics.waiting.labels(reason).inc(step), clock)
        room = Room(options.write_window, shared=mesh is not None, clock=clock)
        self._delivery = Delivery(parts.writer, self._backlog, self._record, audit, room, self._stored)
        sources = Sources(registry, parts.questions, mesh)
        self.waiting = Waiting(self._backlog, sources, self._record, around, self._delivery.try_again)
        self._pacing = Pacing(self._backlog, self._record, clock)
        self._signing = Signing(self._delivery, self._record)
        self._unapproved = Unapproved(self._record, parts.sharing, clock)
        self.foreign = ForeignCertificates(self._backlog, self._unapproved.uids, around.world, around, self._record)
        self._others = Others(parts.sharing, self._take_in, clock)
        self._draining = False
        self._gauges = _Gauges(metrics, self._backlog, self._delivery, audit, around.world, wall)
        parts.reflector.subscribe(self._changed)
        if parts.pods is not None:
            parts.pods.subscribe(self._changed)
            parts.pods.subscribe_slips(self._tell_slip)
        parts.intake.subscribe(self.foreign.look)
        parts.intake.subscribe_slips(self._tell_slip)
        parts.intake.spare = self._spare

    @property
    def world(self) -> World:
        """What decisions are made from."""
        return self._mesh.world if self._mesh is not None else self._no_wall

    def _tell_slip(self, csr: Request, wrong: str) -> None:
        if not self._sharing.delay(csr.uid, 0.0):  # one replica says it
            self._record.misspelt(csr, wrong)

    async def run(self) -> None:
        """Answer requests until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reflector.run())
                if self._pods is not None:
                    tasks.create_task(self._pods.run())
                tasks.create_task(self._pump())
                tasks.create_task(self._watch_over())
        finally:
            self._delivery.close()
            self._others.close()
            self._pacing.close()
            self.waiting.close()
            self._record.close()

    async def drain(self) -> None:
        """Take no more in, and answer what is ready: at most `drain_seconds`. The rest is another replica's."""
        self._draining = True
        self._sharing.leave()
        deadline = self._clock() + self._options.drain_seconds
        while self._busy and self._clock() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)
        if left := self._busy:
            log.warning("stopping with %d requests unanswered; they are picked up again after the restart", left)

    @property
    def _busy(self) -> int:
        return self._backlog.ready + self._delivery.in_flight + self.waiting.under_way

    # What the watch says.

    def _spare(self, head: Head, raw: bytes) -> bool:
        """Tell whether an event says nothing that is not known here, so that the object need not be read (ADR 58).

        That are new requests of other replicas, certificates of theirs, and our own: what we sent comes back, byte for byte,
        with a serial number that nobody else can have known before it was stored.
        """
        if head.state == "new":
            return self._unapproved.leave(head.uid, raw)
        pending = self._backlog.get(head.uid)
        if pending is not None:
            return pending.answer is not None and bool(pending.answer.pem) and pending.answer.pem in raw
        return not self.foreign.knows(head.uid)

    def _changed(self, change: Change[CertificateSigningRequest] | Change[PodCertificateRequest]) -> None:
        new: Request | None = change.new
        old: Request | None = change.old
        if old is not None and (new is None or new.uid != old.uid):
            pending = self._backlog.get(old.uid)
            if pending is not None and not pending.taken:
                self._sharing.answered(old.uid, self._clock() - pending.since)
            if pending is not None and pending.stage is not Stage.WORKING and pending.unsent is not None:
                # Our own write may have done that: the audit log must not end on "unknown" when it can be known.
                self._delivery.settle_aside(pending, pending.unsent)
            self._gone(old.uid)
        if new is not None:
            self._offer(new)

    def _offer(self, csr: Request) -> None:
        """Look at a request as it is now."""
        if csr.answered:
            self._gone(csr.uid)
            return
        if isinstance(csr, CertificateSigningRequest) and not csr.approved:
            self._unapproved.put(csr)
            return
        self._unapproved.remove(csr.uid)
        pending = self._backlog.get(csr.uid)
        if pending is not None:
            # A newer version while it is worked on: the write that is under way will tell of the conflict.
            if pending.csr.resource_version != csr.resource_version:
                pending.csr, pending.answers = csr, NOTHING_ASKED
                if pending.stage is Stage.PARKED:
                    self._backlog.make_ready(pending)
            return
        if not self._draining and not self._others.leave(csr):
            self._take_in(csr, self._clock())

    def _take_in(self, csr: Request, since: float) -> None:
        """Queue a request that is ours to answer, or that nobody else seems to answer."""
        ref = parse_signer_name(csr.signer_name)
        if ref is None or self._draining:
            return
        pending = Pending(csr, ref, since, flow_of(csr, self.world.namespaces))
        self._backlog.add(pending)
        if (waiting := unready(self.world)) is not None:
            self.waiting.for_world(pending, waiting)  # a start with thousands of requests looks at each once
        else:
            self._backlog.make_ready(pending)

    def _left_to_owner(self, pending: Pending) -> bool:
        """Park a request that another replica has its time for yet; False when it is ours to answer now."""
        wait = self._sharing.delay(pending.csr.uid, self._clock() - pending.since)
        if wait > 0:
            self._backlog.park(pending, seconds=wait)
        return wait > 0

    def _gone(self, uid: str) -> None:
        self._unapproved.remove(uid)
        self._others.gone(uid)
        self._backlog.remove(uid)

    def _stored(self, pending: Pending, answer: Answer) -> None:
        if self._mesh is None or not pending.mesh:
            return
        if answer.refused:
            if isinstance(pending.csr, CertificateSigningRequest):
                self.foreign.refused(pending.csr)
            self._mesh.refused(pending.ref)
        elif isinstance(answer.verdict, Issue) and (grant := answer.verdict.grant).mesh:
            self._mesh.issued(pending.ref, grant.namespace, self._wall(), grant.policy)

    # Deciding, in turn.

    async def _pump(self) -> None:
        await self._registry.synced.wait()
        while True:
            self._backlog.wake.clear()
            while not self._delivery.full and (pending := self._backlog.take()) is not None:
                try:
                    self._turn(pending)
                except Exception as error:  # noqa: BLE001 - one request must never stop the others
                    self._delivery.unforeseen(pending, error)
                await asyncio.sleep(0)
            await self._backlog.wake.wait()

    def _turn(self, pending: Pending) -> None:
        csr = pending.csr
        if self._left_to_owner(pending):
            return
        pending.taken = True
        if (unsent := pending.unsent) is not None:
            if unsent.csr.resource_version == csr.resource_version:
                self._delivery.start(pending, self._delivery.write(pending, unsent))
                return
            # The object has changed since, and is unanswered: so that write was not stored.
            self._record.outcome(pending, unsent, "conflict", "the request changed before the answer was stored")
            pending.unsent = None
        options, now = self._options, self._wall()
        around = Circumstances(options.limits, self.world, options.cluster_resource_namespace, now)
        if isinstance(csr, PodCertificateRequest):
            self._turn_pod(pending, csr, around)
            return
        try:
            content = read_content(csr)
        except ProtobufError as error:
            # What the API server sent cannot be read: not this requester's fault, and not to be answered blindly.
            log.error("request %s: the API server's bytes cannot be read: %s", csr.name, error)  # noqa: TRY400
            self._delivery.try_again(pending)
            return
        world, ref = self.world, pending.asked
        if ref in world.routed:
            space, find = pending.flow.namespace, self._registry.get
            case = case_by_identity(content, ref, find, pending.answers, world, now=now, namespace=space)
        else:
            case = case_of(content, ref, self._registry.get(ref), pending.answers, world)
        pending.mesh, pending.ref = case.standing.mesh, case.ref
        self._carry_out(pending, evaluate(case, around), content, now)

    def _turn_pod(self, pending: Pending, request: PodCertificateRequest, around: Circumstances) -> None:
        pods = self._pods
        if pods is None:
            raise RuntimeError("a PodCertificateRequest, and no door that it came by")
        pending.mesh = True
        verdict = pods.evaluate(request, pending.ref, self._registry.get(pending.ref), pending.answers, around)
        if isinstance(verdict, Refuse):
            self._signing.deny(pending, verdict, request.requester, "", around.now)
        elif isinstance(verdict, AskPod):
            self._delivery.start(pending, self.waiting.for_pod(pending, request, pods.look))
        else:
            self._issue_or_wait(pending, verdict)

    def _carry_out(self, pending: Pending, verdict: Verdict, content: RequestContent, now: datetime) -> None:
        if isinstance(verdict, Refuse):
            self._signing.refuse(pending, verdict, content, now)
        elif isinstance(verdict, AskReference | AskKey):
            self._delivery.start(pending, self.waiting.for_answer(pending, verdict, content))
        else:
            self._issue_or_wait(pending, verdict)

    def _issue_or_wait(self, pending: Pending, verdict: Issue | Wait | Unready | Inquiry) -> None:
        if isinstance(verdict, Issue):
            if not self._pacing.holds(pending, verdict.grant):
                self._signing.issue(pending, verdict)
        elif isinstance(verdict, Wait):
            self.waiting.for_issuer(pending, verdict)
        elif isinstance(verdict, Unready):
            self.waiting.for_world(pending, verdict)
        else:
            self.waiting.for_mesh(pending, verdict)

    # What time brings.

    async def _watch_over(self) -> None:
        """Tell of requests that nobody approves, and make sure that nothing that is stored was overlooked."""
        next_check = self._clock() + RECHECK
        while True:
            await asyncio.sleep(1.0)
            self._record.turn()
            self._gauges.turn()
            self._unapproved.turn()
            if self._clock() >= next_check:
                next_check = self._clock() + RECHECK
                self._record.sweep()
                pods: Iterable[Request] = self._pods.store.values() if self._pods is not None else ()
                for csr in (*self._reflector.store.values(), *pods):
                    known = csr.uid in self._others or self._backlog.get(csr.uid) is not None
                    if csr.approved and not csr.answered and not known:
                        self._offer(csr)


class _Gauges:
    """What the hot path shows of itself: its queue, its window, the audit log's state, and the wall's mode.

    `world` gives what is decided from, `wall` the time of day.
    """

    def __init__(
        self,
        metrics: Metrics,
        backlog: Backlog,
        delivery: Delivery,
        audit: AuditLog,
        world: Callable[[], World],
        wall: Callable[[], datetime],
    ) -> None:
        self._metrics = metrics
        self._world = world
        self._wall = wall
        metrics.queued.set_function(lambda: backlog.ready)
        metrics.in_flight.set_function(lambda: delivery.in_flight)
        metrics.window.set_function(lambda: delivery.window.size)
        metrics.audit_failing.set_function(lambda: bool(audit.trouble))

    def turn(self) -> None:
        """Show the wall's mode, which ends by the clock. To be called each second or so."""
        settings = self._world().settings
        mode = settings.mode if settings.mode == "off" else "enforce" if settings.enforces(self._wall()) else "audit"
        for each in ("enforce", "audit", "off"):
            self._metrics.tenancy.labels(each).set(each == mode)
