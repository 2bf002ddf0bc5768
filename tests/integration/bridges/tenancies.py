"""A server's tenant, a client's namespace, and a bridge between them, on a real API server.

Synchronous. The client's namespace has no CA and no claim: a shared gateway's has none that any tenant trusts.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from cryptography import x509

from tests.integration.plain_api import Json, Refused
from tests.integration.tenants import Tenants
from tests.integration.test_edge_objects import module
from tests.localmesh import Cluster
from tests.localmesh.bridges import bridge, policy
from tests.localmesh.gateway import SELECTOR
from tests.localmesh.signer import SignerProcess

GROUP = "/apis/mesh-signer.dev/v1alpha1"
RULES = "/apis/networking.istio.io/v1"
KINDS = tuple(
    f"{one}.networking.istio.io"
    for one in ("destinationrules", "gateways", "serviceentries", "sidecars", "virtualservices")
)
GATEWAY = "gateway"


def istio_definitions(cluster: Cluster) -> tuple[str, ...]:
    """Apply Istio's own definitions of the kinds that bridges have to do with; their names."""
    text = (module("istio.io/istio") / "manifests" / "charts" / "base" / "files" / "crd-all.gen.yaml").read_text(
        "utf-8"
    )
    wanted = (*KINDS, "peerauthentications.security.istio.io")
    found = [one for one in yaml.safe_load_all(text) if one and one["metadata"]["name"] in wanted]
    for one in found:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(one))
    return wanted


def gateway_definitions(cluster: Cluster) -> tuple[str, ...]:
    """Apply the Gateway API's own definitions of its routes; their names."""
    folder = module("sigs.k8s.io/gateway-api") / "config" / "crd" / "experimental"
    kinds = ("httproutes", "grpcroutes", "tcproutes", "tlsroutes")
    texts = [(folder / f"gateway.networking.k8s.io_{one}.yaml").read_text("utf-8") for one in kinds]
    cluster.kubectl("apply", "--server-side", "-f", "-", input="\n---\n".join(texts))
    return tuple(f"{one}.gateway.networking.k8s.io" for one in kinds)


@dataclass
class Crossing:
    """One server's tenant (`server`) and one client's namespace (`client`), both of this test alone."""

    tenants: Tenants
    controllers: SignerProcess
    made: list[str] = field(default_factory=list)

    @property
    def server(self) -> str:
        return self.tenants.name("server")

    @property
    def client(self) -> str:
        return self.tenants.name("client")

    @property
    def host(self) -> str:
        return f"httpbin.{self.server}.svc.cluster.local"

    @property
    def api(self) -> Any:
        return self.tenants.place.api

    def start(self) -> None:
        """Make both namespaces, the server's CA and claim, and wait until it owns its signer."""
        self.tenants.place.cluster.create_namespace(self.client)
        self.tenants.add("server")
        self.account(self.server, "httpbin")
        self.until("the server's owner record", lambda: self.get(f"{GROUP}/signerbindings/{self.server}"))

    def remove(self) -> None:
        """Take away what is not in a namespace, and bridges before their namespaces."""
        self.end_bridge()
        self.end_policy()
        self.tenants.place.cluster.delete_namespace(self.client)

    def account(self, namespace: str, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        self.api.apply(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}", body)

    def remake_client(self) -> None:
        """Delete the client's namespace and make it again, after a policy was seen with it and while there is no bridge."""
        self.policy()
        self.bridge()
        self.stands()
        self.end_bridge()
        cluster = self.tenants.place.cluster
        cluster.kubectl("delete", "namespace", self.client)
        cluster.create_namespace(self.client)
        self.bridge()
        self.ended("NamespaceRemade")

    def client_pod(self) -> None:
        """A Pod of the client, as the bridge says, though nothing runs it."""
        self.account(self.client, GATEWAY)
        spec = {"serviceAccountName": GATEWAY, "containers": [{"name": "proxy", "image": "proxy"}]}
        meta = {"name": GATEWAY, "namespace": self.client, "labels": SELECTOR}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        self.api.apply(f"/api/v1/namespaces/{self.client}/pods/{GATEWAY}", body)

    # The two hands.

    @property
    def bridge_path(self) -> str:
        return f"{GROUP}/namespaces/{self.server}/tenantbridges/ingress"

    @property
    def policy_path(self) -> str:
        return f"{GROUP}/tenantbridgepolicies/{self.server}"

    def bridge(self, **spec: Any) -> None:
        """The server's tenant writes its TenantBridge."""
        self.api.apply(self.bridge_path, bridge(self.server, client=(self.client, GATEWAY), **spec))

    def policy(self, **spec: Any) -> None:
        """An admin writes a TenantBridgePolicy that is about these two."""
        made = policy(self.server, name=self.server, client=(self.client, GATEWAY), **spec)
        self.api.apply(self.policy_path, made)

    def end_bridge(self) -> None:
        self._delete(self.bridge_path)
        self.until("the end of the bridge", lambda: self.get(self.bridge_path) is None)

    def end_policy(self) -> None:
        self._delete(self.policy_path)

    def _delete(self, path: str) -> None:
        try:
            self.api.delete(path)
        except Refused as error:
            if error.code != 404:
                raise

    # What came of it.

    def get(self, path: str) -> Json | None:
        try:
            found: Json = self.api.get(path)
        except Refused as error:
            if error.code == 404:
                return None
            raise
        return found

    def until(self, what: str, ready: Any, timeout: float = 60) -> Any:
        return self.tenants.place.cluster.wait_for(ready, what, timeout)

    @property
    def secret_path(self) -> str:
        return f"/api/v1/namespaces/{self.client}/secrets/mesh-signer-bridge-{self.server}.ingress"

    def secret(self) -> Json | None:
        return self.get(self.secret_path)

    def rules(self) -> list[Json]:
        found: list[Json] = self.api.get(f"{RULES}/namespaces/{self.client}/destinationrules")["items"]
        return [one for one in found if one["metadata"]["name"].startswith("mesh-signer-bridge-")]

    def condition(self, kind: str = "Ready") -> Json:
        obj = self.get(self.bridge_path) or {}
        found = (one for one in obj.get("status", {}).get("conditions", []) if one["type"] == kind)
        return next(found, {})

    def stands(self) -> None:
        """Wait until the bridge stands."""

        def ready() -> bool:
            found, obj = self.condition(), self.get(self.bridge_path) or {}
            current = found.get("observedGeneration") == obj.get("metadata", {}).get("generation")
            return current and found.get("status") == "True"

        self.until(f"a bridge that stands; {self.condition()}", ready)

    def ended(self, reason: str) -> None:
        """Wait until the bridge says why it does not stand, and nothing of it is left."""

        def gone() -> bool:
            return self.condition().get("reason") == reason and not self.rules() and self.secret() is None

        self.until(f"no bridge, since {reason}", gone)

    def leaf(self) -> x509.Certificate:
        """The client's certificate."""
        found = self.secret()
        assert found is not None
        return x509.load_pem_x509_certificates(base64.b64decode(found["data"]["tls.crt"]))[0]

    def roots(self) -> list[x509.Certificate]:
        found = self.secret()
        assert found is not None
        return x509.load_pem_x509_certificates(base64.b64decode(found["data"]["ca.crt"]))


def in_seconds(seconds: float) -> str:
    """A time from now, as an object has it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
