"""What a request waits for: an issuer, a Secret, the mesh, the answer to a question.

What waits goes on by itself when that changes, and is decided anew each half minute besides. Used on the loop only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from signer.api.certificatesigningrequest import RequestContent
from signer.api.pod import Surroundings
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.authorities.registry import Registry
from signer.authorities.state import PENDING
from signer.csr.inquiries import INQUIRY_FAILED, Inquiries, Mesh
from signer.csr.outcome import NOTHING_ASKED, Answers, AskKey, AskReference
from signer.csr.questions import Questions
from signer.csr.queue.backlog import Backlog, Pending
from signer.csr.queue.flow import flow_of
from signer.csr.record import Around, Record
from signer.kube.errors import ApiError, Unreachable
from signer.kube.reach import loudness
from signer.tenancy.grants import NOT_RECORDED
from signer.tenancy.mesh_cas import NOT_JUDGED
from signer.tenancy.verdict import Inquiry, Unready, Wait

log = logging.getLogger(__name__)

RECHECK = 30.0
# A world that is being read changes with each object; those that wait for it are looked at once in a while.
_WORLD_PAUSE = 0.25
_RECORD_PAUSE = 0.5
_SOON = 5.0
# What waits for the world, or for its mesh config; topics of the backlog.
_WORLD, _CONFIG = "world", "mesh config"
# A question that failed so often in a row for one request is told on it: some three seconds after the first time.
_TELL_AFTER = 5

TryAgain = Callable[[Pending, float | None], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where what is waited for comes from: issuers and Secrets, cert-manager's questions, and the wall's; no wall, no `mesh`."""

    registry: Registry
    questions: Questions
    mesh: Mesh | None


