"""The controllers of ACME issuers, Orders and Challenges: one replica leads at a time.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
Nothing of Orders is done before Orders and Challenges were read once; issuers do not wait for that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from signer.api.certificate import Certificate
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.issuer import IssuerRef
from signer.api.order import ORDERS, Order
from signer.authorities.registry import Registry
from signer.edge.challenges.controller import ChallengeController
from signer.edge.challenges.each import InTheWay
from signer.edge.challenges.presenter import Presenter
from signer.edge.challenges.proving import HostsProven
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.permit import Permit, Would
from signer.edge.issuers.accounts import Accounts
from signer.edge.issuers.choice import Alternatives, read_alternatives
from signer.edge.issuers.controller import AcmeIssuerController
from signer.edge.issuers.metrics import AcmeMetrics
from signer.edge.issuers.term import Term
from signer.edge.orders.controller import OrderController
from signer.edge.orders.family import OrderFamily
from signer.edge.orders.gate import OrderGate
from signer.edge.orders.renewals import RenewalController
from signer.edge.orders.requests import OrderedRequests
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.encoding.codec import JsonCodec
from signer.kube.errors import ApiError, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Reflector
from signer.kube.room import FIRST
from signer.kube.superseded import Key
from signer.observe.controller_queue import ControllerQueue, namespace_of
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.write_errors import WriteErrors

log = logging.getLogger(__name__)

ACME_ISSUERS = "acmeissuers"
ORDER_NAME = "orders"
CHALLENGE_NAME = "challenges"
ALL = (ACME_ISSUERS, ORDER_NAME, CHALLENGE_NAME)
# One namespace has half of them at most (signer/kube/queue.py), and of these one CA that hangs no more than its share
# (signer/edge/issuers/shares.py): the rest is for the namespace's other CAs.
_WORKERS = 32
_TIDY_AGAIN, _TIDY_SELDOM = 30.0, 3600.0
"""Seconds; a definition may be on its way, or a right be missing. Twice as long after each try, up to an hour."""
_MOST_TOLD = 100
"""Objects that may not be taken away, of which it is told."""


@dataclass(frozen=True, slots=True)
class AcmeOptions:
    """Which controllers run (`names`), and what they work with.

    `claims` are those of this term of leadership: what was ordered is kept on them, in memory only without it.
    `tidy` is told at the start which Challenges (uids) there are, and says what keeps it from its work.
    """

    presenter: Presenter
    names: tuple[str, ...] = ALL
    cluster_resource_namespace: str = "cert-manager"
    permit: Permit | None = None
    would: Would | None = None
    claims: Callable[[], Claims | None] | None = None
    tidy: Callable[[frozenset[str]], Awaitable[Sequence[InTheWay]]] | None = None


class AcmeControllers:
    """Runs the controllers that the options name, until cancelled.

    `ordering` is for the controller of CertificateRequests. Orders and Challenges need the accounts, which `acmeissuers`
    keeps: the three belong into one process.
    """

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        recorder: EventRecorder,
        metrics: Metrics,
        options: AcmeOptions,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._registry = registry
        self._recorder = recorder
        self._write_errors = WriteErrors(recorder)
        self._metrics = metrics
        self._acme = AcmeMetrics(metrics)
        self._options = options
        self._clock = clock
        self._accounts: Accounts | None = None
        self._issuers: AcmeIssuerController | None = None
        self.ordering = OrderedRequests(
            client, lambda: self._accounts, permit=options.permit, would=options.would, clock=clock
        )
        registry.subscribe(self._issuer_changed)
        registry.subscribe_secrets(self._secret_changed)

    def _issuer_changed(self, ref: IssuerRef) -> None:
        if self._issuers is not None:
            self._issuers.queue.add(ref)

    def _secret_changed(self, namespace: str, name: str) -> None:
        if self._issuers is not None:
            self._issuers.secret_changed(namespace, name)

    async def run(self, certificates: Reflector[Certificate]) -> None:
        """Watch and work until cancelled. `certificates` is run elsewhere, since others need it too."""
        accounts = self._accounts = Accounts(clock=self._clock, observe=self._acme.exchange)
        accounts.on_ready(self.ordering.account_ready)
        term = Term(self._client, self._recorder, accounts, self._acme, self._clock)
        try:
            async with asyncio.TaskGroup() as tasks:
                if ACME_ISSUERS in self._options.names:
                    tasks.create_task(self._run_issuers(term))
                if ORDER_NAME in self._options.names or CHALLENGE_NAME in self._options.names:
                    tasks.create_task(self._run_orders(term, certificates))
        finally:
            self._accounts, self._issuers = None, None
            self.ordering.follow(None, None)
            self._acme.clear()
            await accounts.close()

    async def _run_issuers(self, term: Term) -> None:
        queue = ControllerQueue[IssuerRef](self._metrics, ACME_ISSUERS, flow=lambda ref: ref.namespace or ref.name)
        self._issuers = controller = AcmeIssuerController(
            term, self._registry, queue, cluster_resource_namespace=self._options.cluster_resource_namespace
        )
        queue.tells(self._write_errors, controller.about)
        await self._registry.synced.wait()
        for state in self._registry.states():
            queue.add(state.ref)
        await queue.run(controller.reconcile, workers=4)

    async def _run_orders(self, term: Term, certificates: Reflector[Certificate]) -> None:
        orders = Reflector(
            self._client,
            ORDERS,
            JsonCodec(Order),
            rank=lambda _: FIRST,
            on_restart=lambda _: self._metrics.watch_restarted(ORDERS.plural),
        )
        challenges = Reflector(
            self._client,
            CHALLENGES,
            JsonCodec(Challenge),
            rank=lambda _: FIRST,
            on_restart=lambda _: self._metrics.watch_restarted(CHALLENGES.plural),
        )
        challenges.subscribe(self._acme.challenge_changed)
        order_queue = ControllerQueue[Key](self._metrics, ORDER_NAME, flow=namespace_of)
        challenge_queue = ControllerQueue[Key](self._metrics, CHALLENGE_NAME, flow=namespace_of)
        gate = OrderGate(term.accounts, self._options.claims, clock=self._clock)
        family = OrderFamily(self._client, challenges, self._alternatives, order_queue.add)
        ordered = OrderController(term, orders, family, gate, order_queue, permit=self._options.permit)
        ordered.follow(certificates)
        proving = ChallengeController(term, family, orders, challenges, self._options.presenter, challenge_queue)
        renewal_queue = ControllerQueue[Key](self._metrics, "renewals", flow=namespace_of)
        renewing = RenewalController(term, certificates, gate, renewal_queue)
        proven_queue: WorkQueue[str] = WorkQueue(on_error=_not_told)
        telling = HostsProven(challenges, self._options.claims or (lambda: None), proven_queue, clock=self._clock)
        order_queue.tells(self._write_errors, ordered.about, ordered.show)
        challenge_queue.tells(self._write_errors, proving.about, proving.show)
        renewal_queue.tells(self._write_errors, renewing.about)
        self.ordering.follow(orders, challenges, gate)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(orders.run())
            tasks.create_task(challenges.run())
            for synced in (self._registry.synced, orders.synced, challenges.synced):
                await synced.wait()
            tasks.create_task(self._tidy_up(challenges))
            if ORDER_NAME in self._options.names:
                tasks.create_task(renewal_queue.run(renewing.reconcile, workers=2))
                tasks.create_task(order_queue.run(ordered.reconcile, workers=_WORKERS))
            if CHALLENGE_NAME in self._options.names:
                tasks.create_task(challenge_queue.run(proving.reconcile, workers=_WORKERS))
                if self._options.claims is not None:
                    tasks.create_task(proven_queue.run(telling.reconcile, workers=1))

    def _alternatives(self, ref: IssuerRef) -> Alternatives:
        state = self._registry.get(ref)
        return read_alternatives(state.issuer) if state is not None else Alternatives()

    async def _tidy_up(self, challenges: Reflector[Challenge]) -> None:
        """Take away what was put in place for Challenges that are no more: once, as soon as that can be done.

        What is in the way is told on itself, once, and tried again: it keeps nothing else in place.
        """
        told: set[str] = set()
        pause = _TIDY_AGAIN
        while self._options.tidy is not None and CHALLENGE_NAME in self._options.names:
            left: Sequence[InTheWay] = ()
            try:
                left = await self._options.tidy(frozenset(one.metadata.uid for one in challenges.store.values()))
                if not left:
                    return
            except (ApiError, Unreachable) as error:
                if "" not in told:
                    log.info("what is left of old challenges stays for now: %s", error)
                told.add("")
            for one in left:
                if one.ref.uid not in told and len(told) < _MOST_TOLD:
                    told.add(one.ref.uid)
                    log.warning("what is left of an old challenge stays: %s", one)
                    message = f"It is left of a challenge that is no more, and cannot be taken away: {one.message}"
                    self._recorder.emit(one.ref, "Warning", "LeftBehind", message, share=one.ref.namespace)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _TIDY_SELDOM)


def _not_told(name: str, error: Exception) -> None:
    """What cannot be said of a host now is said at the next try; that it could not be is on the claim (hosts/claims.py)."""
    if isinstance(error, ApiError | Unreachable):
        log.debug("HostClaim %s: whether it is proven cannot be written: %s", name, error)
    else:
        log.error("HostClaim %s: whether it is proven", name, exc_info=error)
