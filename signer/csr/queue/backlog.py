"""The approved requests that have no answer yet, and where each one stands.

Nothing that is approved is ever forgotten: a request leaves the backlog only when it is answered or deleted. It is in
exactly one place: ready (its turn comes, flow by flow), working (being answered), or parked (waiting for an issuer, a
Secret, a topic such as the mesh, a moment). Used on the loop only; no request is copied.
"""

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice

from signer.api.issuer import IssuerRef
from signer.api.requests import Request
from signer.csr.answers.compose import Answer
from signer.csr.outcome import NOTHING_ASKED, Answers
from signer.csr.queue.flow import NO_FLOW, Flow
from signer.kube.turns import Turns


class Stage(Enum):
    """Where a pending request stands."""

    READY = auto()
    WORKING = auto()
    PARKED = auto()


@dataclass(slots=True, eq=False)
class Pending:
    """One approved, unanswered request. `since` is when it was seen approved (monotonic seconds).

    `at` is when its stage began, `queued` and `worked` how long it was ready and worked on before that (seconds).
    `taken` tells that this replica has worked on it, so that its end is not a sign of life of another one.
    `unsent` is the answer whose write has an unknown outcome, kept for the object version in `csr`: it is sent again
    as it is, so that no second certificate is made; `answer` is the one that was sent last. `flow` is whose queue it
    stands in, `mesh` whether the wall is for it; `paid` tells that its policy's rate has let it pass, `hushed` that its
    refusal is only counted.
    """

    csr: Request
    ref: IssuerRef
    since: float
    flow: Flow = NO_FLOW
    stage: Stage = Stage.PARKED
    at: float = 0.0
    queued: float = 0.0
    worked: float = 0.0
    answers: Answers = NOTHING_ASKED
    failures: int = 0
    taken: bool = False
    paid: bool = False
    mesh: bool = False
    hushed: bool = False
    unsent: Answer | None = field(default=None, repr=False)
    answer: Answer | None = field(default=None, repr=False)
    told: set[str] = field(default_factory=set)
    waits_for: str = ""
    secret: tuple[str, str] | None = None
    topic: Hashable = None
    timer: asyncio.TimerHandle | None = None
    asked: IssuerRef = field(init=False)

    def __post_init__(self) -> None:
        """Keep the signer that was asked: `ref` becomes the one that identity chooses, anew in each turn."""
        self.asked = self.ref

    def work(self, now: float) -> float:
        """How long it has been worked on so far, in seconds: what it waits for, and its turn, do not count."""
        return self.worked + (now - self.at if self.stage is Stage.WORKING else 0.0)