class Waiting:
    """Puts requests of `backlog` aside. `try_again` takes one whose question had no answer, and the seconds to wait."""

    def __init__(
        self,
        backlog: Backlog,
        sources: Sources,
        record: Record,
        around: Around,
        try_again: TryAgain,
    ) -> None:
        registry, mesh = sources.registry, sources.mesh
        self._backlog = backlog
        self._registry = registry
        self._questions = sources.questions
        self._record = record
        self._around = around
        self._try_again = try_again
        self._inquiries = Inquiries(mesh, backlog, self._not_asked, around.clock) if mesh is not None else None
        self._timer: asyncio.TimerHandle | None = None
        self._config = around.world().config
        registry.subscribe(backlog.issuer_changed)
        registry.subscribe_secrets(backlog.secret_changed)
        if mesh is not None:
            mesh.subscribe(self._world_changed)

    @property
    def under_way(self) -> int:
        """How many questions of the wall are being asked."""
        return self._inquiries.under_way if self._inquiries is not None else 0

    @property
    def trouble(self) -> str:
        """Which question of the wall has had no answer for a while, and why; "" when all had."""
        return self._inquiries.trouble if self._inquiries is not None else ""

    def close(self) -> None:
        """End what is under way."""
        if self._inquiries is not None:
            self._inquiries.close()

    def for_issuer(self, pending: Pending, verdict: Wait) -> None:
        """Put a request aside until its issuer, or the Secret that it names, has changed."""
        reason = verdict.reason
        if reason.code != PENDING:
            self._record.waits(pending, reason.code, reason.message)
        pending.answers = Answers(may_reference=pending.answers.may_reference)
        if verdict.secret is not None:
            self._registry.watch_secrets(verdict.secret[0])
        self._backlog.park(pending, reason=reason.code, issuer=verdict.issuer, secret=verdict.secret, seconds=RECHECK)

    def for_world(self, pending: Pending, verdict: Unready) -> None:
        """Nothing can be decided now; what is wrong with one signer is mended in the mesh config or in its Secret."""
        reason, world = verdict.reason, self._around.world()
        # What was not read yet is read soon after the start, as a rule, and what was not looked at yet in the next turns of
        # the loop: when it is not, that is to be told as well.
        soon = world.unsynced or reason.code in (NOT_JUDGED, NOT_RECORDED)
        if not soon or self._around.clock() - pending.since >= (RECHECK if world.unsynced else _SOON):
            self._record.waits(pending, reason.code, reason.message, reason.others)
        # Tenants change the world all the time, and to judge a request anew costs more than they pay for it.
        topic = _WORLD if world.unsynced or world.stale or reason.code == NOT_JUDGED else _CONFIG
        # What a policy's status lacks is written by us, and at once.
        seconds = _RECORD_PAUSE if reason.code == NOT_RECORDED else RECHECK
        self._backlog.park(pending, reason=reason.code, issuer=pending.ref, topic=topic, seconds=seconds)

    def for_mesh(self, pending: Pending, question: Inquiry) -> None:
        """Put a request aside until the wall's question is answered."""
        if self._inquiries is None:
            raise RuntimeError("the wall asks, and there is no mesh")
        self._inquiries.ask(pending, question)

    async def for_answer(self, pending: Pending, question: AskReference | AskKey, content: RequestContent) -> None:
        """Ask one of cert-manager's questions, and give the request its turn with the answer."""
        csr = pending.csr
        try:
            if isinstance(question, AskReference):
                answers = Answers(may_reference=await self._questions.may_reference(question.issuer, content))
            else:
                key = await self._questions.key(question.namespace, question.name)
                answers = Answers(may_reference=pending.answers.may_reference, key=key)
        except (ApiError, Unreachable) as error:
            log.log(loudness(error), "request %s: %s", pending.csr.name, error, extra={"request": pending.csr.name})
            self._not_asked(pending, error, _named(question))
            return
        # What was asked for an older version of the object says nothing of this one.
        pending.answers = answers if pending.csr is csr else NOTHING_ASKED
        self._backlog.make_ready(pending)

    async def for_pod(
        self,
        pending: Pending,
        request: PodCertificateRequest,
        look: Callable[[PodCertificateRequest], Awaitable[Surroundings]],
    ) -> None:
        """Look at the Pod of a request, and give it its turn with what was seen."""
        try:
            seen = await look(request)
        except (ApiError, Unreachable) as error:
            log.log(loudness(error), "request %s: %s", request.name, error, extra={"request": request.name})
            self._not_asked(pending, error, f"Pod {request.namespace}/{request.pod_name} cannot be looked at")
            return
        pending.answers = replace(pending.answers, pod=seen) if pending.csr is request else NOTHING_ASKED
        self._backlog.make_ready(pending)

    def _not_asked(self, pending: Pending, error: BaseException, what: str) -> None:
        if pending.failures >= _TELL_AFTER:
            # The text of what was not foreseen may quote what it choked on.
            why = str(error) if isinstance(error, ApiError | Unreachable) else type(error).__name__
            self._record.waits(pending, INQUIRY_FAILED, f"{what}; it will be retried: {why}")
        self._try_again(pending, error.retry_after if isinstance(error, ApiError) else None)

    def _world_changed(self) -> None:
        configured = self._config is not self._around.world().config and self._backlog.waiting_on(_CONFIG)
        if self._timer is None and (configured or self._backlog.waiting_on(_WORLD)):
            self._timer = asyncio.get_running_loop().call_later(_WORLD_PAUSE, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        world = self._around.world()
        waiting = self._backlog.waiting(_WORLD)
        if self._config is not world.config:
            self._config = world.config
            waiting += self._backlog.waiting(_CONFIG)
        for pending in waiting:
            # Before the world was read, nobody could tell whose it is.
            pending.flow = flow_of(pending.csr, world.namespaces)
            self._backlog.make_ready(pending)


def _named(question: AskReference | AskKey) -> str:
    if isinstance(question, AskReference):
        return f"whether the requester may reference {question.issuer} cannot be determined"
    return f"Secret {question.namespace}/{question.name} cannot be read"
