"""The hot path: each approved CertificateSigningRequest of ours is answered once.

One loop, no threads but for RSA CA keys of 4096 bits and more (signing.py). The watch feeds the backlog; one task
(`_pump`) takes requests in turn, decides and signs them inline, and starts the write; as many writes are under way as
the window allows (delivery.py). Between two requests the loop runs once, so that neither the watch nor the Leases starve.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from signer.api.certificatesigningrequest import CertificateSigningRequest, RequestContent, read_content
from signer.api.issuer import IssuerRef
from signer.api.signername import parse_signer_name
from signer.authorities.registry import Registry
from signer.csr.answers.compose import Answer
from signer.csr.answers.delivery import Delivery
from signer.csr.answers.signing import Signing
from signer.csr.answers.writer import Writer
from signer.csr.evaluate import evaluate
from signer.csr.foreign import ForeignCertificates
from signer.csr.gauges import Gauges
from signer.csr.inquiries import Mesh
from signer.csr.outcome import NOTHING_ASKED, Issue
from signer.csr.questions import Questions
from signer.csr.queue.backlog import Backlog, Pending, Stage
from signer.csr.queue.flow import flow_of
from signer.csr.queue.intake import Intake
from signer.csr.queue.pacing import Pacing
from signer.csr.queue.replica import Sharing
from signer.csr.queue.unapproved import Unapproved
from signer.csr.queue.waiting import RECHECK, Waiting
from signer.csr.record import Around, Record
from signer.kube.encoding.protobuf import ProtobufError
from signer.kube.reflector import Change, Reflector
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.tenancy.decide import is_mesh, unready
from signer.tenancy.verdict import Bind, Limits, Refuse, Reread, Unready, Wait
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)
_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may set of the hot path."""

    cluster_resource_namespace: str
    limits: Limits
    write_window: int = 64
    drain_seconds: float = 20.0


