"""Puts the parts together: one process, one loop.

What must run runs in one task group: if a part ends by an unforeseen failure, the process ends too and is started
again, since nothing is lost by that. SIGTERM and SIGINT drain the hot path, give up the Leases, and end.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING

from signer import __version__
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS, CertificateSigningRequest
from signer.api.crd import ours, read_crd
from signer.authorities.registry import Registry
from signer.csr.controller import Options, RequestController
from signer.csr.intake import Intake
from signer.csr.questions import Questions
from signer.csr.sharing import Sharing
from signer.csr.writer import Writer
from signer.kube.client import ApiClient
from signer.kube.codec import ProtobufCodec
from signer.kube.config import load_config
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.lease import Leadership, Members
from signer.kube.reflector import Reflector
from signer.mesh.gauges import MeshGauges
from signer.mesh.reports import Reports
from signer.mesh.watcher import MeshWatcher
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.health import HealthServer
from signer.observe.issuers import IssuerGauges
from signer.observe.metrics import Metrics
from signer.settings import CSR, POLICIES, SLOW_CONTROLLERS, Settings, SettingsError
from signer.tenancy.decide import Limits
from signer.tenancy.world import without_wall

if TYPE_CHECKING:
    from signer.edge.acme_run import AcmeControllers
    from signer.edge.gateway_run import GatewayRun

log = logging.getLogger(__name__)

Part = Callable[[], Coroutine[None, None, None]]

REPLICA_GROUP = "mesh-signer"
LEADER_LEASE = "mesh-signer-controllers"
_CRD_POLL_SECONDS = 3.0
# A request may have more than a megabyte: so many of the largest fit into what one answer may have.
_PAGE = 100
# Beyond this silence on a watch that sends a bookmark each minute, the process is of no use: start it again.
_DEAF_SECONDS = 600.0


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError when there is no way to an API server, SettingsError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
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
    log.info("mesh-signer %s, replica %s, API server %s", __version__, settings.identity, config.host)
    try:
        async with ApiClient(config, on_error=metrics.api_error, connections=settings.write_window + 32) as client:
            await _Process(settings, client, metrics, audit).run(stop)
    finally:
        audit.close()


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
        self._gauges = IssuerGauges(metrics)
        self._registry.subscribe(lambda ref: self._gauges.update(ref, self._registry.get(ref)))
        self._audit = audit
        self._mesh = self._watcher() if settings.tenancy_mode != "off" else None
        self._members: Members | None = None
        self._requests: RequestController | None = None
        self._membership: asyncio.Task[None] | None = None
        self._reflector: Reflector[CertificateSigningRequest] | None = None

    def _watcher(self) -> MeshWatcher:
        settings = self._settings
        gauges = MeshGauges(self._metrics)
        mesh = MeshWatcher(
            self._client,
            self._registry,
            Reports(self._recorder, self._speaks),
            settings.tenancy(),
            shared=settings.shared_mesh_config,
            owners=settings.controllers is None or CSR in settings.controllers,
            on_restart=self._metrics.watch_restarted,
            on_source_age=gauges.source_age,
        )
        mesh.subscribe(lambda: gauges.update(mesh.world))
        return mesh

    def _speaks(self) -> bool:
        """Tell whether this replica is the one that writes Events about objects that all replicas see."""
        if self._members is None:
            return False
        return min(self._members.members(), default=self._settings.identity) == self._settings.identity

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        asked = settings.controllers
        async with self._health(), asyncio.TaskGroup() as tasks:
            parts = [tasks.create_task(self._recorder.run()), tasks.create_task(self._registry.run())]
            if self._mesh is not None:
                parts.append(tasks.create_task(self._mesh.run()))
            if asked is None or CSR in asked:
                requests, members = self._hot_path()
                self._membership = tasks.create_task(self._take_part(members))
                parts.extend((tasks.create_task(requests.run()), self._membership))
            parts.append(tasks.create_task(self._slow_controllers(asked)))
            parts.append(tasks.create_task(self._settle()))
            await stop.wait()
            log.info("stopping")
            if self._requests is not None:
                # Others take over what comes from now on; while we are a member they would leave it to us.
                if self._membership is not None:
                    self._membership.cancel()
                await self._requests.drain()
            for part in parts:
                part.cancel()

    def _hot_path(self) -> tuple[RequestController, Members]:
        settings, client = self._settings, self._client
        members = Members(client, settings.namespace, REPLICA_GROUP, settings.identity)
        self._members = members
        self._metrics.members.set_function(lambda: max(len(members.members()), 1))
        intake = Intake()
        self._reflector = Reflector(
            client,
            CERTIFICATE_SIGNING_REQUESTS,
            ProtobufCodec(intake.read, lambda csr: ("", csr.name)),
            page_size=_PAGE,
            on_restart=lambda _why: self._metrics.watch_restarted(CERTIFICATE_SIGNING_REQUESTS.plural),
        )
        self._requests = RequestController(
            self._reflector,
            self._registry,
            Writer(client),
            Questions(client, self._registry),
            Sharing(settings.identity, members.members, time.monotonic),
            self._recorder,
            self._metrics,
            self._audit,
            Options(
                settings.cluster_resource_namespace,
                Limits(allow_ca_requests=settings.allow_ca_requests),
                settings.write_window,
                settings.drain_seconds,
            ),
            intake=intake,
            mesh=self._mesh,
        )
        return self._requests, members

    async def _take_part(self, members: Members) -> None:
        """Announce this replica once it can answer: until then its share would wait for nothing."""
        await self._all_read()
        await members.run()

    async def _all_read(self) -> None:
        await self._registry.synced.wait()
        if self._mesh is not None:
            await self._mesh.synced.wait()
        if self._reflector is not None:
            await self._reflector.synced.wait()

    async def _slow_controllers(self, asked: tuple[str, ...] | None) -> None:
        parts = self._mesh_controllers(asked)
        if names := await self._slow_names(asked):
            parts.append(self._certificates(names))
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

    def _certificates(self, names: tuple[str, ...]) -> Part:
        """Make the controllers of issuers, Certificates and CertificateRequests."""
        # Imported here: a process that only signs never needs it, nor its memory.
        from signer.certificates.run import ControllerOptions, Controllers  # noqa: PLC0415

        settings = self._settings
        log.info("controllers: %s", ", ".join(names))
        edge = self._edge(names)
        acme = self._acme(names, edge)
        certificates = Controllers(
            self._client,
            self._registry,
            self._recorder,
            self._metrics,
            ControllerOptions(
                names=names,
                cluster_resource_namespace=settings.cluster_resource_namespace,
                auto_approve=settings.auto_approve,
                enable_certificate_owner_ref=settings.enable_certificate_owner_ref,
                limits=Limits(),
                world=self._mesh.world if self._mesh is not None else without_wall(),
                ordering=acme.ordering if acme is not None else None,
            ),
        )

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(certificates.run())
                if edge is not None:
                    tasks.create_task(edge.run())
                if acme is not None:
                    tasks.create_task(acme.run())

        return run

    def _edge(self, names: tuple[str, ...]) -> "GatewayRun | None":
        """Make the controller of Gateways, or what keeps the claims of hosts for those that order certificates."""
        if not set(names) & {"gateways", "acmeissuers", "orders", "challenges"}:
            return None
        from signer.api.certificate import IssuerReference  # noqa: PLC0415 - as in `_certificates`
        from signer.api.issuer import GROUP  # noqa: PLC0415 - as in `_certificates`
        from signer.edge.gateway_run import GatewayRun  # noqa: PLC0415 - as in `_certificates`
        from signer.edge.gateways import EdgeOptions  # noqa: PLC0415 - as in `_certificates`

        settings = self._settings
        default = IssuerReference(name=settings.default_issuer_name, kind=settings.default_issuer_kind, group=GROUP)
        options = EdgeOptions(
            gateway_namespaces=settings.gateway_namespaces or frozenset({settings.istio_namespace}),
            default=default if default.name else None,
        )
        return GatewayRun(
            self._client, self._registry, self._recorder, self._metrics, options, work="gateways" in names
        )

    def _acme(self, names: tuple[str, ...], edge: "GatewayRun | None") -> "AcmeControllers | None":
        """Make the controllers of ACME issuers, Orders and Challenges."""
        if not set(names) & {"acmeissuers", "orders", "challenges"}:
            return None
        # Imported here as above: the ACME library alone is some megabytes.
        from signer.edge.acme_run import AcmeControllers  # noqa: PLC0415
        from signer.edge.gateway_presenter import GatewayPresenter  # noqa: PLC0415
        from signer.edge.permitting import Permitting  # noqa: PLC0415
        from signer.edge.probing import no_resolver, system_resolver  # noqa: PLC0415

        settings = self._settings
        namespaces = settings.gateway_namespaces or frozenset({settings.istio_namespace})
        permitting = Permitting(self._client, lambda: edge.claims if edge is not None else None, namespaces)
        presenter = GatewayPresenter(
            self._client,
            gateway_namespaces=namespaces,
            resolve=system_resolver if settings.http01_check_dns else no_resolver,
        )
        return AcmeControllers(
            self._client,
            self._registry,
            self._recorder,
            self._metrics,
            presenter,
            names=names,
            cluster_resource_namespace=settings.cluster_resource_namespace,
            permit=permitting.permit,
        )

    def _mesh_controllers(self, asked: tuple[str, ...] | None) -> list[Part]:
        """Make what only the leader does for the mesh."""
        mesh, parts = self._mesh, list[Part]()
        if mesh is None:
            return parts
        if asked is None or POLICIES in asked:
            from signer.mesh.policies import PolicyStatuses  # noqa: PLC0415 - as in `_certificates`

            parts.append(PolicyStatuses(self._client, self._registry, mesh).run)
        if self._settings.manage_mesh_config and (asked is None or set(asked) != {CSR}):
            from signer.mesh.roots import MeshRoots  # noqa: PLC0415 - as in `_certificates`

            parts.append(MeshRoots(self._client, self._registry, mesh, self._recorder).run)
        return parts

    async def _slow_names(self, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the slow controllers to run: those asked for, or all where the CRDs are ours, once they are there."""
        wanted = SLOW_CONTROLLERS if asked is None else tuple(name for name in SLOW_CONTROLLERS if name in asked)
        told = ""
        while wanted:
            try:
                crd = await read_crd(self._client)
            except NotFound:
                trouble = "the cert-manager.io CRDs are not installed yet (kubectl apply -k manifests/crds)"
            except (ApiError, Unreachable) as error:
                trouble = f"cannot see whether the cert-manager.io CRDs are ours: {error}"
            else:
                if ours(crd):
                    return wanted
                if asked is None:
                    log.info("the cert-manager.io CRDs are not ours: only CertificateSigningRequests are worked")
                    return ()
                log.warning("the cert-manager.io CRDs are not ours: working %s as asked", ", ".join(wanted))
                return wanted
            if trouble != told:
                log.warning("%s", trouble)
                told = trouble
            await asyncio.sleep(_CRD_POLL_SECONDS)
        return ()

    async def _settle(self) -> None:
        """Once everything is read, take what lives for good out of the garbage collector's way: it costs p99."""
        await self._all_read()
        log.info("ready: %d issuers", len(tuple(self._registry.states())))
        gc.collect()
        gc.freeze()
        # A request leaves no cycles behind: look for some a hundred times less often than by default.
        gc.set_threshold(70_000, 20, 50)

    @contextlib.asynccontextmanager
    async def _health(self) -> AsyncIterator[None]:
        if self._settings.bind == "none":
            yield
            return
        server = HealthServer(
            self._settings.bind,
            self._metrics.registry,
            ready={
                "issuers": self._issuers_ready,
                "requests": self._requests_ready,
                "mesh": self._mesh_ready,
                "audit": self._audit_ready,
                "certificates": self._nobody_else_signs,
            },
            live={"watch": self._watch_alive},
        )
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise SettingsError(f"--bind: {self._settings.bind}: {error.strerror}") from error
            log.info("metrics and health on port %d", server.port)
            yield

    def _issuers_ready(self) -> str:
        return "" if self._registry.synced.is_set() else "issuers and their Secrets were not read yet"

    def _requests_ready(self) -> str:
        if self._reflector is None or self._reflector.synced.is_set():
            return ""
        return f"requests were not read yet: {self._reflector.trouble or 'starting'}"

    def _mesh_ready(self) -> str:
        if self._mesh is None or not self._mesh.world.unsynced:
            return ""
        return f"not read yet: {self._mesh.world.unsynced}"

    def _audit_ready(self) -> str:
        return f"nothing is issued, as it cannot be written down: {self._audit.trouble}" if self._audit.blocked else ""

    def _nobody_else_signs(self) -> str:
        return self._requests.foreign_trouble if self._requests is not None else ""

    def _watch_alive(self) -> str:
        if self._reflector is None or not self._reflector.synced.is_set():
            return ""
        silence = time.monotonic() - self._reflector.last_contact
        # An API server that is away is no reason to start again; a watch that should have noticed is.
        if silence > _DEAF_SECONDS and not self._reflector.trouble:
            return f"nothing was heard from the API server for {silence:.0f} s"
        return ""
