"""mesh-signer on the node, as docs/install.md installs it, and a tenant whose istiod asks. Synchronous."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.integration.tenants import define_proxy_configs
from tests.localmesh.istiod_requests import Workload, install_istiod
from tests.realnode.node import Node
from tests.realnode.requesting import Steady

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
NAMESPACE = "cert-manager"
DEPLOYMENTS = ("mesh-signer", "mesh-signer-controllers")
TENANT = "foo"
_CLAIM = {
    "apiVersion": "networking.istio.io/v1beta1",
    "kind": "ProxyConfig",
    "metadata": {"name": "claim", "namespace": TENANT},
    "spec": {"environmentVariables": {"ISTIO_META_CERT_SIGNER": TENANT}},
}


class Installation:
    """What tests do with mesh-signer's Pods, however it was installed."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.kubectl = node.cluster.kubectl
        self._istiod: Path | None = None

    def by_kustomize(self) -> None:
        """The three commands of docs/install.md, and the wait."""
        for folder in ("namespaces", "crds", "overlays/istio"):
            self.node.cluster.apply_kustomize(MANIFESTS / folder)
        self.settle()

    def with_component(self, component: str, folder: Path) -> None:
        """Add a component as a user does: a kustomization of his own, in an empty folder."""
        overlay = {
            "resources": [_from(folder, MANIFESTS / "overlays" / "istio")],
            "components": [_from(folder, MANIFESTS / "components" / component)],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        self.node.cluster.apply_kustomize(folder)
        self.settle()

    def tenant(self) -> None:
        """A tenant as in Istio's task: a CA, an entry in the mesh config and a claim; and istiod, which may approve for it."""
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        self.kubectl("apply", "-f", str(MANIFESTS / "examples" / "istio-task" / "issuers.yaml"))
        self.node.cluster.create_namespace(TENANT)
        self._istiod = install_istiod(self.node.cluster, [TENANT])
        self.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "clusterissuer", TENANT)
        self.node.cluster.apply(json.dumps(self._mesh_config()))
        define_proxy_configs(self.node.cluster)
        self.node.cluster.apply(json.dumps(_CLAIM))
        found = ("get", "signerbindings", "--output=name")
        self.node.wait_for(lambda: f"/{TENANT}\n" in self.kubectl(*found), "the tenant to own its signer")

    def _mesh_config(self) -> Any:
        secret = self.node.cluster.get("secret", f"{TENANT}-ca-selfsigned", "-n", NAMESPACE)
        root = base64.b64decode(secret["data"]["ca.crt"]).decode()
        mesh = {"caCertificates": [{"pem": root, "certSigners": [f"clusterissuers.cert-manager.io/{TENANT}"]}]}
        metadata = {"name": "istio", "namespace": "istio-system"}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": json.dumps(mesh)}}

    def steady(self) -> Steady:
        """Requests of istiod for the tenant's workload."""
        assert self._istiod is not None, "tenant() comes first"
        workload = Workload(TENANT, "sleep", TENANT)
        return Steady(self._istiod, self.node.cluster.kubeconfig(), workload)

    def settle(self) -> None:
        """Wait until each Deployment has all of its Pods ready, and no other ones are left."""
        for name in DEPLOYMENTS:
            self.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=240s")
        wanted = {
            name: self.node.cluster.get("deployment", name, "-n", NAMESPACE)["spec"]["replicas"] for name in DEPLOYMENTS
        }
        self.node.wait_for(
            lambda: all(
                len(self.pods(name)) == count and all(map(ready, self.pods(name))) for name, count in wanted.items()
            ),
            "exactly the Pods of the Deployments",
            240,
        )

    def pods(self, deployment: str) -> list[Any]:
        """The Pods of a Deployment, by name."""
        component = {"mesh-signer": "signer", "mesh-signer-controllers": "controllers"}[deployment]
        listed = self.node.cluster.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/component={component}")
        return sorted(listed["items"], key=lambda pod: str(pod["metadata"]["name"]))

    def run(self, pod: str, code: str, namespace: str = NAMESPACE) -> str:
        """Run Python in a Pod's container; its output."""
        return self.kubectl("exec", "-n", namespace, pod, "--", "python", "-c", code).strip()


def _from(folder: Path, target: Path) -> str:
    """The way to a folder from another one: kustomize takes none from the root."""
    return str(Path(*[".."] * len(folder.resolve().parts[1:])) / target.resolve().relative_to("/"))


def seconds(time: str) -> float:
    """A time of the API as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def name(pod: Any) -> str:
    """A Pod's name."""
    return str(pod["metadata"]["name"])


def ready(pod: Any) -> bool:
    """Whether a Pod is ready and not about to end."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
