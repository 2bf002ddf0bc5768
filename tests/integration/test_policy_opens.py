"""What a SignerPolicy opens, and for whom, under our own rights: CertificateRequests, their makers, namespaces made again."""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from signer.certificates.requests.requester import GUARD, vouched_since
from tests import pki
from tests.integration.hot_path import Place
from tests.integration.plain_api import Json, Refused
from tests.integration.tenants import mesh_cluster
from tests.localmesh import LocalCluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import COMPONENTS
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

DOMAIN = "clusterissuers.cert-manager.io"
ISTIOD = "system:serviceaccount:istio-system:istiod"
POLICIES = "/apis/mesh-signer.dev/v1alpha1/signerpolicies"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
GUARDS = (f"{ADMISSION}/validatingadmissionpolicies/{GUARD}", f"{ADMISSION}/validatingadmissionpolicybindings/{GUARD}")
GRACE = "/api/v1/namespaces/cert-manager/configmaps/mesh-signer-default-grace"
CONFIG = "/api/v1/namespaces/istio-system/configmaps/istio"
MASTERS = ["system:masters"]


@pytest.fixture(scope="module")
def mesh() -> Iterator[LocalCluster]:
    """A cluster of its own with all that we ship, and ProxyConfigs."""
    with mesh_cluster(COMPONENTS / "requester" / "requester.yaml") as cluster:
        # A policy that changes requests answers 503 until the API server knows the schema, some time after that.
        cluster.wait_for(lambda: _taken(cluster), "CertificateRequests are taken", 60)
        yield cluster


def _taken(cluster: LocalCluster) -> bool:
    spec = {"request": "eA==", "issuerRef": {"name": "none"}}
    body = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {"name": "probe"},
        "spec": spec,
    }
    try:
        cluster.kubectl("create", "-n", "default", "--dry-run=server", "-f", "-", input=json.dumps(body))
    except LocalMeshError as error:
        if "not found. There can be a delay" not in str(error):
            raise
        return False
    return True


@pytest.fixture
def place(mesh: LocalCluster) -> Iterator[Place]:
    found = Place.of(mesh)
    yield found
    found.forget()
    found.api.close()


@pytest.fixture
def tenant(place: Place) -> str:
    """A namespace, and a ClusterIssuer of its name with a CA."""
    name = f"t-{secrets.token_hex(4)}"
    place.cluster.create_namespace(name)
    place.ca_issuer(name, pki.CA(name))
    return name


def policy(place: Place, tenant: str, **spec: Any) -> None:
    body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": tenant}}
    given = {"signers": [f"{DOMAIN}/{tenant}"], "namespaces": {"names": [tenant]}}
    place.api.apply(f"{POLICIES}/{tenant}", body | {"spec": given | spec})
    place.made.append(f"{POLICIES}/{tenant}")


def remake(place: Place, namespace: str) -> None:
    """Delete a namespace, finish that as the namespace controller would, and make another of its name."""
    path = f"/api/v1/namespaces/{namespace}"
    place.api.delete(path)
    body = place.api.get(path)
    body["spec"]["finalizers"] = []
    place.api.put(f"{path}/finalize", body)
    place.until("its end", lambda: place.api.find(path) is None)
    place.cluster.create_namespace(namespace)


