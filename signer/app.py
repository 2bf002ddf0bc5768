"""Puts the parts together: one process, one loop.

What must run runs in one task group: if a part ends by an unforeseen failure, the process ends too and is started
again, since nothing is lost by that. SIGTERM and SIGINT drain the hot path, give up the Leases, and end.
"""

import asyncio
import gc
import logging
import signal
import time

from signer import __version__
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.authorities.registry import Registry
from signer.csr.answers.writer import Writer
from signer.csr.controller import Options, Parts, RequestController
from signer.csr.questions import Questions
from signer.csr.queue.intake import Intake
from signer.csr.queue.replica import Sharing
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.encoding.protobuf_codec import ProtobufCodec
from signer.kube.leases.leader import Leadership
from signer.kube.leases.members import Members
from signer.kube.leases.record import LEADER_LEASE
from signer.kube.reach import Reach
from signer.kube.reflector import Reflector
from signer.kube.skew import ClockSkew
from signer.mesh.reports import Reports
from signer.mesh.watcher import MeshWatcher
from signer.observe import logs
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.issuers import IssuerGauges, IssuerLines
from signer.observe.loop_lag import measure
from signer.observe.metrics import Metrics
from signer.pods.requests import PodRequests
from signer.readiness import Readiness
from signer.settings.given import SettingsError
from signer.settings.values import CSR, ISSUERS, POD_CERTIFICATES, TRUST_BUNDLES, Settings
from signer.slow_controllers import Shared, SlowControllers
from signer.tenancy.verdict import Limits

log = logging.getLogger(__name__)

REPLICA_GROUP = "mesh-signer"
BUNDLES_LEASE = "mesh-signer-trust-bundles"
INJECTOR_LEASE = "mesh-signer-ca-injector"
# A request may have more than a megabyte: so many of the largest fit into what one answer may have.
_PAGE = 100


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError when there is no way to an API server, SettingsError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(settings.component)
    try:
        audit = AuditLog.to(
            settings.audit_log,
            on_line=lambda kind: metrics.audit_lines.labels(kind).inc(),
            on_lost=metrics.audit_lost.inc,
            stop=settings.audit_failure == "stop",
        )
    except OSError as error:
        raise SettingsError(f"--audit-log: {settings.audit_log}: {error.strerror}") from error
    config = await asyncio.to_thread(load_config, settings.kubeconfig)
    changed = " ".join(f"--{name}={value}" for name, value in settings.changed) or "none"
    words = "mesh-signer %s, replica %s, API server %s, settings that are not the default: %s"
    log.info(words, __version__, settings.identity, config.host, changed)
    _levels_on_signals(loop, settings.log_level)
    try:
        skew = ClockSkew(utc_now, metrics.clock_skew.set)
        reach = Reach(time.monotonic)

        def dated(date: str | None) -> None:
            skew.seen(date)
            reach.answered()

        connections = settings.write_window + 32
        async with ApiClient(
            config,
            on_error=metrics.api_error,
            on_unreachable=reach.failed,
            on_date=dated,
            on_took=metrics.api_took,
            connections=connections,
            budget=settings.namespace_memory << 20,
        ) as client:
            await _Process(settings, client, metrics, audit).run(stop)
    finally:
        audit.close()


def _levels_on_signals(loop: asyncio.AbstractEventLoop, level: str) -> None:
    """SIGUSR1 shows everything from now on, SIGUSR2 what `--log-level` says: what goes wrong now is lost by a restart."""

    def show(new: str) -> None:
        logs.set_level(new)
        log.warning("logging from level %s on, by a signal", new)

    loop.add_signal_handler(signal.SIGUSR1, show, "debug")
    loop.add_signal_handler(signal.SIGUSR2, show, level)


