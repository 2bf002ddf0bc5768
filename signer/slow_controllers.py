"""Which slow controllers this process runs, and their making: all that only the leader works.

Each controller's modules are imported only when it is made: a process that only signs never needs them, nor their
memory; the ACME library alone is some megabytes. That is why imports stand inside functions here. One task calls in.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING

import msgspec

from signer.api.crd import ours, read_crd
from signer.authorities.registry import Registry
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.leases.others import OthersLeases
from signer.kube.leases.record import CERT_MANAGERS_LEASE
from signer.mesh.watcher import MeshWatcher
from signer.observe.audit import AuditLog
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.write_errors import WriteErrors
from signer.settings.given import SettingsError
from signer.settings.values import (
    CA_INJECTOR,
    CSR,
    POD_CERTIFICATES,
    POLICIES,
    SLOW_CONTROLLERS,
    TRUST_BUNDLES,
    Settings,
)
from signer.tenancy.tally import Tally
from signer.tenancy.verdict import Limits
from signer.tenancy.world import without_wall

if TYPE_CHECKING:
    from signer.edge.gateways.run import GatewayRun
    from signer.edge.http01.routes import SolverService
    from signer.edge.run import AcmeControllers
    from signer.injector.run import Injector
    from signer.injector.sources.controller import SourceController

log = logging.getLogger(__name__)

Part = Callable[[], Coroutine[None, None, None]]
"""Works while this process leads, and is cancelled when it does so no longer."""

_CRD_POLL_SECONDS = 3.0
CHALLENGES = "challenges"
_NEED_CERTIFICATES = frozenset({"certificates", "certificaterequests", "gateways", "orders", CHALLENGES, "casources"})


async def _nothing() -> None:
    return


class Shared(msgspec.Struct, frozen=True):
    """What all parts of one process work with. `mesh` is None where there is no wall."""

    client: ApiClient
    registry: Registry
    recorder: EventRecorder
    metrics: Metrics
    audit: AuditLog
    mesh: MeshWatcher | None


async def alone(others: OthersLeases, run: Part) -> None:
    """Run while no other program works on the same objects: two that do undo each other's writes without end.

    The definitions do not tell: ours stay when cert-manager takes over again. Whose Lease is renewed does.
    """
    while True:
        if who := await others.holder():
            log.warning("a cert-manager is at work (%s): Certificates and what belongs to them are left to it", who)
            await others.gone()
            log.info("no cert-manager is at work any more")
        working = asyncio.create_task(run())
        coming = asyncio.create_task(others.come())
        try:
            done, _ = await asyncio.wait({working, coming}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in (working, coming):
                one.cancel()
            await asyncio.gather(working, coming, return_exceptions=True)


class SlowControllers:
    """Makes the parts that the leader runs. `asked` is `Settings.controllers`."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._settings = settings
        self._client = shared.client
        self._registry = shared.registry
        self._recorder = shared.recorder
        self._metrics = shared.metrics
        self._mesh = shared.mesh
        self._audit = shared.audit
        self._cert_manager = OthersLeases(
            shared.client, [(one, CERT_MANAGERS_LEASE) for one in ("kube-system", settings.namespace)]
        )

    async def parts(self) -> list[Part]:
        """Return what is to run, once it is known: that may wait for the CRDs. Empty: this process has no slow part."""
        asked = self._settings.controllers
        parts = self.for_the_mesh(asked)
        if names := await self.names(asked):
            parts.append(self._certificates(names))
        return parts

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[Part]:
        """Listen for the challenges that gateways send here, and yield what every replica runs for them.

        Raises SettingsError when the address cannot be had.
        """
        settings = self._settings
        asked, bind = settings.controllers, settings.edge.http01_solver_bind
        if bind == "none" or (asked is not None and CHALLENGES not in asked):
            yield _nothing
            return
        from signer.edge.http01.solver import SharedSolver  # noqa: PLC0415 - see above

        solver = SharedSolver(self._client, bind, on_restart=self._metrics.watch_restarted)

        async def answer() -> None:
            if CHALLENGES in await self.names(asked):
                await solver.run()

        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(solver)
            except OSError as error:
                raise SettingsError(f"--http01-solver-bind: {bind}: {error.strerror}") from error
            yield answer

    def for_the_mesh(self, asked: tuple[str, ...] | None) -> list[Part]:
        """Make what only the leader does for the mesh."""
        mesh, parts = self._mesh, list[Part]()
        if mesh is None:
            return parts
        if asked is None or POLICIES in asked:
            from signer.mesh.policies.statuses import PolicyStatuses  # noqa: PLC0415 - see above

            errors = WriteErrors(self._recorder)
            parts.append(PolicyStatuses(self._client, self._registry, mesh, errors, self._recorder).run)
        # Of a process that does not only sign.
        slow = asked is None or bool(set(asked) - {CSR, POD_CERTIFICATES, TRUST_BUNDLES})
        if self._settings.tenant_bridges and slow:
            from signer.bridges.run import BridgeParts, Bridges  # noqa: PLC0415 - see above

            shared = BridgeParts(self._client, self._registry, mesh, self._recorder, self._metrics, self._audit)
            parts.append(Bridges(shared).run)
        if self._settings.manage_mesh_config and slow:
            from signer.mesh.roots import MeshRoots  # noqa: PLC0415 - see above

            parts.append(MeshRoots(self._client, self._registry, mesh, self._recorder).run)
        return parts

    async def injector(self) -> "Injector | None":
        """Make the CA injector, if it is asked for, or if the CRDs are ours, once they are there; else None."""
        settings, asked = self._settings, self._settings.controllers
        if asked is None:
            if not await self.names(None):
                return None
        elif CA_INJECTOR not in asked:
            return None
        from signer.injector.run import Injector, InjectorOptions  # noqa: PLC0415 - see above

        options = InjectorOptions(settings.namespace, settings.ca_injector_namespaces, settings.kubeconfig)
        return Injector(self._client, self._recorder, self._metrics, options)

    async def names(self, asked: tuple[str, ...] | None) -> tuple[str, ...]:
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

    def _certificates(self, names: tuple[str, ...]) -> Part:
        """Make the controllers of issuers, Certificates and CertificateRequests, and those of the edge."""
        from signer.certificates.run import ControllerOptions, Controllers  # noqa: PLC0415 - see above
        from signer.certificates.watched import watch_certificates  # noqa: PLC0415 - see above

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
                namespace=settings.namespace,
                auto_approve=settings.auto_approve,
                enable_certificate_owner_ref=settings.enable_certificate_owner_ref,
                limits=Limits(),
                world=self._mesh.world if self._mesh is not None else without_wall(),
                confirm=self._mesh.confirm if self._mesh is not None else None,
                audit=self._audit,
                tally=self._mesh.tally if self._mesh is not None else Tally(),
                ordering=acme.ordering if acme is not None else None,
            ),
        )

        sources = self._sources(names)

        async def run() -> None:
            watch = watch_certificates(self._client, self._metrics.watch_restarted)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(certificates.run(watch))
                if edge is not None:
                    tasks.create_task(edge.run(watch))
                if acme is not None:
                    tasks.create_task(acme.run(watch))
                if sources is not None:
                    tasks.create_task(sources.run(watch))
                if _NEED_CERTIFICATES & set(names):
                    tasks.create_task(watch.run())

        return lambda: alone(self._cert_manager, run)

    def _sources(self, names: tuple[str, ...]) -> "SourceController | None":
        """Make the controller that answers the CA injector."""
        if "casources" not in names:
            return None
        from signer.injector.sources.controller import SourceController  # noqa: PLC0415 - see above

        return SourceController(self._client, self._metrics)

    def _edge(self, names: tuple[str, ...]) -> "GatewayRun | None":
        """Make the controller of Gateways, or what keeps the claims of hosts for those that order certificates."""
        if not set(names) & {"gateways", "acmeissuers", "orders", "challenges"}:
            return None
        from signer.api.certificate import IssuerReference  # noqa: PLC0415 - see above
        from signer.api.issuer import GROUP  # noqa: PLC0415 - see above
        from signer.edge.gateways.controller import EdgeOptions  # noqa: PLC0415 - see above
        from signer.edge.gateways.run import GatewayRun  # noqa: PLC0415 - see above

        edge = self._settings.edge
        default = IssuerReference(name=edge.default_issuer_name, kind=edge.default_issuer_kind, group=GROUP)
        options = EdgeOptions(
            gateway_namespaces=self._gateway_namespaces(),
            default=default if default.name else None,
            work="gateways" in names,
        )
        return GatewayRun(self._client, self._registry, self._recorder, self._metrics, options)

    def _acme(self, names: tuple[str, ...], edge: "GatewayRun | None") -> "AcmeControllers | None":
        """Make the controllers of ACME issuers, Orders and Challenges."""
        if not set(names) & {"acmeissuers", "orders", "challenges"}:
            return None
        from signer.edge.challenges.presenter import ByType  # noqa: PLC0415 - see above
        from signer.edge.dns01.persist import PersistPresenter  # noqa: PLC0415 - see above
        from signer.edge.dns01.presenter import DnsPresenter  # noqa: PLC0415 - see above
        from signer.edge.dns01.queries import Questions  # noqa: PLC0415 - see above
        from signer.edge.hosts.permit import Permitting  # noqa: PLC0415 - see above
        from signer.edge.http01.presenter import GatewayPresenter  # noqa: PLC0415 - see above
        from signer.edge.proxies.resolve import asking, no_resolver  # noqa: PLC0415 - see above
        from signer.edge.run import AcmeControllers, AcmeOptions  # noqa: PLC0415 - see above

        edge_settings = self._settings.edge
        namespaces = self._gateway_namespaces()
        permitting = Permitting(self._client, lambda: edge.claims if edge is not None else None, namespaces)
        presenter = GatewayPresenter(
            self._client,
            gateway_namespaces=namespaces,
            resolve=asking(edge_settings.recursive_nameservers) if edge_settings.http01_check_dns else no_resolver,
            solver=self._solver(),
        )
        questions = Questions(edge_settings.recursive_nameservers)
        records = DnsPresenter(
            self._client,
            self._registry,
            questions,
            cluster_resource_namespace=self._settings.cluster_resource_namespace,
            rules=permitting,
            recursive_only=edge_settings.dns01_recursive_nameservers_only,
        )
        persistent = PersistPresenter(questions, recursive_only=edge_settings.dns01_recursive_nameservers_only)
        return AcmeControllers(
            self._client,
            self._registry,
            self._recorder,
            self._metrics,
            AcmeOptions(
                ByType({"HTTP-01": presenter, "DNS-01": records, "DNS-PERSIST-01": persistent}),
                names=names,
                cluster_resource_namespace=self._settings.cluster_resource_namespace,
                permit=permitting.permit,
                would=permitting.would,
                claims=lambda: edge.claims if edge is not None else None,
                tidy=presenter.tidy,
            ),
        )

    def _solver(self) -> "SolverService | None":
        """The Service of the shared solver, as manifests/base has it."""
        from signer.edge.http01.routes import SOLVER_PORT, SOLVER_SERVICE, SolverService  # noqa: PLC0415 - see above

        settings = self._settings
        off = settings.edge.http01_solver_bind == "none"
        return None if off else SolverService(settings.cluster_resource_namespace, SOLVER_SERVICE, SOLVER_PORT)

    def _gateway_namespaces(self) -> frozenset[str]:
        return self._settings.edge.gateway_namespaces or frozenset({self._settings.istio_namespace})
