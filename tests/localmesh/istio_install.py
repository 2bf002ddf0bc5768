"""Istio's own objects, rendered by istioctl from an IstioOperator as a user writes it, and applied without Pods.

What needs Pods (Deployments, webhooks, Services) is left out: istiod and the proxies run as processes beside the
cluster. Everything else is the chart's: CRDs, ServiceAccounts, RBAC, the ConfigMap with the mesh config, and istiod's
environment as its Deployment states it. Pure but for `istioctl` and `apply`; synchronous.
"""

import copy
import dataclasses
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.localmesh.build import find_program
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import MANIFESTS, wait_established
from tests.localmesh.signer import NAMESPACE as SIGNERS

NAMESPACE = "istio-system"
MESH_CONFIG = "istio"  # the ConfigMap in NAMESPACE; its key `mesh` is the mesh config
_APPLIED = {
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ConfigMap",
}
# Envoy's own build has none of Istio's extensions: no istio.stats (it comes with a metrics provider), and what istiod and the
# agent must be told besides.
_VANILLA_ENVOY = {"defaultProviders": {"metrics": []}, "enablePrometheusMerge": False}
VANILLA_ENVOY_ISTIOD = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}
VANILLA_ENVOY_AGENT = {"PEER_METADATA_DISCOVERY": "false"}
SHOW_TLS_ERRORS = {"envoy.reloadable_features.hide_transport_failure_reason_in_response_body": "false"}
"""As the task shows it: newer Envoys keep the reason of a failed handshake out of their answer."""
EXAMPLE = MANIFESTS / "examples" / "istio-task"
BY_IDENTITY = MANIFESTS / "examples" / "tenants-by-identity"
"""The same tenants behind one signer name (K8S_SIGNER)."""
DOMAIN = "clusterissuers.cert-manager.io"
TENANTS = (NAMESPACE, "foo", "bar")

Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What istioctl made of an IstioOperator: the objects that are applied, and the environment of istiod."""

    objects: tuple[Document, ...]
    environment: Mapping[str, str]

    def text(self) -> str:
        """The objects as YAML for kubectl."""
        return yaml.dump_all(self.objects, Dumper=yaml.CSafeDumper)


def install_issuers(cluster: Cluster) -> None:
    """The task's CAs and ClusterIssuers; waits until they are ready."""
    cluster.kubectl("apply", "-f", EXAMPLE / "issuers.yaml")
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "clusterissuers", *TENANTS)


def root(cluster: Cluster, issuer: str) -> str:
    """The root of a ClusterIssuer, exported as the task does: issuer, its Secret, ca.crt."""
    secret = cluster.kubectl("get", "clusterissuers", issuer, "-o", "jsonpath={.spec.ca.secretName}")
    template = r'go-template={{index .data "ca.crt" | base64decode}}'
    return cluster.kubectl("get", "secret", "-n", SIGNERS, secret, "-o", template)


def task(cluster: Cluster, changes: Mapping[str, Any] | None = None, example: Path = EXAMPLE) -> Document:
    """The IstioOperator of an example, with the roots of this cluster; `changes` as in `operator`."""
    document = yaml.safe_load((example / "istio.yaml").read_text())
    return operator(document, {f"{DOMAIN}/{tenant}": root(cluster, tenant) for tenant in TENANTS}, changes)


def create_tenants(cluster: Cluster, example: Path = EXAMPLE) -> None:
    """The namespaces foo and bar, and the ProxyConfigs that name their signers, or the policies that give them."""
    cluster.apply(EXAMPLE / "namespaces.yaml")
    for name in ("proxyconfigs.yaml", "policies.yaml"):
        if (example / name).exists():
            cluster.apply(example / name)


def operator(document: Document, roots: Mapping[str, str], changes: Mapping[str, Any] | None = None) -> Document:
    """An IstioOperator with its roots filled in, as the task's `$FOOCA` and the like are.

    Args:
        document: the IstioOperator; each entry of caCertificates names its signers.
        roots: signer name to PEM; an entry gets the root of the first signer that it names.
        changes: of meshConfig, laid over the document's own at the first level.
    """
    filled = copy.deepcopy(document)
    mesh = filled["spec"]["meshConfig"]
    for entry in mesh["caCertificates"]:
        entry["pem"] = roots[entry["certSigners"][0]]
    mesh.update(_VANILLA_ENVOY)
    mesh.update(changes or {})
    return filled


def render(document: Document) -> Rendered:
    """Run `istioctl manifest generate` on an IstioOperator; needs no cluster."""
    done = subprocess.run(
        [find_program("istioctl"), "manifest", "generate", "-f", "-"],
        input=yaml.safe_dump(document),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalMeshError(f"istioctl manifest generate: {done.stderr.strip()}")
    # The C loader: the CRDs are a megabyte.
    objects = [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]
    return Rendered(tuple(one for one in objects if one["kind"] in _APPLIED), _environment(objects))


def _environment(objects: Iterable[Document]) -> dict[str, str]:
    for one in objects:
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "istiod":
            listed = one["spec"]["template"]["spec"]["containers"][0]["env"]
            return {entry["name"]: entry["value"] for entry in listed if "value" in entry}
    raise LocalMeshError("istioctl rendered no Deployment istiod")


def apply(cluster: Cluster, rendered: Rendered) -> None:
    """Apply what was rendered, CRDs first as istioctl orders them; returns when the CRDs are served."""
    cluster.create_namespace(NAMESPACE)
    cluster.apply(rendered.text())
    definitions = [one["metadata"]["name"] for one in rendered.objects if one["kind"] == "CustomResourceDefinition"]
    wait_established(cluster, *definitions)


def mesh_config(cluster: Cluster) -> Document:
    """The mesh config as it stands in the cluster."""
    read: Document = yaml.safe_load(cluster.get("configmap", MESH_CONFIG, "-n", NAMESPACE)["data"]["mesh"])
    return read


def write_mesh_config(cluster: Cluster, mesh: Document) -> None:
    """Replace the mesh config; istiod reloads it by itself."""
    patch = yaml.safe_dump({"data": {"mesh": yaml.safe_dump(mesh)}})
    cluster.kubectl("patch", "configmap", MESH_CONFIG, "-n", NAMESPACE, "--type=merge", "--patch", patch)
