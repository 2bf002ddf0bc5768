"""Asks for certificates and looks at what became of them, over a plain HTTP client that shares no code with the signer.

Synchronous. Every wait is a safety net for a busy machine; no test waits that long when it passes.
"""

import base64
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from cryptography import x509

from tests import pki
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import Cluster, kubeconfig
from tests.localmesh.cluster import pause
from tests.localmesh.signer import NAMESPACE

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLUSTER_ISSUERS = "/apis/cert-manager.io/v1/clusterissuers"
DURATION = "experimental.cert-manager.io/request-duration"
IS_CA = "experimental.cert-manager.io/request-is-ca"
PRIVATE_KEY = "experimental.cert-manager.io/private-key-secret-name"
ASKERS = "csr-askers"  # the group of every requester that a test makes up: it may create requests
ASKERS_ROLE = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {ASKERS}}}
rules: [{{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {ASKERS}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {ASKERS}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: Group, name: {ASKERS}}}]
"""
PATIENCE = 60.0


@dataclass
class Place:
    """A cluster as these tests see it."""

    cluster: Cluster
    api: Api
    made: list[str] = field(default_factory=list)  # paths of what is to be removed in the end

    @classmethod
    def of(cls, cluster: Cluster) -> Self:
        return cls(cluster, Api(kubeconfig.read(cluster.kubeconfig())))

    # What a CA needs.

    def secret(self, name: str, data: Mapping[str, bytes], namespace: str = NAMESPACE) -> None:
        """Write a TLS Secret, whatever there was of this name; the three entries are always all told of."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": encoded,
        }
        self._apply(f"{secrets_path(namespace)}/{name}", body)

    def delete_secret(self, name: str, namespace: str = NAMESPACE) -> None:
        self.api.delete(f"{secrets_path(namespace)}/{name}")

    def issuer(self, name: str, spec: Json, namespace: str = "") -> str:
        """Write a ClusterIssuer, or an Issuer in a namespace; its signer name."""
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        kind = "Issuer" if namespace else "ClusterIssuer"
        body = {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": meta, "spec": spec}
        self._apply(f"{issuers_path(namespace)}/{name}", body)
        return signer_name(name, namespace)

    def ca_issuer(self, name: str, ca: pki.CA, namespace: str = "", **settings: Any) -> str:
        """A `ca` issuer and its Secret, of one name; the signer name."""
        self.secret(name, ca.secret(), namespace or NAMESPACE)
        return self.issuer(name, {"ca": {"secretName": name, **settings}}, namespace)

    # Requests.

    def create(
        self,
        signer: str,
        request: bytes | None = None,
        *,
        name: str = "",
        usages: Iterable[str] = pki.WORKLOAD_USAGES,
        seconds: int | None = 86400,
        annotations: Mapping[str, str] | None = None,
        user: str = "",
    ) -> Json:
        """Create a request for a signer (a full name, or a ClusterIssuer's); a workload's by default."""
        spec: Json = {
            "request": base64.b64encode(pki.workload_csr("foo") if request is None else request).decode(),
            "signerName": signer if "/" in signer else signer_name(signer),
            "usages": list(usages),
        }
        if seconds is not None:
            spec["expirationSeconds"] = seconds
        metadata: Json = {"name": name or f"r-{secrets.token_hex(6)}", "annotations": dict(annotations or {})}
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": metadata,
            "spec": spec,
        }
        made = self.api.call("POST", CSRS, body, user=user, groups=[ASKERS] if user else [])
        self.made.append(f"{CSRS}/{made['metadata']['name']}")
        return made

    def approve(self, made: Json) -> Json:
        """Approve what `create` returned, as istiod does: with that very object."""
        return self.condition(made, "Approved")

    def condition(self, made: Json, kind: str, subresource: str = "approval") -> Json:
        """Add a condition to a request, by the object that was read before."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        old = made.get("status", {}).get("conditions", [])
        new = {"type": kind, "status": "True", "reason": "Test", "message": "by a test", "lastUpdateTime": now}
        body = made | {"status": made.get("status", {}) | {"conditions": [*old, new]}}
        return self.api.put(f"{CSRS}/{made['metadata']['name']}/{subresource}", body)

    def ask(self, signer: str, request: bytes | None = None, **options: Any) -> str:
        """Create and approve a request; its name. Options as those of `create`."""
        made = self.create(signer, request, **options)
        self.approve(made)
        return str(made["metadata"]["name"])

    def look(self, name: str) -> Json:
        return self.api.get(f"{CSRS}/{name}")

    def answered(self, name: str, timeout: float = PATIENCE) -> "Answered":
        """Wait until a request has its certificate or has failed."""
        found = self.until(
            f"an answer to {name}", lambda: one if (one := Answered(self.look(name))).ended else None, timeout
        )
        assert isinstance(found, Answered)
        return found

    def issue(self, signer: str, request: bytes | None = None, **options: Any) -> "Issued":
        """Ask, and expect the certificate."""
        return self.issued(self.ask(signer, request, **options))

    def issued(self, name: str) -> "Issued":
        """Wait for a request's certificate; its refusal is an AssertionError that shows why."""
        found = self.answered(name)
        assert not found.failed[0], f"{name} was refused: {found.failed}"
        return Issued(name, found.chain)

    def refused(self, signer: str, request: bytes | None = None, **options: Any) -> tuple[str, str]:
        """Ask, and expect a refusal: reason and message of the condition Failed."""
        name = self.ask(signer, request, **options)
        found = self.answered(name)
        assert not found.chain, f"{name} was issued"
        return found.failed

    def events(self, name: str, kind: str = "CertificateSigningRequest", namespace: str = "default") -> list[Json]:
        """The Events about an object, oldest first."""
        selector = urllib.parse.quote(f"involvedObject.name={name},involvedObject.kind={kind}")
        found = self.api.get(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")["items"]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def event(self, name: str, reason: str, **where: str) -> Json:
        """Wait for an Event with this reason about an object."""

        def ask() -> Json | None:
            return next((event for event in self.events(name, **where) if event["reason"] == reason), None)

        found: Json = self.until(f"an Event {reason} on {name}", ask)
        return found

    def until(self, what: str, ask: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Ask until the answer is true, and return it."""
        return self.cluster.wait_for(ask, what, timeout)

    def forget(self) -> None:
        """Delete all requests, issuers and Secrets that were made here."""
        while self.made:
            path = self.made.pop()
            try:
                self.api.delete(path)
            except Refused as error:
                if error.code != 404:
                    raise

    def _apply(self, path: str, body: Json) -> None:
        self.api.apply(path, body)
        if path not in self.made:
            self.made.append(path)


class Answered:
    """A request as it is now, and whether it is answered."""

    def __init__(self, obj: Json) -> None:
        status = obj.get("status", {})
        self.version: str = obj["metadata"]["resourceVersion"]
        self.chain = base64.b64decode(status.get("certificate", ""))
        failed = [one for one in status.get("conditions", []) if one["type"] == "Failed"]
        self.failed: tuple[str, str] = (failed[0]["reason"], failed[0]["message"]) if failed else ("", "")

    @property
    def ended(self) -> bool:
        return bool(self.chain or self.failed[0])


class Issued:
    """A certificate with what follows it, read by pyca alone."""

    def __init__(self, name: str, pem: bytes) -> None:
        self.name = name
        self.pem = pem
        self.chain = x509.load_pem_x509_certificates(pem)
        self.leaf = self.chain[0]

    @property
    def seconds(self) -> int:
        """The lifetime as OpenSSL and Go see it: notAfter - notBefore."""
        return int((self.leaf.not_valid_after_utc - self.leaf.not_valid_before_utc).total_seconds())

    @property
    def uris(self) -> list[str]:
        return self.names.value.get_values_for_type(x509.UniformResourceIdentifier)

    @property
    def names(self) -> x509.Extension[x509.SubjectAlternativeName]:
        return self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)

    @property
    def is_ca(self) -> bool:
        return self.leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    def signed_by(self, ca: pki.CA) -> bool:
        """Whether this CA's key signed the leaf."""
        try:
            self.leaf.verify_directly_issued_by(ca.certificate)
        except Exception:  # noqa: BLE001 - any failure to verify is a no
            return False
        return True


def signer_name(name: str, namespace: str = "") -> str:
    """The signer name of a ClusterIssuer, or of an Issuer."""
    return f"issuers.cert-manager.io/{namespace}.{name}" if namespace else f"clusterissuers.cert-manager.io/{name}"


def secrets_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def issuers_path(namespace: str = "") -> str:
    return f"/apis/cert-manager.io/v1/namespaces/{namespace}/issuers" if namespace else CLUSTER_ISSUERS


def settle(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Poll until it holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + timeout, f"{what}: not within {timeout:.0f} s"
        time.sleep(pause(begun))
