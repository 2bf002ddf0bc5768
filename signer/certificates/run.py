"""The slow controllers of one process: issuers, Certificates, CertificateRequests. One of them leads at a time.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from signer.api.issuer import IssuerRef
from signer.authorities.ordering import Ordering
from signer.authorities.registry import Registry
from signer.certificates.controller import CertificateController
from signer.certificates.gauges import CertificateGauges
from signer.certificates.issuer_controller import IssuerController
from signer.certificates.objects import Key, Objects
from signer.certificates.requests.controller import RequestController
from signer.certificates.requests.record import RequestRecord
from signer.certificates.watched import Watched
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.observe.audit import AuditLog
from signer.observe.controller_queue import ControllerQueue
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.tenancy.claim import Limits
from signer.tenancy.tally import Tally
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)

ISSUERS = "issuers"
CERTIFICATES = "certificates"
CERTIFICATE_REQUESTS = "certificaterequests"
Handler = Callable[[Key], Awaitable[None]]
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Which controllers run (`names`), and how. Answers are told to `audit`, and counted in `tally` by SignerPolicy."""

    names: tuple[str, ...] = (ISSUERS, CERTIFICATES, CERTIFICATE_REQUESTS)
    cluster_resource_namespace: str = "cert-manager"
    auto_approve: bool = True
    enable_certificate_owner_ref: bool = False
    limits: Limits = field(default_factory=Limits)
    world: World = field(default_factory=without_wall)
    audit: AuditLog = field(default_factory=lambda: AuditLog(None))
    tally: Tally = field(default_factory=Tally)
    ordering: Ordering | None = None


class Controllers:
    """Runs the controllers that the options name, until cancelled."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        recorder: EventRecorder,
        metrics: Metrics,
        options: ControllerOptions,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._registry = registry
        self._metrics = metrics
        self._options = options
        self._clock = clock
        self._objects = Objects(client, recorder)
        self._handlers: list[Callable[[IssuerRef], None]] = []
        registry.subscribe(self._issuer_changed)

    async def run(self) -> None:
        """Watch and work until cancelled. Nothing is decided before everything was read once."""
        names = self._options.names
        try:
            async with asyncio.TaskGroup() as tasks:
                if ISSUERS in names:
                    tasks.create_task(self._run_issuers())
                if CERTIFICATES in names or CERTIFICATE_REQUESTS in names:
                    tasks.create_task(self._run_certificates(names))
        finally:
            self._handlers.clear()

    def _issuer_changed(self, ref: IssuerRef) -> None:
        for handler in self._handlers:
            handler(ref)

    async def _run_issuers(self) -> None:
        queue = ControllerQueue[IssuerRef](self._metrics, ISSUERS)
        controller = IssuerController(self._registry, self._objects, clock=self._clock)
        self._handlers.append(queue.add)
        await self._registry.synced.wait()
        for state in self._registry.states():
            queue.add(state.ref)
        await queue.run(controller.reconcile, workers=2)

    async def _run_certificates(self, names: tuple[str, ...]) -> None:
        watched = Watched(self._client, on_restart=self._metrics.watch_restarted)
        gauges = CertificateGauges(self._metrics)
        watched.certificates.subscribe(gauges.changed)
        work: list[tuple[ControllerQueue[Key], Handler]] = []
        if CERTIFICATES in names:
            queue = ControllerQueue[Key](self._metrics, CERTIFICATES)
            certificates = CertificateController(
                watched,
                self._objects,
                queue,
                owner_ref=self._options.enable_certificate_owner_ref,
                clock=self._clock,
            )
            work.append((queue, certificates.reconcile))
        if CERTIFICATE_REQUESTS in names:
            queue = ControllerQueue[Key](self._metrics, CERTIFICATE_REQUESTS)
            requests = RequestController(
                watched,
                self._registry,
                self._objects,
                queue,
                auto_approve=self._options.auto_approve,
                limits=self._options.limits,
                world=self._options.world,
                ordering=self._options.ordering,
                clock=self._clock,
                record=RequestRecord(
                    self._metrics,
                    self._options.audit,
                    self._options.tally,
                    self._registry,
                    self._options.world,
                    self._clock,
                ),
            )
            self._handlers.append(requests.issuer_changed)
            work.append((queue, requests.reconcile))
        try:
            await self._work(watched, work)
        finally:
            gauges.clear()

    async def _work(self, watched: Watched, work: list[tuple[ControllerQueue[Key], Handler]]) -> None:
        reflectors = (watched.certificates, watched.requests, watched.secrets)
        async with asyncio.TaskGroup() as tasks:
            for run in (reflector.run for reflector in reflectors):
                tasks.create_task(run())
            for synced in (self._registry.synced, *(reflector.synced for reflector in reflectors)):
                await synced.wait()
            log.info(
                "controllers: %d Certificates, %d CertificateRequests",
                len(watched.certificates.store),
                len(watched.requests.store),
            )
            for queue, handler in work:
                tasks.create_task(queue.run(handler, workers=_WORKERS))
