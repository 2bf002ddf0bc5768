"""ztunnel's side of the CA protocol, towards a real istiod: it asks for the workloads of its node, with its own token.

ztunnel itself is in no registry. What it does towards istiod is little: it names the workload in the request, and no signer
(ImpersonatedIdentity; ztunnel's src/identity/caclient.rs). A Pod of its own on the same node is what istiod lets it do that by.

Synchronous.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.localmesh.build import GOTOOLS, Program, build
from tests.localmesh.mesh import Mesh

PROGRAM = Program("impersonate", (GOTOOLS / "istio").resolve(), "./impersonate")
NAMESPACE, ACCOUNT = "istio-system", "ztunnel"
TRUSTED = {"CA_TRUSTED_NODE_ACCOUNTS": f"{NAMESPACE}/{ACCOUNT}"}
"""istiod's environment, as the chart has it for ambient."""


@dataclass(frozen=True)
class Ztunnel:
    """The ztunnel of one node of a mesh whose istiod has TRUSTED."""

    mesh: Mesh
    node: str

    def start(self) -> None:
        """Give it its account and its Pod."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}
        self.mesh.cluster.apply(yaml.safe_dump(account))
        self.run_pod(self._pod, NAMESPACE, ACCOUNT)

    @property
    def _pod(self) -> str:
        return f"ztunnel-{self.node}"

    def run_pod(self, name: str, namespace: str, account: str = "default", node: str = "") -> None:
        """A Pod on a node, this one unless another is named; nothing runs in it."""
        place = {"metadata": {"name": name, "namespace": namespace}}
        containers = [{"name": "c", "image": "none"}]
        spec = {"serviceAccountName": account, "nodeName": node or self.node, "containers": containers}
        body = {"apiVersion": "v1", "kind": "Pod", **place, "spec": spec}
        service_account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        }
        self.mesh.cluster.apply(yaml.safe_dump_all([service_account, body]))

    def ask(self, csr: bytes, identity: str) -> tuple[bytes, str]:
        """Ask istiod for a workload: the answer's certificates (PEM), or b"" and why it gives none."""
        cluster = self.mesh.cluster
        uid = cluster.get("pod", self._pod, "-n", NAMESPACE)["metadata"]["uid"]
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={self._pod}", f"--bound-object-uid={uid}")
        token = cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, "--audience=istio-ca", *bound)
        root = cluster.get("configmap", "istio-ca-root-cert", "-n", NAMESPACE)["data"]["root-cert.pem"]
        files = {"root": root, "token": token, "csr": csr.decode()}
        options = [f"--address={self.mesh.istiod.address}", f"--identity={identity}"]
        for name, text in files.items():
            file = Path(cluster.folder, f"ztunnel-{name}")
            file.write_text(text)
            options.append(f"--{name}={file}")
        done = subprocess.run([build(PROGRAM), *options], capture_output=True, check=False)
        return done.stdout, done.stderr.decode(errors="replace")