class Backlog:
    """All pending requests. `wake` is set whenever one became ready; `on_wait(reason, +1 | -1)` counts the parked.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, on_wait: Callable[[str, int], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_wait = on_wait
        self._clock = clock
        self._by_uid: dict[str, Pending] = {}
        self._ready: Turns[Pending] = Turns()
        self._by_issuer: defaultdict[IssuerRef, dict[str, Pending]] = defaultdict(dict)
        self._by_secret: defaultdict[tuple[str, str], dict[str, Pending]] = defaultdict(dict)
        self._by_topic: defaultdict[Hashable, OrderedDict[str, Pending]] = defaultdict(OrderedDict)
        self.wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_uid)

    @property
    def ready(self) -> int:
        """How many wait for their turn."""
        return len(self._ready)

    def get(self, uid: str) -> Pending | None:
        """Return the pending request with this uid."""
        return self._by_uid.get(uid)

    def add(self, pending: Pending) -> None:
        """Take a new request in, parked: `make_ready` gives it its turn."""
        self._by_uid[pending.csr.uid] = pending

    def remove(self, uid: str) -> Pending | None:
        """Forget a request that was answered or deleted."""
        pending = self._by_uid.pop(uid, None)
        if pending is not None:
            self._leave(pending)
            if pending.stage is not Stage.WORKING:  # what its answer is asked for now is no work on it
                pending.stage = Stage.PARKED
        return pending

    def make_ready(self, pending: Pending) -> None:
        """Give a request its turn, at the end of its flow; one that is already ready keeps its place."""
        if pending.stage is Stage.READY or self._by_uid.get(pending.csr.uid) is not pending:
            return
        self._leave(pending)
        now = self._clock()
        pending.worked = pending.work(now)
        pending.stage, pending.at = Stage.READY, now
        self._ready.add(pending.flow, pending.csr.uid, pending)
        self.wake.set()

    def hold(self, flow: Flow) -> None:
        """Give a flow no turns until it is let go."""
        self._ready.hold(flow)

    def let_go(self, flow: Flow) -> None:
        """Give a flow turns again."""
        self._ready.let_go(flow)

    def take(self) -> Pending | None:
        """Return the next request whose turn it is, now working; None when there is none but of flows that are held."""
        pending = self._ready.take()
        if pending is not None:
            now = self._clock()
            pending.queued += now - pending.at
            pending.stage, pending.at = Stage.WORKING, now
        return pending

    def park(
        self,
        pending: Pending,
        *,
        reason: str = "",
        issuer: IssuerRef | None = None,
        secret: tuple[str, str] | None = None,
        topic: Hashable = None,
        seconds: float | None = None,
    ) -> None:
        """Put a request aside until its issuer or Secret changes, its topic is released, or for some seconds.

        Whatever comes first.
        """
        if self._by_uid.get(pending.csr.uid) is not pending:
            return
        self._leave(pending)
        if pending.stage is Stage.WORKING:
            pending.worked = pending.work(self._clock())
        pending.stage = Stage.PARKED
        if reason:
            pending.waits_for = reason
            self._on_wait(reason, 1)
        if issuer is not None:
            self._by_issuer[issuer][pending.csr.uid] = pending
        if secret is not None:
            pending.secret = secret
            self._by_secret[secret][pending.csr.uid] = pending
        if topic is not None:
            pending.topic = topic
            self._by_topic[topic][pending.csr.uid] = pending
        if seconds is not None:
            pending.timer = asyncio.get_running_loop().call_later(seconds, self.make_ready, pending)

    def issuer_changed(self, issuer: IssuerRef) -> None:
        """Give all that wait for this issuer their turn."""
        for pending in tuple(self._by_issuer.get(issuer, {}).values()):
            self.make_ready(pending)

    def secret_changed(self, namespace: str, name: str) -> None:
        """Give all that wait for this Secret their turn."""
        for pending in tuple(self._by_secret.get((namespace, name), {}).values()):
            pending.answers = Answers(may_reference=pending.answers.may_reference)
            self.make_ready(pending)

    def waiting_on(self, topic: Hashable) -> int:
        """How many wait for this topic."""
        return len(self._by_topic.get(topic, ()))

    def waiting(self, topic: Hashable) -> list[Pending]:
        """Return those that wait for this topic, the first one first."""
        return list(self._by_topic.get(topic, {}).values())

    def release(self, topic: Hashable, count: int | None = None) -> list[Pending]:
        """Give those that wait for this topic their turn, the first `count` of them, or all; returns them."""
        released = list(islice(self._by_topic.get(topic, {}).values(), count))
        for pending in released:
            self.make_ready(pending)
        return released

    def _leave(self, pending: Pending) -> None:
        """Take a request out of the place where it is."""
        uid = pending.csr.uid
        if pending.stage is Stage.READY:
            self._ready.discard(pending.flow, uid)
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
        if pending.waits_for:
            self._on_wait(pending.waits_for, -1)
            pending.waits_for = ""
        waiting = self._by_issuer.get(pending.ref)
        if waiting is not None and waiting.pop(uid, None) is not None and not waiting:
            del self._by_issuer[pending.ref]
        if pending.secret is not None:
            others = self._by_secret[pending.secret]
            others.pop(uid, None)
            if not others:
                del self._by_secret[pending.secret]
            pending.secret = None
        if pending.topic is not None:
            queue = self._by_topic[pending.topic]
            queue.pop(uid, None)
            if not queue:
                del self._by_topic[pending.topic]
            pending.topic = None
