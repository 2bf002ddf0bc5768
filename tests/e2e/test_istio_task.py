"""Istio's task "Custom CA Integration using Kubernetes CSR", from start to end, with mesh-signer in cert-manager's place.

The commands are the task's own and run in a shell. What needs Pods is a process here: istiod and the sidecars run beside
the cluster, so `istioctl install` is `istioctl manifest generate` and `kubectl apply`, and `kubectl exec POD -- curl` asks
the workload's own sidecar. One API server serves both walks, one after the other: the clean-up of the first is what the
second starts from.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.localmesh import istio_install
from tests.localmesh.install import COMPONENTS, MANIFESTS, install
from tests.localmesh.install import ISTIO as OVERLAY
from tests.localmesh.istiod import Istiod
from tests.localmesh.mesh import Mesh
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SIGNER_ACCOUNT
from tests.localmesh.toolchain import find_kubectl
from tests.localmesh.workload import Workload

pytestmark = pytest.mark.e2e

TASK = MANIFESTS / "examples" / "istio-task"
WITH_ISSUERS = MANIFESTS / "examples" / "istio-task-issuers"
TENANTS = ("istio-system", "foo", "bar")

SECRETS = "kubectl get secret -n cert-manager -l controller.cert-manager.io/fao=true"

# The task's words.
EXPORT = r"""
export ISTIOCA=$(kubectl get clusterissuers istio-system -o jsonpath='{.spec.ca.secretName}' | xargs kubectl get secret -n cert-manager -o jsonpath='{.data.ca\.crt}' | base64 -d | sed 's/^/        /')
export FOOCA=$(kubectl get clusterissuers foo -o jsonpath='{.spec.ca.secretName}' | xargs kubectl get secret -n cert-manager -o jsonpath='{.data.ca\.crt}' | base64 -d | sed 's/^/        /')
export BARCA=$(kubectl get clusterissuers bar -o jsonpath='{.spec.ca.secretName}' | xargs kubectl get secret -n cert-manager -o jsonpath='{.data.ca\.crt}' | base64 -d | sed 's/^/        /')
"""

ISTIO = r"""
cat <<EOF > ./istio.yaml
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  values:
    pilot:
      env:
        EXTERNAL_CA: ISTIOD_RA_KUBERNETES_API
  meshConfig:
    defaultConfig:
      proxyMetadata:
        ISTIO_META_CERT_SIGNER: istio-system
    caCertificates:
    - pem: |
$ISTIOCA
      certSigners:
      - clusterissuers.cert-manager.io/istio-system
    - pem: |
$FOOCA
      certSigners:
      - clusterissuers.cert-manager.io/foo
    - pem: |
$BARCA
      certSigners:
      - clusterissuers.cert-manager.io/bar
  components:
    pilot:
      k8s:
        env:
        - name: CERT_SIGNER_DOMAIN
          value: clusterissuers.cert-manager.io
        - name: PILOT_CERT_PROVIDER
          value: k8s.io/clusterissuers.cert-manager.io/istio-system
        overlays:
          - kind: ClusterRole
            name: istiod-clusterrole-istio-system
            patches:
              - path: rules[-1]
                value: |
                  apiGroups:
                  - certificates.k8s.io
                  resourceNames:
                  - clusterissuers.cert-manager.io/foo
                  - clusterissuers.cert-manager.io/bar
                  - clusterissuers.cert-manager.io/istio-system
                  resources:
                  - signers
                  verbs:
                  - approve
EOF
"""

# The same for Issuers: `ca`, in each tenant's namespace, with its Secret beside it.
EXPORT_ISSUER = r"""
kubectl get issuers ca -n TENANT -o jsonpath='{.spec.ca.secretName}' | xargs kubectl get secret -n TENANT -o jsonpath='{.data.ca\.crt}' | base64 -d
"""

# The vanilla Envoy of the tests cannot tell mTLS from plain text by itself.
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


class Walk(Mesh):
    """A mesh that is brought up and taken down by the task's steps."""

    def deploy_signer(self, *options: str) -> None:
        """`helm install cert-manager`, or in our case: the CRDs, the overlay for Istio, and the two processes."""
        install(self.cluster, OVERLAY)
        for process in (self.signer, self.controllers):
            process.stop()
        self.signer = self._signer(self.signer.name, SIGNER_ACCOUNT, "csr", options)
        slow = "issuers,certificates,certificaterequests,policies"  # as the Deployment has it
        self.controllers = self._signer(self.controllers.name, CONTROLLERS_ACCOUNT, slow, options)
        for process in (self.signer, self.controllers):
            process.start(wait=False)
        for process in (self.signer, self.controllers):
            process.wait_ready()

    def shell(self, script: str, folder: Path) -> str:
        """Run a step as a user would, in bash with kubectl on PATH."""
        programs = self.cluster.folder / "bin"
        programs.mkdir(exist_ok=True)
        if not (programs / "kubectl").exists():
            (programs / "kubectl").symlink_to(find_kubectl())
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.cluster.kubeconfig()),
        }
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def istioctl_install(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """`istioctl install -f istio.yaml`; returns what it put into the cluster."""
        entries = document["spec"]["meshConfig"]["caCertificates"]
        roots = {entry["certSigners"][0]: entry["pem"] for entry in entries}
        assert [pem.startswith("-----BEGIN CERTIFICATE-----\n") for pem in roots.values()] == [True] * 3
        rendered = istio_install.render(istio_install.operator(document, roots))
        istio_install.apply(self.cluster, rendered)
        self.cluster.apply(STRICT)
        self._istiod = Istiod(self.cluster, rendered.environment)
        self._istiod.start()
        return list(rendered.objects)

    def check_connectivity(self, foo: str, bar: str) -> None:
        """Deploy httpbin in both namespaces and curl in foo, each with its tenant's signer, and ask as the task does."""
        httpbin = self.place("httpbin", "foo", foo, server=True)
        curl = self.place("curl", "foo", foo)
        other = self.place("httpbin", "bar", bar, server=True)
        self.wait_ready(httpbin, curl, other)
        inside, across = curl.ask("httpbin.foo"), curl.ask("httpbin.bar")
        assert (inside.status, inside.text.splitlines()[-1]) == (200, "httpbin.foo")
        assert across.refused_by_tls, across

    def check_rights(self) -> None:
        """Nothing that the two processes asked of the API server was forbidden: the roles that are shipped are enough."""
        for process in (self.signer, self.controllers):
            assert process.metric("mesh_signer_api_errors_total", code="403") == 0, process.log[-2000:]

    def refused(self, thief: Workload) -> dict[str, Any]:
        """Wait for the refusal of a workload's request; its audit line."""

        def told() -> dict[str, Any] | None:
            lines = self.signer.audit()
            return next(
                (one for one in lines if one.get("identity") == thief.spiffe_id and one["verdict"] == "refuse"), None
            )

        found: dict[str, Any] = self.cluster.wait_for(told, f"a refusal of {thief}", 60)
        assert thief.certificate() is None
        return found

    def clean_up(self, istio: list[dict[str, Any]], *folders: Path) -> None:
        """The task's clean-up: the tenants' namespaces, Istio, its namespace; and what was applied from `folders`."""
        for workload in list(self.workloads):
            self.remove(workload)
        self.cluster.kubectl("delete", "ns", "foo", "--timeout=120s")
        self.cluster.kubectl("delete", "ns", "bar", "--timeout=120s")
        self.istiod.stop()
        self.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(istio))
        self.cluster.kubectl("delete", "ns", "istio-system", "--timeout=120s")
        for folder in folders:
            self.cluster.kubectl("delete", "--ignore-not-found", "-f", folder)