def uid(place: Place, namespace: str) -> str:
    return str(place.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"])


class Requests:
    """CertificateRequests of one namespace, each made by a user with a right to do so."""

    def __init__(self, place: Place, tenant: str) -> None:
        self.api, self.place, self.tenant = place.api, place, tenant
        self.path = f"/apis/cert-manager.io/v1/namespaces/{tenant}/certificaterequests"

    def make(self, user: str, csr: bytes | None = None, **spec: Any) -> Json:
        reference = {"name": self.tenant, "kind": "ClusterIssuer", "group": "cert-manager.io"}
        request = base64.b64encode(csr or pki.csr(uris=[pki.spiffe(self.tenant)])).decode()
        body = {
            "apiVersion": "cert-manager.io/v1",
            "kind": "CertificateRequest",
            "metadata": {"name": f"r-{secrets.token_hex(4)}"},
            "spec": {"request": request, "issuerRef": reference, "usages": ["server auth"]} | spec,
        }
        return self.api.call("POST", self.path, body, user=user, groups=MASTERS)

    def ready(self, made: Json) -> tuple[str, str]:
        """The end of a request: its condition's reason and message."""
        path = f"{self.path}/{made['metadata']['name']}"

        def ended() -> tuple[str, str] | None:
            conditions = self.api.get(path).get("status", {}).get("conditions", [])
            found = [one for one in conditions if one["type"] == "Ready" and one["reason"] in {"Issued", "Failed"}]
            return (found[0]["reason"], found[0]["message"]) if found else None

        end: tuple[str, str] = self.place.until("the end of the request", ended)
        return end


def vouched(place: Place) -> bool:
    """Whether the maker of a request that is made now counts: its creationTimestamp will have whole seconds only."""
    since = vouched_since(*map(place.api.find, GUARDS))
    return since is not None and since < datetime.now(UTC).replace(microsecond=0)


OPTIONS = ("--controllers=issuers,certificates,certificaterequests,policies",)


def test_opened_by_a_field(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """A policy for workloads opens no CertificateRequest; with the field it does, within the policy's limits and their defaults."""
    ask = Requests(place, tenant)
    policy(place, tenant)
    with SignerProcess(mesh, *OPTIONS, account=CONTROLLERS_ACCOUNT, tenancy="enforce"):
        reason, message = ask.ready(ask.make("alice"))
        assert reason == "Failed"
        assert "spec.certificateRequests" in message
        policy(place, tenant, certificateRequests={})
        place.until(
            "the status", lambda: place.api.get(f"{POLICIES}/{tenant}").get("status", {}).get("namespaceCount") == 1
        )
        made = ask.make("alice", duration="2160h")
        assert ask.ready(made)[0] == "Issued"
        pem = place.api.get(f"{ask.path}/{made['metadata']['name']}")["status"]["certificate"]
        leaf = x509.load_pem_x509_certificate(base64.b64decode(pem))
        assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() <= 86400
        for over in (
            {"isCA": True},
            {"usages": ["any"]},
            {"usages": ["server auth", "cert sign"]},
            {"csr": pki.csr(uris=[pki.spiffe(tenant)], subject=pki.name(organization="system:masters"))},
            {"csr": pki.csr(uris=[pki.spiffe("default")])},
        ):
            assert ask.ready(ask.make("alice", **over))[0] == "Failed", over


def test_requesters(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """Who made a request is what the API server says, whatever he writes; once nobody vouches, nobody is known."""
    ask = Requests(place, tenant)
    policy(place, tenant, certificateRequests={"requesters": ["alice"]})
    place.until("the admission policy", lambda: vouched(place))
    place.until("the component", lambda: ask.make("mallory", username="alice")["spec"]["username"] == "mallory")
    with SignerProcess(mesh, *OPTIONS, account=CONTROLLERS_ACCOUNT, tenancy="enforce") as controllers:
        end = ask.ready(ask.make("alice"))
        assert end[0] == "Issued", end
        reason, message = ask.ready(ask.make("mallory", username="alice", groups=[], uid="1"))
        assert reason == "Failed"
        assert "mallory is not one of the requesters" in message
        assert controllers.metric("mesh_signer_api_errors_total", code="403") == 0
    before = [place.api.get(path) for path in GUARDS]
    place.api.delete(GUARDS[1])
    try:
        with SignerProcess(mesh, *OPTIONS, account=CONTROLLERS_ACCOUNT, tenancy="enforce"):
            reason, message = ask.ready(ask.make("alice"))
            assert reason == "Failed"
            assert "who made this one is not known" in message
    finally:
        body = before[1] | {"metadata": {"name": GUARD, "labels": before[1]["metadata"]["labels"]}}
        place.api.post(GUARDS[1].rpartition("/")[0], body)


def test_nobody_changes_the_requester(place: Place, tenant: str) -> None:
    """A stored requester stays, with our CRD's rule and, where that is not ours, by the admission policy."""
    ask = Requests(place, tenant)
    made = ask.make("alice")
    path = f"{ask.path}/{made['metadata']['name']}"
    for change in ({"username": "bob"}, {"groups": ["x"]}, {"uid": "1"}, {"extra": {"a": ["b"]}}):
        with pytest.raises(Refused, match="cannot be changed"):
            place.api.patch(path, {"spec": change})
    assert place.api.get(path)["spec"]["username"] == made["spec"]["username"]


def test_what_is_shipped_vouches(place: Place) -> None:
    """The admission policy as the API server stores it is the one that is looked for."""
    stored, bound = map(place.api.get, GUARDS)
    assert vouched_since(stored, bound) is not None


def test_a_namespace_made_again(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """What a policy gives by name is recorded first, is gone with the namespace, and comes back by an admin alone."""
    workload = pki.workload_csr(tenant)
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce") as signer:
        policy(place, tenant)
        place.issue(tenant, workload, user=ISTIOD)
        assert place.api.get(f"{POLICIES}/{tenant}")["status"]["namespaceUIDs"] == {tenant: uid(place, tenant)}
        assert signer.metric("mesh_signer_api_errors_total", code="403") == 0
    first = uid(place, tenant)
    remake(place, tenant)
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce"):
        reason, message = place.refused(tenant, workload, user=ISTIOD)
        assert reason == "NamespaceRemade"
        assert f"mesh-signer tenants readmit {tenant}" in message
        assert place.api.get(f"{POLICIES}/{tenant}")["status"]["namespaceUIDs"] == {tenant: first}
        # What `readmit` writes.
        place.api.patch(f"{POLICIES}/{tenant}/status", {"status": {"namespaceUIDs": {tenant: uid(place, tenant)}}})
        place.until("a grant", lambda: place.answered(place.ask(tenant, workload, user=ISTIOD)).chain)


def test_the_grace_of_the_default(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """Who had the default before its claim keeps it for a day, over a restart; who claimed first never has it."""
    default, late = f"{tenant}-default", f"{tenant}-late"
    place.ca_issuer(default, pki.CA(default))
    for one in (late, "istio-system"):
        place.cluster.create_namespace(one)
    entries = "".join(f"- pem: x\n  certSigners: [{DOMAIN}/{one}]\n" for one in (default, tenant))
    text = f"caCertificates:\n{entries}defaultConfig:\n  proxyMetadata:\n    ISTIO_META_CERT_SIGNER: {default}\n"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
    place.api.apply(CONFIG, body | {"data": {"mesh": text}})

    def claim(namespace: str) -> None:
        spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": tenant}}
        one = {"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "spec": spec}
        path = f"/apis/networking.istio.io/v1beta1/namespaces/{namespace}/proxyconfigs/default"
        place.api.apply(path, one | {"metadata": {"name": "default", "namespace": namespace}})

    claim(tenant)
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce") as signer:
        assert place.refused(default, pki.workload_csr(tenant), user=ISTIOD)[0] == "TenantMismatch"
        place.issue(default, pki.workload_csr(late), user=ISTIOD)
        # The claim's time has whole seconds: one that is made in the certificate's own second is not after it.
        issued = int(datetime.now(UTC).timestamp())
        place.until("the next second", lambda: datetime.now(UTC).timestamp() >= issued + 1)
        claim(late)
        place.until("the record", lambda: late in place.api.get(GRACE).get("data", {}))
        assert signer.metric("mesh_signer_api_errors_total", code="403") == 0
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce"):
        place.issue(default, pki.workload_csr(late), user=ISTIOD)
        assert place.refused(default, pki.workload_csr(tenant), user=ISTIOD)[0] == "TenantMismatch"
    assert set(place.api.get(GRACE)["data"]) == {late}