class _Process:
    def __init__(self, settings: Settings, client: ApiClient, metrics: Metrics, audit: AuditLog) -> None:
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._recorder = EventRecorder(client, instance=settings.identity, on_drop=metrics.events_dropped.inc)
        self._registry = Registry(
            client,
            cluster_resource_namespace=settings.cluster_resource_namespace,
            on_restart=metrics.watch_restarted,
        )
        asked = settings.controllers
        self._gauges = IssuerGauges(metrics, statuses=asked is None or ISSUERS in asked)
        self._registry.subscribe(lambda ref: self._gauges.update(ref, self._registry.get(ref)))
        self._issuers = IssuerLines(time.monotonic)
        self._registry.subscribe(lambda ref: self._issuers.update(ref, self._registry.get(ref)))
        self._audit = audit
        self._mesh = self._watcher() if settings.tenancy_mode != "off" and not settings.only_injects else None
        self._members: Members | None = None
        self._pods: PodRequests | None = None
        self._membership: asyncio.Task[None] | None = None
        self._readiness = Readiness(None if settings.only_injects else self._registry, audit, self._mesh)
        self._readiness.connection = lambda: client.trouble
        self._slow = SlowControllers(
            settings, Shared(client, self._registry, self._recorder, metrics, audit, self._mesh)
        )

    def _watcher(self) -> MeshWatcher:
        settings = self._settings
        metrics = self._metrics
        mesh = MeshWatcher(
            self._client,
            self._registry,
            Reports(self._recorder, self._speaks),
            settings.tenancy(),
            shared=settings.shared_mesh_config,
            owners=settings.controllers is None or CSR in settings.controllers,
            on_restart=metrics.watch_restarted,
            on_source_age=lambda source, seconds: metrics.mesh_source_age.labels(source).set(seconds),
        )

        def show() -> None:
            metrics.mesh_signers.set(len(mesh.world.signers))
            metrics.bindings.set(len(mesh.world.bindings))

        mesh.subscribe(show)
        return mesh

    def _speaks(self) -> bool:
        """Tell whether this replica is the one that writes Events about objects that all replicas see."""
        if self._members is None:
            return False
        return min(self._members.members()) == self._members.identity

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        asked = settings.controllers
        async with (
            self._readiness.served(settings.bind, self._metrics),
            self._slow.answering() as answer,
            asyncio.TaskGroup() as tasks,
        ):
            parts = [
                tasks.create_task(self._recorder.run()),
                tasks.create_task(self._injector()),
                tasks.create_task(measure(self._metrics.loop_lag.observe)),
                tasks.create_task(self._speak()),
            ]
            if not settings.only_injects:
                parts.append(tasks.create_task(self._registry.run()))
                parts.append(tasks.create_task(self._settle()))
            if self._mesh is not None:
                parts.append(tasks.create_task(self._mesh.run()))
            if asked is None or CSR in asked:
                requests, members = self._hot_path()
                self._membership = tasks.create_task(self._take_part(members))
                parts.extend((tasks.create_task(requests.run()), self._membership))
            parts += [tasks.create_task(self._slow_controllers()), tasks.create_task(answer())]
            parts.append(tasks.create_task(self._trust_bundles()))
            await stop.wait()
            log.info("stopping")
            if (hot := self._readiness.requests) is not None:
                # Others take over what comes from now on; while we are a member they would leave it to us.
                if self._membership is not None:
                    self._membership.cancel()
                await hot.drain()
            for part in parts:
                part.cancel()

    def _hot_path(self) -> tuple[RequestController, Members]:
        settings, client = self._settings, self._client
        # A replica that may issue nothing, as it could not be written down, leaves its part to others.
        members = Members(client, settings.namespace, REPLICA_GROUP, settings.identity)
        members.able = lambda: not self._audit.blocked
        self._members = members
        self._metrics.members.set_function(lambda: max(len(members.members()), 1))
        intake = Intake()
        reflector = Reflector(
            client,
            CERTIFICATE_SIGNING_REQUESTS,
            ProtobufCodec(intake.read, lambda csr: ("", csr.name)),
            page_size=_PAGE,
            on_restart=lambda _why: self._metrics.watch_restarted(CERTIFICATE_SIGNING_REQUESTS.plural),
        )
        requests = RequestController(
            Parts(
                reflector,
                intake,
                self._registry,
                Questions(client, self._registry),
                Writer(client),
                Sharing(lambda: members.identity, members.members, time.monotonic),
                self._recorder,
                self._metrics,
                self._audit,
                self._mesh,
                self._pod_requests(),
            ),
            Options(
                settings.cluster_resource_namespace,
                Limits(allow_ca_requests=settings.allow_ca_requests),
                settings.write_window,
                settings.drain_seconds,
            ),
        )
        self._readiness.requests, self._readiness.reflector = requests, reflector
        return requests, members

    def _pod_requests(self) -> PodRequests | None:
        """Make the door of PodCertificateRequests. Without the wall there is none: a Pod's identity is the mesh's to say."""
        asked = self._settings.controllers
        if asked is not None and POD_CERTIFICATES not in asked:
            return None
        if self._mesh is None:
            if asked is not None:
                log.warning("--controllers: %s is not worked with --tenancy=off", POD_CERTIFICATES)
            return None
        registry = self._registry
        self._pods = PodRequests(
            self._client,
            on_restart=self._metrics.watch_restarted,
            known=lambda ref: not registry.synced.is_set() or registry.get(ref) is not None,
        )
        return self._pods

    async def _take_part(self, members: Members) -> None:
        """Announce this replica once it can answer: until then its share would wait for nothing."""
        await self._all_read()
        await members.run()

    async def _all_read(self) -> None:
        await self._registry.synced.wait()
        if self._mesh is not None:
            await self._mesh.synced.wait()
        if (reflector := self._readiness.reflector) is not None:
            await reflector.synced.wait()

    async def _slow_controllers(self) -> None:
        parts = await self._slow.parts()
        if not parts:
            return

        async def lead() -> None:
            self._metrics.leader.set(1)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for part in parts:
                        tasks.create_task(part())
            finally:
                self._metrics.leader.set(0)

        settings = self._settings
        if settings.leader_elect:
            await Leadership(self._client, settings.namespace, LEADER_LEASE, settings.identity).run(lead)
        else:
            await lead()

    async def _trust_bundles(self) -> None:
        """Keep the ClusterTrustBundles, where that is asked for: one replica of those that sign, since it knows their CAs."""
        settings, mesh, asked = self._settings, self._mesh, self._settings.controllers
        if mesh is None or (asked is not None and TRUST_BUNDLES not in asked):
            return
        from signer.pods.bundles.controller import TrustBundles  # noqa: PLC0415 - a process that has none needs none of it

        bundles = TrustBundles(
            self._client,
            self._registry,
            mesh,
            self._recorder,
            lambda: self._pods.asked if self._pods is not None else (),
            on_restart=self._metrics.watch_restarted,
        )
        if settings.leader_elect:
            await Leadership(self._client, settings.namespace, BUNDLES_LEASE, settings.identity).run(bundles.run)
        else:
            await bundles.run()

    async def _injector(self) -> None:
        injector = await self._slow.injector()
        if injector is None:
            return
        settings = self._settings
        if settings.only_injects:
            self._readiness.injector = lambda: injector.trouble
        if settings.leader_elect:
            await Leadership(self._client, settings.namespace, INJECTOR_LEASE, settings.identity).run(injector.run)
        else:
            await injector.run()

    async def _speak(self) -> None:
        """Log what is told only when it has lasted, or was said again and again."""
        while True:
            await asyncio.sleep(1.0)
            self._issuers.turn()
            logs.turn()

    async def _settle(self) -> None:
        """Once everything is read, take what lives for good out of the garbage collector's way: it costs p99."""
        await self._all_read()
        log.info("ready: %d issuers", len(tuple(self._registry.states())))
        gc.collect()
        gc.freeze()
        # A request leaves no cycles behind: look for some a hundred times less often than by default.
        gc.set_threshold(70_000, 20, 50)
