"""The slow controllers of one process: issuers, Certificates, CertificateRequests. One of them leads at a time.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from signer.api.certificate import Certificate
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, from_rfc3339
from signer.authorities.ordering import Ordering
from signer.authorities.registry import Registry
from signer.certificates.controller import CertificateController
from signer.certificates.issuer_controller import IssuerController
from signer.certificates.objects import Key, Objects
from signer.certificates.requests.again import SecondLook
from signer.certificates.requests.controller import RequestController
from signer.certificates.requests.record import RequestRecord
from signer.certificates.requests.requester import Requesters
from signer.certificates.watched import Watched
from signer.certificates.well_known import READY
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.reflector import Change, Reflector
from signer.observe.audit import AuditLog
from signer.observe.controller_queue import ControllerQueue, namespace_of
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.write_errors import WriteErrors
from signer.tenancy.tally import Tally
from signer.tenancy.verdict import Confirm, Limits
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)

ISSUERS = "issuers"
CERTIFICATES = "certificates"
CERTIFICATE_REQUESTS = "certificaterequests"
Handler = Callable[[Key], Awaitable[None]]
_WORKERS = 8
# Seconds: what somebody mends (a quota, a right) goes on within a minute.
_LONGEST_PAUSE = 60.0
_CONDITIONS = ("True", "False", "Unknown")
Labels = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Which controllers run (`names`), and how. Answers are told to `audit`, and counted in `tally` by SignerPolicy."""

    names: tuple[str, ...] = (ISSUERS, CERTIFICATES, CERTIFICATE_REQUESTS)
    cluster_resource_namespace: str = "cert-manager"
    namespace: str = "cert-manager"
    auto_approve: bool = True
    enable_certificate_owner_ref: bool = False
    limits: Limits = field(default_factory=Limits)
    world: World = field(default_factory=without_wall)
    confirm: Callable[[Confirm], Awaitable[None]] | None = None
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
        self._write_errors = WriteErrors(recorder)
        self._handlers: list[Callable[[IssuerRef], None]] = []
        registry.subscribe(self._issuer_changed)

    async def run(self, certificates: Reflector[Certificate]) -> None:
        """Work until cancelled. Nothing is decided before everything was read once. `certificates` is run elsewhere."""
        names = self._options.names
        try:
            async with asyncio.TaskGroup() as tasks:
                if ISSUERS in names:
                    tasks.create_task(self._run_issuers(certificates))
                if CERTIFICATES in names or CERTIFICATE_REQUESTS in names:
                    tasks.create_task(self._run_certificates(names, certificates))
        finally:
            self._handlers.clear()

    def _issuer_changed(self, ref: IssuerRef) -> None:
        for handler in self._handlers:
            handler(ref)

    async def _run_issuers(self, certificates: Reflector[Certificate]) -> None:
        queue = ControllerQueue[IssuerRef](self._metrics, ISSUERS, flow=lambda ref: ref.namespace or ref.name)
        controller = IssuerController(
            self._registry,
            self._objects,
            clock=self._clock,
            later=queue.add_after,
            namespace=self._options.namespace,
            certificates=certificates.store,
        )
        queue.tells(self._write_errors, controller.about)
        self._handlers.append(queue.add)
        await self._registry.synced.wait()
        for state in self._registry.states():
            queue.add(state.ref)
        await queue.run(controller.reconcile, workers=2)

    async def _run_certificates(self, names: tuple[str, ...], shared: Reflector[Certificate]) -> None:
        watched = Watched(self._client, shared, on_restart=self._metrics.watch_restarted)
        gauges = CertificateGauges(self._metrics)
        watched.certificates.subscribe(gauges.changed)
        requesters = Requesters(self._client, self._clock)
        work: list[tuple[ControllerQueue[Key], Handler]] = []
        background: list[Callable[[], Coroutine[Any, Any, None]]] = [watched.requests.run, watched.secrets.run]
        if CERTIFICATES in names:
            queue = ControllerQueue[Key](self._metrics, CERTIFICATES, flow=namespace_of, cap=_LONGEST_PAUSE)
            certificates = CertificateController(
                watched,
                self._objects,
                queue,
                registry=self._registry,
                owner_ref=self._options.enable_certificate_owner_ref,
                clock=self._clock,
            )
            certificates.mending.again = SecondLook(
                self._registry.get,
                requesters,
                self._options.ordering,
                world=self._options.world,
                limits=self._options.limits,
                clock=self._clock,
            )
            for state in self._registry.states():
                certificates.lines.changed(state.ref)
            self._handlers.append(certificates.lines.changed)
            queue.tells(self._write_errors, certificates.about, certificates.show)
            work.append((queue, certificates.reconcile))
            background += [certificates.keys.run, certificates.mending.look_again]
        if CERTIFICATE_REQUESTS in names:
            queue = ControllerQueue[Key](self._metrics, CERTIFICATE_REQUESTS, flow=namespace_of, cap=_LONGEST_PAUSE)
            record = RequestRecord(
                self._metrics,
                self._options.audit,
                self._options.tally,
                self._registry,
                self._options.world,
                self._clock,
            )
            background.append(record.run)
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
                record=record,
                requesters=requesters,
                confirm=self._options.confirm,
            )
            self._handlers.append(requests.issuer_changed)
            queue.tells(self._write_errors, requests.about, requests.show)
            work.append((queue, requests.reconcile))
        try:
            await self._work(watched, background, work)
        finally:
            gauges.clear()

    async def _work(
        self,
        watched: Watched,
        background: list[Callable[[], Coroutine[Any, Any, None]]],
        work: list[tuple[ControllerQueue[Key], Handler]],
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            for run in background:
                tasks.create_task(run())
            for source in (self._registry, watched.certificates, watched.requests, watched.secrets):
                await source.synced.wait()
            log.info(
                "controllers: %d Certificates, %d CertificateRequests",
                len(watched.certificates.store),
                len(watched.requests.store),
            )
            for queue, handler in work:
                tasks.create_task(queue.run(handler, workers=_WORKERS))


class CertificateGauges:
    """The metrics of Certificates under cert-manager's names: one series of each kind for a Certificate while it exists."""

    def __init__(self, metrics: Metrics) -> None:
        self._ready = metrics.certificate_ready_status
        self._dates: dict[str, tuple[Gauge, ...]] = {
            "not_after": (metrics.certificate_expiration, metrics.certificate_not_after),
            "not_before": (metrics.certificate_not_before,),
            "renewal_time": (metrics.certificate_renewal,),
        }
        self._labels: dict[tuple[str, str], Labels] = {}

    def changed(self, change: Change[Certificate]) -> None:
        """Follow one change."""
        old = self._labels.get(change.key)
        new = _labels(change.new) if change.new is not None else None
        if old is not None and old != new:
            self._drop(old)
            del self._labels[change.key]
        if change.new is None or new is None:
            return
        self._labels[change.key] = new
        condition = find_condition(change.new.status.conditions, READY)
        state = condition.status if condition is not None else "Unknown"
        for name in _CONDITIONS:
            self._ready.labels(*new, name).set(1 if state == name else 0)
        for date, gauges in self._dates.items():
            moment = from_rfc3339(getattr(change.new.status, date))
            for gauge in gauges:
                gauge.labels(*new).set(moment.timestamp() if moment is not None else 0)

    def clear(self) -> None:
        """Remove every series: this process no longer keeps them up to date."""
        for labels in self._labels.values():
            self._drop(labels)
        self._labels.clear()

    def _drop(self, labels: Labels) -> None:
        for name in _CONDITIONS:
            self._ready.remove(*labels, name)
        for gauges in self._dates.values():
            for gauge in gauges:
                gauge.remove(*labels)


def _labels(certificate: Certificate) -> Labels:
    meta, ref = certificate.metadata, certificate.spec.issuer_ref
    return meta.name, meta.namespace, ref.name, ref.kind, ref.group