@pytest.fixture(scope="module")
def walk(built: None) -> Iterator[Walk]:  # noqa: ARG001 - only to come after it
    """An API server with nothing on it yet."""
    mesh = Walk()
    try:
        mesh.cluster.start()
        yield mesh
    finally:
        mesh.close()


def test_with_cluster_issuers(walk: Walk, tmp_path: Path) -> None:
    """The task as it is written, and as its example here has it: foo reaches foo and not bar, and all can be removed."""
    walk.deploy_signer()
    walk.shell(f"kubectl apply -f {TASK / 'issuers.yaml'}", tmp_path)
    walk.shell("kubectl wait --for=condition=Ready --timeout=60s clusterissuers istio-system foo bar", tmp_path)
    header, *rows = (line.split() for line in walk.shell(SECRETS, tmp_path).splitlines())
    assert header == ["NAME", "TYPE", "DATA", "AGE"]
    names = ["bar-ca-selfsigned", "foo-ca-selfsigned", "istio-ca-selfsigned"]
    assert [row[:3] for row in rows] == [[name, "kubernetes.io/tls", "3"] for name in names]

    walk.shell(EXPORT + ISTIO, tmp_path)
    document = yaml.safe_load((tmp_path / "istio.yaml").read_text())
    istio = walk.istioctl_install(document)
    walk.shell("kubectl create ns bar", tmp_path)
    walk.shell("kubectl create ns foo", tmp_path)
    walk.shell(f"kubectl apply -f {TASK / 'proxyconfigs.yaml'}", tmp_path)
    walk.shell("kubectl label ns foo istio-injection=enabled", tmp_path)
    walk.shell("kubectl label ns bar istio-injection=enabled", tmp_path)

    walk.check_connectivity("foo", "bar")
    owners = {one["metadata"]["name"]: one["spec"]["namespace"] for one in walk.cluster.get("signerbindings")["items"]}
    assert owners == {"foo": "foo", "bar": "bar"}
    assert "TenantMismatch" in json.dumps(walk.refused(walk.place("thief", "bar", "foo", envoy=False)))

    walk.check_rights()
    walk.clean_up(istio, TASK / "issuers.yaml")


def test_with_issuers(walk: Walk, tmp_path: Path) -> None:
    """The same with Issuers: each tenant's CA is in its own namespace, and a workload of another gets nothing from it."""
    walk.deploy_signer("--cert-signer-domain=issuers.cert-manager.io")
    walk.cluster.apply(COMPONENTS / "namespaced-issuers" / "rbac.yaml")
    walk.cluster.apply(WITH_ISSUERS / "issuers.yaml")
    walk.cluster.apply(WITH_ISSUERS / "roles.yaml")
    for tenant in TENANTS:
        walk.shell(f"kubectl wait --for=condition=Ready --timeout=60s issuer/ca -n {tenant}", tmp_path)

    document = yaml.safe_load((WITH_ISSUERS / "istio.yaml").read_text())
    for entry, tenant in zip(document["spec"]["meshConfig"]["caCertificates"], TENANTS, strict=True):
        assert entry["certSigners"] == [f"issuers.cert-manager.io/{tenant}.ca"]
        entry["pem"] = walk.shell(EXPORT_ISSUER.replace("TENANT", tenant), tmp_path)
    istio = walk.istioctl_install(document)
    walk.cluster.apply(WITH_ISSUERS / "proxyconfigs.yaml")

    walk.check_connectivity("foo.ca", "bar.ca")
    assert "TenantMismatch" in json.dumps(walk.refused(walk.place("thief", "bar", "foo.ca", envoy=False)))
    walk.clean_up(istio)
