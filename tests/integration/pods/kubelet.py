"""A kubelet's part in a Pod's certificate, and what stands around it: nodes, Pods that are bound to them, requests as a node makes them.

Synchronous, over the plain client. The real kubelet is in tests/realnode.
"""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from tests import pki
from tests.integration.plain_api import Api, Json, Refused
from tests.integration.tenants import Tenants

VERSION = "certificates.k8s.io/v1beta1"
FLAGS = (
    "--feature-gates=PodCertificateRequest=true,ClusterTrustBundle=true",
    f"--runtime-config={VERSION}/podcertificaterequests=true,{VERSION}/clustertrustbundles=true",
    "--enable-admission-plugins=NodeRestriction",
)
GROUP = f"/apis/{VERSION}"
BUNDLES = f"{GROUP}/clustertrustbundles"
NODES = "system:nodes"
FINAL = frozenset({"Issued", "Denied", "Failed"})


def requests_path(namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/podcertificaterequests"


def proven(private: Any, message: bytes) -> Json:
    """The two fields of v1beta1 that prove a key."""
    spki, proof = pki.proof(private, message)
    return {"pkixPublicKey": _text(spki), "proofOfPossession": _text(proof)}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answer_of(request: Json) -> tuple[str, Json] | None:
    """The condition that ends a request, and its status; None while it is open."""
    status = request.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] in FINAL:
            return condition["type"], condition | {"status": status}
    return None


@dataclass
class Kubelet:
    """One node, and what its kubelet asks for. `tenants` say which namespaces and signers there are."""

    api: Api
    tenants: Tenants
    node: Json

    @classmethod
    def of(cls, tenants: Tenants) -> "Kubelet":
        api = tenants.place.api
        name = f"node-{secrets.token_hex(4)}"
        node = api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        tenants.place.made.append(f"/api/v1/nodes/{name}")
        return cls(api, tenants, node)

    @property
    def name(self) -> str:
        return str(self.node["metadata"]["name"])

    @property
    def user(self) -> str:
        return f"system:node:{self.name}"

    def pod(self, namespace: str, account: str = "default", node: str = "") -> Json:
        """A Pod that is bound to the node."""
        self.account(namespace, account)
        spec = {
            "nodeName": node or self.name,
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "containers": [{"name": "app", "image": "none"}],
        }
        meta = {"name": f"pod-{secrets.token_hex(4)}"}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods", body)

    def account(self, namespace: str, account: str) -> Json:
        """The ServiceAccount, made where it is not there."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        meta = {"name": account}
        found: Json = self.tenants.place.until(
            f"ServiceAccount {account}",
            lambda: (
                self.api.find(f"{path}/{account}")
                or (
                    account != "default"
                    and self.api.post(path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
                )
            ),
        )
        return found

    def request(self, pod: Json, signer: str, private: Any = None, **changes: Any) -> Json:
        """The request for a Pod as it is, with changes to its spec; None takes a field out."""
        meta = pod["metadata"]
        account = self.account(meta["namespace"], pod["spec"]["serviceAccountName"])
        spec = {
            "signerName": signer,
            "podName": meta["name"],
            "podUID": meta["uid"],
            "serviceAccountName": account["metadata"]["name"],
            "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": self.name,
            "nodeUID": self.node["metadata"]["uid"],
            "maxExpirationSeconds": 86_400,
            "stubPKCS10Request": _text(pki.stub(private or pki.key())),
        } | changes
        return {
            "apiVersion": VERSION,
            "kind": "PodCertificateRequest",
            "metadata": {"name": f"r-{secrets.token_hex(4)}", "namespace": meta["namespace"]},
            "spec": {key: value for key, value in spec.items() if value is not None},
        }

    def create(self, body: Json, user: str = "", groups: tuple[str, ...] = (NODES,)) -> Json:
        """Make it as the node, or as somebody else.

        NodeRestriction looks for the Pod in a cache, and answers 500 until that has it; a kubelet asks again then, too.
        """
        path = requests_path(body["metadata"]["namespace"])

        def ask() -> Json | None:
            try:
                return self.api.call("POST", path, body, user=user or self.user, groups=groups)
            except Refused as error:
                if error.code == 500 and "while retrieving pod" in str(error):
                    return None
                raise

        made: Json = self.tenants.place.until("the API server to know the Pod", ask)
        return made

    def look(self, made: Json) -> Json:
        return self.api.get(f"{requests_path(made['metadata']['namespace'])}/{made['metadata']['name']}")

    def answered(self, made: Json) -> tuple[str, Json]:
        """Its final condition, with the status; waits for it."""
        found: tuple[str, Json] = self.tenants.place.until("an answer", lambda: answer_of(self.look(made)))
        return found

    def told(self, pod: Json, reason: str) -> Json:
        """The Event of this reason on a Pod; waits for it."""
        meta = pod["metadata"]
        found: Json = self.tenants.place.event(meta["name"], reason, kind="Pod", namespace=meta["namespace"])
        return found


def chain_of(answer: Json) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(answer["status"]["certificateChain"].encode())


Ask = Callable[..., Json]
