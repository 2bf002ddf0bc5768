"""The controllers of ACME issuers, Orders and Challenges: one replica leads at a time.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
Nothing of Orders is done before Orders and Challenges were read once; issuers do not wait for that.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from typing import TypeVar

from issuers.acme.targets import AddressRule
from signer.api.certificate import Certificate
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.issuer import IssuerRef
from signer.api.order import ORDERS, Order
from signer.authorities.registry import Registry
from signer.edge.challenges.controller import ChallengeController
from signer.edge.challenges.presenter import Presenter
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.permit import Permit
from signer.edge.issuers.accounts import Accounts
from signer.edge.issuers.choice import Alternatives, read_alternatives
from signer.edge.issuers.controller import AcmeIssuerController
from signer.edge.issuers.metrics import AcmeMetrics
from signer.edge.orders.controller import OrderController
from signer.edge.orders.gate import OrderGate
from signer.edge.orders.renewals import RenewalController
from signer.edge.orders.requests import OrderedRequests
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.errors import ApiError, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Reflector
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics

log = logging.getLogger(__name__)

ACME_ISSUERS = "acmeissuers"
ORDER_NAME = "orders"
CHALLENGE_NAME = "challenges"
ALL = (ACME_ISSUERS, ORDER_NAME, CHALLENGE_NAME)
_WORKERS = 16
_TIDY_AGAIN = 30.0
"""Seconds; a definition may be on its way, or a right be missing."""
K = TypeVar("K", bound=Hashable)


def _now() -> datetime:
    return datetime.now(UTC)


class AcmeControllers:
    """Runs the controllers that `names` names, until cancelled. `ordering` is for the controller of CertificateRequests.

    `claims` are those of this term of leadership: what was ordered is kept on them, in memory only without it.
    `tidy` is told at the start which Challenges (uids) there are.
    Orders and Challenges need the accounts, which `acmeissuers` keeps: the three belong into one process.
    """

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        recorder: EventRecorder,
        metrics: Metrics,
        presenter: Presenter,
        *,
        names: tuple[str, ...] = ALL,
        cluster_resource_namespace: str = "cert-manager",
        tenant_addresses: AddressRule | None = None,
        permit: Permit | None = None,
        claims: Callable[[], Claims | None] | None = None,
        tidy: Callable[[frozenset[str]], Awaitable[None]] | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._client = client
        self._registry = registry
        self._recorder = recorder
        self._metrics = metrics
        self._acme = AcmeMetrics(metrics)
        self._presenter = presenter
        self._names = names
        self._namespace = cluster_resource_namespace
        self._addresses = tenant_addresses
        self._tidy = tidy
        self._permit = permit
        self._claims = claims
        self._clock = clock
        self._accounts: Accounts | None = None
        self._issuers: AcmeIssuerController | None = None
        self.ordering = OrderedRequests(client, lambda: self._accounts, permit=permit, clock=clock)
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
        accounts = self._accounts = Accounts(
            tenant_addresses=self._addresses, clock=self._clock, observe=self._acme.exchange
        )
        accounts.on_ready(self.ordering.account_ready)
        try:
            async with asyncio.TaskGroup() as tasks:
                if ACME_ISSUERS in self._names:
                    tasks.create_task(self._run_issuers(accounts))
                if ORDER_NAME in self._names or CHALLENGE_NAME in self._names:
                    tasks.create_task(self._run_orders(accounts, certificates))
        finally:
            self._accounts, self._issuers = None, None
            self.ordering.follow(None, None)
            self._acme.clear()
            await accounts.close()

    async def _run_issuers(self, accounts: Accounts) -> None:
        queue: WorkQueue[IssuerRef] = self._queue(ACME_ISSUERS)
        self._issuers = controller = AcmeIssuerController(
            self._client,
            self._registry,
            self._recorder,
            accounts,
            queue,
            cluster_resource_namespace=self._namespace,
            clock=self._clock,
        )
        await self._registry.synced.wait()
        for state in self._registry.states():
            queue.add(state.ref)
        await queue.run(self._counted(ACME_ISSUERS, controller.reconcile), workers=4)

    async def _run_orders(self, accounts: Accounts, certificates: Reflector[Certificate]) -> None:
        orders = Reflector(
            self._client, ORDERS, JsonCodec(Order), on_restart=lambda _: self._metrics.watch_restarted(ORDERS.plural)
        )
        challenges = Reflector(
            self._client,
            CHALLENGES,
            JsonCodec(Challenge),
            on_restart=lambda _: self._metrics.watch_restarted(CHALLENGES.plural),
        )
        challenges.subscribe(self._acme.challenge_changed)
        order_queue: WorkQueue[tuple[str, str]] = self._queue(ORDER_NAME)
        challenge_queue: WorkQueue[tuple[str, str]] = self._queue(CHALLENGE_NAME)
        gate = OrderGate(self._client, accounts, self._claims, clock=self._clock)
        ordered = OrderController(
            self._client,
            self._recorder,
            orders,
            challenges,
            accounts,
            order_queue,
            gate,
            self._alternatives,
            self._acme,
            permit=self._permit,
            clock=self._clock,
        )
        proving = ChallengeController(
            self._client,
            self._recorder,
            ordered.family,
            orders,
            challenges,
            accounts,
            self._presenter,
            challenge_queue,
            clock=self._clock,
        )
        renewal_queue: WorkQueue[tuple[str, str]] = self._queue("renewals")
        renewing = RenewalController(
            self._client, self._recorder, certificates, accounts, renewal_queue, gate, clock=self._clock
        )
        self.ordering.follow(orders, challenges, gate)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(orders.run())
            tasks.create_task(challenges.run())
            for synced in (self._registry.synced, orders.synced, challenges.synced):
                await synced.wait()
            tasks.create_task(self._tidy_up(challenges))
            if ORDER_NAME in self._names:
                tasks.create_task(renewal_queue.run(self._counted("renewals", renewing.reconcile), workers=2))
                tasks.create_task(order_queue.run(self._counted(ORDER_NAME, ordered.reconcile), workers=_WORKERS))
            if CHALLENGE_NAME in self._names:
                tasks.create_task(
                    challenge_queue.run(self._counted(CHALLENGE_NAME, proving.reconcile), workers=_WORKERS)
                )

    def _alternatives(self, ref: IssuerRef) -> Alternatives:
        state = self._registry.get(ref)
        return read_alternatives(state.issuer) if state is not None else Alternatives()

    async def _tidy_up(self, challenges: Reflector[Challenge]) -> None:
        """Take away what was put in place for Challenges that are no more: once, as soon as that can be done."""
        told = False
        while self._tidy is not None and CHALLENGE_NAME in self._names:
            try:
                await self._tidy(frozenset(one.metadata.uid for one in challenges.store.values()))
            except (ApiError, Unreachable) as error:
                if not told:
                    log.info("what is left of old challenges stays for now: %s", error)
                told = True
                await asyncio.sleep(_TIDY_AGAIN)
            else:
                return

    def _queue(self, controller: str) -> WorkQueue[K]:
        def failed(key: K, error: Exception) -> None:
            self._metrics.sync_errors.labels(controller).inc()
            named = "/".join(key) if isinstance(key, tuple) else str(key)
            if isinstance(error, ApiError | Unreachable):
                log.warning("%s: %s: %s", controller, named, error)
            else:
                # The text of an unforeseen exception may quote what it choked on: only its kind and place are told.
                where = traceback.extract_tb(error.__traceback__)[-1:]
                log.error("%s: %s: unforeseen %s at %s", controller, named, type(error).__name__, where)

        return WorkQueue(on_error=failed)

    def _counted(self, controller: str, handler: Callable[[K], Awaitable[None]]) -> Callable[[K], Awaitable[None]]:
        async def handle(key: K) -> None:
            self._metrics.sync_calls.labels(controller).inc()
            await handler(key)

        return handle
