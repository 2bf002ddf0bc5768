"""A whole Istio mesh on loopback: API server, mesh-signer as it is deployed, the Istio task's tenants, istiod, sidecars.

    with Mesh() as mesh:
        curl, httpbin = mesh.place("curl", "foo", "foo"), mesh.place("httpbin", "foo", "foo", server=True)
        mesh.wait_ready(curl, httpbin)
        assert curl.ask("httpbin.foo").status == 200

Everything is the task's own (manifests/examples/istio-task), rendered by istioctl; only Pods are missing. The parts can
also be brought up one by one, in the order of `start`.

Concurrency: synchronous; what `place` starts runs by itself, so place several workloads before you wait.
"""

import dataclasses
import ipaddress
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.localmesh import istio_install
from tests.localmesh.build import find_module_file, find_programs
from tests.localmesh.cluster import LocalCluster
from tests.localmesh.gateway import IngressGateway
from tests.localmesh.install import CRDS, ISTIO, OWN_CRDS, install, wait_established
from tests.localmesh.istio_install import Rendered
from tests.localmesh.istiod import Istiod
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SIGNER_ACCOUNT, SignerProcess
from tests.localmesh.workload import Workload

# Nothing but mTLS is taken, and each request makes a connection of its own: an answer tells of the certificates of now.
_POLICY = f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {istio_install.NAMESPACE}}}
spec: {{mtls: {{mode: STRICT}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: connections, namespace: {istio_install.NAMESPACE}}}
spec:
  host: "*.svc.cluster.local"
  trafficPolicy: {{connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}}}
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """What a mesh may have otherwise.

    `controllers` are those of the second process; `signer_options` and `controllers_options` go to the two processes of mesh-signer, `istiod_environment` to istiod;
    `mesh_config` is laid over the task's meshConfig. `definitions`: CRDs of cert-manager.io in place of ours;
    `manifests`: further files or folders to apply with ours. `example` has Istio's configuration, and the tenants'.
    """

    tenancy: str = "enforce"
    controllers: str = "issuers,certificates,certificaterequests"
    signer_options: Sequence[str] = ()
    controllers_options: Sequence[str] = ()
    istiod_environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mesh_config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    api_flags: Sequence[str] = ()
    definitions: Sequence[Mapping[str, Any]] = ()
    manifests: Sequence[Path] = ()
    example: Path = istio_install.EXAMPLE