class RequestController:
    """Answers requests until cancelled; `drain` works off what is there.

    `intake` is what `reflector` reads requests with. Without a `mesh` there is no wall: all passes that cert-manager
    would sign. `foreign` and `waiting` say in `trouble` why we are not ready on account of others, "" when we are.
    """

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
        mesh: Mesh | None = None,
        intake: Intake | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _now,
    ) -> None:
        self._reflector = reflector
        self._registry = registry
        self._sharing = sharing
        self._options = options
        self._clock = clock
        self._wall = wall
        self._mesh = mesh
        self._no_wall = without_wall()
        around = Around(registry.get, lambda: self.world, clock, wall)
        self._record = Record(recorder, metrics, audit, around)
        self._backlog = Backlog(lambda reason, step: metrics.waiting.labels(reason).inc(step))
        self._delivery = Delivery(
            writer,
            self._backlog,
            self._record,
            audit,
            window=options.write_window,
            shared=mesh is not None,
            clock=clock,
            stored=self._stored,
        )
        self.waiting = Waiting(self._backlog, registry, questions, mesh, self._record, around, self._delivery.try_again)
        self._pacing = Pacing(self._backlog, self._record, clock)
        self._signing = Signing(self._delivery, self._record)
        self._unapproved = Unapproved(self._record, clock)
        self.foreign = ForeignCertificates(self._backlog, self._unapproved.uids, around.world, around, self._record)
        self._draining = False
        self._gauges = Gauges(metrics, self._backlog, self._delivery, audit, around.world, wall)
        reflector.subscribe(self._changed)
        if intake is not None:
            intake.subscribe(self.foreign.look)

    @property
    def world(self) -> World:
        """What decisions are made from."""
        return self._mesh.world if self._mesh is not None else self._no_wall

    async def run(self) -> None:
        """Answer requests until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reflector.run())
                tasks.create_task(self._pump())
                tasks.create_task(self._watch_over())
        finally:
            self._delivery.close()
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
            log.warning("stopping with %d requests unanswered; they are taken up again after the start", left)

    @property
    def _busy(self) -> int:
        return self._backlog.ready + self._delivery.in_flight + self.waiting.under_way

    # What the watch says.

    def _changed(self, change: Change[CertificateSigningRequest]) -> None:
        new, old = change.new, change.old
        if old is not None and (new is None or new.uid != old.uid):
            pending = self._backlog.get(old.uid)
            if pending is not None and not pending.taken:
                self._sharing.answered(old.uid)
            if pending is not None and pending.stage is not Stage.WORKING and isinstance(pending.unsent, Answer):
                # Our own write may have done that: the audit log must not end on "unknown" when it can be known.
                self._delivery.settle_aside(pending, pending.unsent)
            self._gone(old.uid)
        if new is not None:
            self._offer(new)

    def _offer(self, csr: CertificateSigningRequest) -> None:
        """Look at a request as it is now."""
        if csr.answered:
            self._gone(csr.uid)
            return
        if not csr.approved:
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
        ref = parse_signer_name(csr.signer_name)
        if ref is None or self._draining:
            return
        pending = Pending(csr, ref, self._clock(), flow_of(csr, self.world.namespaces))
        self._backlog.add(pending)
        if self._left_to_owner(pending):
            return
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
        self._backlog.remove(uid)

    def _stored(self, pending: Pending, answer: Answer) -> None:
        if self._mesh is None or not pending.mesh:
            return
        if answer.refused:
            self.foreign.refused(pending.csr)
            self._mesh.refused(pending.ref)
        elif isinstance(answer.verdict, Issue) and answer.verdict.mesh:
            self._mesh.issued(pending.ref, answer.verdict.namespace, self._wall(), answer.verdict.policy)

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
        if isinstance(pending.unsent, Answer) and pending.unsent.csr.resource_version == csr.resource_version:
            self._delivery.start(pending, self._delivery.write(pending, pending.unsent))
            return
        if isinstance(pending.unsent, Answer):
            # The object has changed since, and is unanswered: so that write was not stored.
            self._record.outcome(
                pending, pending.unsent, "conflict", "the request changed before the answer was stored"
            )
            pending.unsent = None
        try:
            content = read_content(csr)
        except ProtobufError as error:
            # What the API server sent cannot be read: not this requester's fault, and not to be answered blindly.
            log.error("request %s: the API server's bytes cannot be read: %s", csr.name, error)  # noqa: TRY400
            self._delivery.try_again(pending)
            return
        now, world = self._wall(), self.world
        verdict = evaluate(
            content,
            pending.ref,
            self._registry.get,
            pending.answers,
            limits=self._options.limits,
            world=world,
            cluster_resource_namespace=self._options.cluster_resource_namespace,
            now=now,
        )
        pending.mesh = world.settings.mode != "off" and self._is_mesh(pending.ref, content)
        if isinstance(verdict, Issue):
            if not self._pacing.holds(pending, verdict):
                self._signing.issue(pending, verdict)
        elif isinstance(verdict, Refuse):
            self._signing.refuse(pending, verdict, content, now)
        elif isinstance(verdict, Wait):
            self.waiting.for_issuer(pending, verdict)
        elif isinstance(verdict, Unready):
            self.waiting.for_world(pending, verdict)
        elif isinstance(verdict, Bind | Reread):
            self.waiting.for_mesh(pending, verdict)
        else:
            self._delivery.start(pending, self.waiting.for_answer(pending, verdict, content))

    def _is_mesh(self, ref: IssuerRef, content: RequestContent) -> bool:
        state = self._registry.get(ref)
        key = state.authority.key_id if state is not None and state.authority is not None else ""
        return is_mesh(self.world, requester=content.username, signer=ref, ca_key_id=key)

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
                for csr in tuple(self._reflector.store.values()):
                    if csr.approved and not csr.answered and self._backlog.get(csr.uid) is None:
                        self._offer(csr)