class Mesh:
    """One mesh with everything that belongs to it. `close` (or the end of `with`) ends all of it."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.cluster = LocalCluster(api_flags=self.options.api_flags)
        self.signer = self._signer("mesh-signer-0", SIGNER_ACCOUNT, "csr", self.options.signer_options)
        self.controllers = self._controllers(self.options.controllers, *self.options.controllers_options)
        self.workloads: list[Workload] = []
        self._istiod: Istiod | None = None
        # 127.x.y.0/24 for this mesh, two addresses for each workload: several meshes may run side by side.
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.0/24"
        self._addresses = map(str, ipaddress.IPv4Network(network).hosts())

    def _signer(
        self, name: str, account: str, controllers: str, options: Sequence[str], *, tenancy: str = ""
    ) -> SignerProcess:
        return SignerProcess(
            self.cluster,
            f"--controllers={controllers}",
            *options,
            account=account,
            name=name,
            tenancy=tenancy or self.options.tenancy,
        )

    def _controllers(self, names: str, *options: str) -> SignerProcess:
        return self._signer("mesh-signer-controllers-0", CONTROLLERS_ACCOUNT, names, options)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Bring everything up, but for workloads; returns when istiod is ready."""
        build_everything()
        self.cluster.start()
        self.install_signer()
        self.install_issuers()
        self.install_istio()
        self.create_tenants()
        self.start_istiod()
        return self

    def close(self) -> None:
        """End everything that this mesh started; may be called twice."""
        for workload in self.workloads:
            workload.close()
        if self._istiod is not None:
            self._istiod.kill()
        for process in (self.signer, self.controllers):
            process.kill()
        self.cluster.close()

    @property
    def istiod(self) -> Istiod:
        """The control plane."""
        assert self._istiod is not None, "start_istiod comes first"
        return self._istiod

    def install_signer(self) -> None:
        """The manifests, and the two processes of mesh-signer under their own accounts."""
        if self.options.definitions:
            self.cluster.apply(yaml.safe_dump_all(self.options.definitions))
        crds = OWN_CRDS if self.options.definitions else CRDS
        install(self.cluster, ISTIO, crds=crds, more=self.options.manifests)
        wait_established(self.cluster)  # theirs too
        for process in (self.signer, self.controllers):
            process.start(wait=False)
        for process in (self.signer, self.controllers):
            process.wait_ready()

    def replace_signer(self, tenancy: str, *options: str) -> None:
        """A rollout: the signer ends and another takes its place, with other options than those of the mesh.

        Its log and its audit log go on in the same files.
        """
        self.signer.stop()
        self.signer = self._signer(self.signer.name, SIGNER_ACCOUNT, "csr", options, tenancy=tenancy)
        self.signer.start()

    def replace_controllers(self, names: str, *options: str) -> None:
        """A rollout of the controllers with other options; before the first start, just other options."""
        running = self.controllers.pid is not None
        self.controllers.stop()
        self.controllers = self._controllers(names, *options)
        if running:
            self.controllers.start()

    def install_issuers(self) -> None:
        """The task's CAs and ClusterIssuers; waits until they are ready."""
        istio_install.install_issuers(self.cluster)

    def root(self, issuer: str) -> str:
        """The root of a ClusterIssuer."""
        return istio_install.root(self.cluster, issuer)

    def install_istio(self) -> Rendered:
        """What `istioctl install` of the task's IstioOperator puts into the cluster, with the roots filled in."""
        rendered = istio_install.render(
            istio_install.task(self.cluster, self.options.mesh_config, self.options.example)
        )
        istio_install.apply(self.cluster, rendered)
        self.cluster.apply(_POLICY)
        environment = {**rendered.environment, **self.options.istiod_environment}
        self._istiod = Istiod(self.cluster, environment)
        return rendered

    def create_tenants(self) -> None:
        """The namespaces foo and bar, and what says which signers are theirs."""
        istio_install.create_tenants(self.cluster, self.options.example)

    def start_istiod(self) -> None:
        """Start istiod; ready means that mesh-signer signed its DNS certificate."""
        self.istiod.start()

    def place(self, name: str, namespace: str, signer: str, **options: Any) -> Workload:
        """Start a workload that asks for `signer` ("": for none), and return at once; options are those of Workload."""
        workload = Workload(
            self.cluster,
            self.istiod.address,
            name=name,
            namespace=namespace,
            signer=signer,
            address=next(self._addresses),
            outbound=next(self._addresses),
            **options,
        )
        self.workloads.append(workload)
        workload.start()
        return workload

    def place_gateway(
        self,
        name: str = "istio-ingressgateway",
        namespace: str = istio_install.NAMESPACE,
        signer: str | None = None,
        **options: Any,
    ) -> IngressGateway:
        """Start an ingress gateway, and return at once; Gateways take it by its label `istio: ingressgateway`.

        It asks for the signer of its namespace's name, or for `signer`; "" is for none.
        """
        gateway = IngressGateway(
            self.cluster,
            self.istiod.address,
            name=name,
            namespace=namespace,
            signer=namespace if signer is None else signer,
            address=next(self._addresses),
            outbound=next(self._addresses),
            **options,
        )
        self.workloads.append(gateway)
        gateway.start()
        return gateway

    def wait_ready(self, *workloads: Workload, timeout: float = 60) -> None:
        """Wait until these have their certificates and take requests."""
        for workload in workloads:
            workload.wait_ready(timeout)

    def remove(self, *workloads: Workload) -> None:
        """End workloads, and delete what the cluster holds for them."""
        for workload in workloads:
            workload.close()
            self.workloads.remove(workload)
            self.cluster.kubectl(
                "delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(workload.objects())
            )


ISTIOS_PROGRAMS = ("pilot-discovery", "istioctl", "pilot-agent")
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", *ISTIOS_PROGRAMS)
"""What a mesh runs; Envoy and kubectl come from PyPI."""


def build_everything() -> None:
    """Have every program ready before the first server runs: building one can take minutes."""
    find_programs(PROGRAMS)
    find_module_file("envoy_bootstrap.json")
