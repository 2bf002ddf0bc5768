"""What the two ServiceAccounts of manifests/base may do on a real API server, and what they may not."""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from signer.certificates.objects import Objects
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden
from signer.kube.leases.record import LEADER_LEASE, LEASES
from signer.observe.events import EventRecorder
from tests.integration.plain_api import Api
from tests.localmesh import Cluster, LocalMeshError, kubeconfig
from tests.localmesh.install import COMPONENTS, install

pytestmark = pytest.mark.integration

OWN = "cert-manager"
TENANT = "default"
SIGNER = f"system:serviceaccount:{OWN}:mesh-signer"
CONTROLLERS = f"system:serviceaccount:{OWN}:mesh-signer-controllers"
GROUPS = ["system:serviceaccounts", f"system:serviceaccounts:{OWN}", "system:authenticated"]

CSR = (  # a P-256 key, CN=rbac; nobody signs it here
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWNtSmhZekJaTUJN"
    "R0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQktXV0lRWVB3ckZYOU4wZXhkYTNEWCtSYTVuQ0FiWVRURmZBbTAxWVdjM1R5"
    "STFxb0N4K2drRnloMW9BCjVKbE0vL244TDFFWHp2UDhtYXdXSHBCbVZPaWdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUFCYmxh"
    "SHkzWm4KcWZOMFJITmEvRnRibm9DMVR0REhvYXF5aTdNS3U2WWdJZ0loQUxYUDEvcmFOTWRxZktUZC9LaS9IWStrcURXNAp3dWd6"
    "aVZOc1hMQ3VXUGVjCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo="
)


@dataclass(frozen=True)
class Ask:
    """One question to the API server's authorizer. `namespace` "" is the whole cluster."""

    verb: str
    resource: str  # RESOURCE[/SUBRESOURCE][.GROUP]
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{' ' + self.name if self.name else ''}{place}"


@pytest.fixture(scope="module")
def based(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs and base applied, twice: an upgrade to the same version changes nothing."""
    for _ in range(2):
        install(cluster)
    return cluster


def ask_all(cluster: Cluster, who: str, questions: Sequence[Ask]) -> list[bool]:
    """Asks as `kubectl auth can-i --as` does, by SubjectAccessReviews, all in one call."""
    reviews = []
    for ask in questions:
        resource, _, group = ask.resource.partition(".")
        resource, _, subresource = resource.partition("/")
        attributes = {
            "verb": ask.verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": ask.namespace,
            "name": ask.name,
        }
        reviews.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": who, "groups": GROUPS, "resourceAttributes": attributes},
            }
        )
    text = yaml.safe_dump_all(reviews)  # JSON between lines of --- is read as one or the other, by chance
    told = cluster.kubectl("create", "-o", 'jsonpath={.status.allowed}{"\\n"}', "-f", "-", input=text).split()
    assert len(told) == len(questions)
    return [answer == "true" for answer in told]


@pytest.fixture(scope="module")
def may(based: Cluster) -> Callable[[str, Ask], bool]:
    """What the authorizer says to each question about the two ServiceAccounts."""
    known = [(SIGNER, SIGNER_MAY[0]), (CONTROLLERS, CONTROLLERS_MAY[0])]
    based.wait_for(lambda: all(ask_all(based, who, [ask])[0] for who, ask in known), "the effect of the base's roles")
    answers: dict[tuple[str, Ask], bool] = {}
    for who, questions in ((SIGNER, SIGNER_MAY + SIGNER_MAY_NOT), (CONTROLLERS, CONTROLLERS_MAY + CONTROLLERS_MAY_NOT)):
        answers |= {(who, ask): yes for ask, yes in zip(questions, ask_all(based, who, questions), strict=True)}
    return lambda who, ask: answers[who, ask]


def asks(verbs: str, *resources: str, namespace: str = "", name: str = "") -> list[Ask]:
    return [Ask(verb, resource, namespace, name) for resource in resources for verb in verbs.split()]


READ = "get list watch"
CHANGE = "create update patch delete"
CSRS = "certificatesigningrequests.certificates.k8s.io"
ISSUERS = ("issuers.cert-manager.io", "clusterissuers.cert-manager.io")
CERTIFICATES = ("certificates.cert-manager.io", "certificaterequests.cert-manager.io")
K8S_SIGNERS = "signers.certificates.k8s.io"
FOREIGN_SIGNERS = (
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/*",
    "awspcaclusterissuers.awspca.cert-manager.io/*",
    "cert-manager.io/*",
    "*",
)

OUR_SIGNERS = "signers.mesh-signer.dev"
POLICIES = "signerpolicies.mesh-signer.dev"
BINDINGS = "signerbindings.mesh-signer.dev"
RECORDS = "signerrecords.mesh-signer.dev"
PROXY_CONFIGS = "proxyconfigs.networking.istio.io"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
HOST_CLAIMS = "hostclaims.mesh-signer.dev"
EDGE_POLICIES = "edgepolicies.mesh-signer.dev"
API_GATEWAYS = "gateways.gateway.networking.k8s.io"
INGRESSES = "ingresses.networking.k8s.io"
HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"
GRANTS = "referencegrants.gateway.networking.k8s.io"
ISTIO_GATEWAYS = "gateways.networking.istio.io"
ISTIO = "istio-system"
ADMISSION = (
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
)

SIGNER_MAY = [
    *asks(READ, CSRS),
    *asks("list watch", *ISSUERS, PROXY_CONFIGS, "namespaces", POLICIES),
    *asks("get", CRDS, name="certificates.cert-manager.io"),
    *asks("update", "certificatesigningrequests/status.certificates.k8s.io"),
    *asks("sign", K8S_SIGNERS, OUR_SIGNERS, name="clusterissuers.cert-manager.io/*"),
    *asks("sign", K8S_SIGNERS, OUR_SIGNERS, name="issuers.cert-manager.io/*"),
    *asks(f"{READ} create", BINDINGS, RECORDS),
    *asks("patch", "signerrecords/status.mesh-signer.dev"),
    *asks("patch", "signerbindings/status.mesh-signer.dev", "signerpolicies/status.mesh-signer.dev"),
    *asks(READ, "configmaps", namespace=ISTIO),
    *asks("get patch", "configmaps", namespace=OWN, name="mesh-signer-default-grace"),
    *asks("create", "subjectaccessreviews.authorization.k8s.io"),
    *asks("create patch", "events", namespace=TENANT),
    *asks(READ, "secrets", namespace=OWN),
    *asks(f"{READ} create update delete", "leases.coordination.k8s.io", namespace=OWN),
]
SIGNER_MAY_NOT = [
    *asks("create update delete", "configmaps", namespace=OWN, name="mesh-signer-default-grace"),
    *asks("get patch", "configmaps", namespace=TENANT, name="mesh-signer-default-grace"),
    *asks(f"{READ} {CHANGE}", *ADMISSION, name="certificaterequests.mesh-signer.dev"),
    *asks("patch", "certificatesigningrequests/status.certificates.k8s.io"),
    *asks("update", "signerbindings/status.mesh-signer.dev", "signerpolicies/status.mesh-signer.dev"),
    *asks("patch", "leases.coordination.k8s.io", namespace=OWN),
    *asks("get", *ISSUERS),
    *asks("list watch", CRDS),
    *asks("get", CRDS, name="signerbindings.mesh-signer.dev"),
    *asks(f"{CHANGE} deletecollection", POLICIES),
    *asks("update patch delete deletecollection release", BINDINGS, RECORDS),
    *asks("update", "signerrecords/status.mesh-signer.dev"),
    *asks("claim", OUR_SIGNERS, name="foo"),
    *asks("label", "namespaces.mesh-signer.dev", name=TENANT),
    *asks(CHANGE, "namespaces", PROXY_CONFIGS),
    *asks(CHANGE, "configmaps", namespace=ISTIO),
    *asks(READ, "secrets", namespace=ISTIO),
    *asks(READ, "configmaps", namespace=TENANT),
    *asks(READ, "configmaps"),
    *asks(READ, "secrets", namespace=TENANT),
    *asks(READ, "secrets"),
    *asks(CHANGE, "secrets", namespace=OWN),
    *asks(CHANGE, "secrets", namespace=TENANT),
    *asks(CHANGE, CSRS),
    *asks("update patch", "certificatesigningrequests/approval.certificates.k8s.io"),
    *(ask for name in FOREIGN_SIGNERS for ask in asks("sign approve attest", K8S_SIGNERS, name=name)),
    *asks("approve", K8S_SIGNERS, name="clusterissuers.cert-manager.io/*"),
    *asks("approve", K8S_SIGNERS, name="clusterissuers.cert-manager.io/foo"),
    *asks("approve", "signers.cert-manager.io", name="clusterissuers.cert-manager.io/*"),
    *asks("reference", "signers.cert-manager.io", namespace=TENANT, name="ca"),
    *asks(f"{CHANGE} deletecollection", *ISSUERS),
    *asks("update patch", "issuers/status.cert-manager.io", "clusterissuers/status.cert-manager.io"),
    *asks(f"{READ} {CHANGE}", *CERTIFICATES),
    *asks(READ, "leases.coordination.k8s.io", namespace=TENANT),
    *asks("create", "serviceaccounts/token", namespace=OWN),
    *asks("create", "pods", namespace=OWN),
    *asks("create", "pods/exec", namespace=OWN),
    *asks(f"{READ} {CHANGE}", "configmaps", namespace=OWN),
    *asks("impersonate", "users", "groups", "serviceaccounts"),
    *asks("escalate bind", "clusterroles.rbac.authorization.k8s.io"),
    *asks(CHANGE, CRDS),
    *asks(READ, "events", namespace=TENANT),
    Ask("*", "*.*"),
]
WEBHOOKS = (
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "apiservices.apiregistration.k8s.io",
)
CA_SOURCES = "casources.mesh-signer.dev"
CONTROLLERS_MAY = [
    *asks("list watch", CA_SOURCES),
    *asks("patch", "casources/status.mesh-signer.dev"),
    *asks("get", *ADMISSION, name="certificaterequests.mesh-signer.dev"),
    *asks(READ, *ISSUERS, "certificaterequests.cert-manager.io"),
    *asks("list watch", "certificates.cert-manager.io", PROXY_CONFIGS, "namespaces", POLICIES, BINDINGS),
    *asks("get", CRDS, name="certificates.cert-manager.io"),
    *asks("patch", "issuers/status.cert-manager.io", "clusterissuers/status.cert-manager.io"),
    *asks("patch", "certificates/status.cert-manager.io", "certificaterequests/status.cert-manager.io"),
    *asks("patch", "signerpolicies/status.mesh-signer.dev", "signerrecords/status.mesh-signer.dev"),
    *asks(f"{READ} create", RECORDS),
    *asks(READ, "configmaps", namespace=ISTIO),
    *asks("create delete", "certificaterequests.cert-manager.io", namespace=TENANT),
    *asks("update", "certificates/finalizers.cert-manager.io"),
    # The edge: Certificates for Gateways, who has which host, Orders, and the routes that answer challenges.
    *asks("get create patch delete", "certificates.cert-manager.io", namespace=TENANT),
    *asks(f"{READ} create patch delete", HOST_CLAIMS),
    *asks(READ, EDGE_POLICIES),
    *asks("patch", "hostclaims/status.mesh-signer.dev", "edgepolicies/status.mesh-signer.dev"),
    *asks("list watch", API_GATEWAYS, INGRESSES),
    *asks("get list create patch delete", ISTIO_GATEWAYS, namespace=TENANT),
    *asks("list watch create patch delete", HTTP_ROUTES, namespace=TENANT),
    *asks("list create patch delete", INGRESSES, GRANTS, namespace=OWN),
    *asks("list", "pods", "services", namespace=TENANT),
    *asks("update", "certificaterequests/finalizers.cert-manager.io", namespace=TENANT),
    *asks("approve", "signers.cert-manager.io", name="clusterissuers.cert-manager.io/*"),
    *asks("approve", "signers.cert-manager.io", name="issuers.cert-manager.io/*"),
    *asks(f"{READ} create patch delete", "secrets", namespace=TENANT),
    *asks(READ, "secrets"),
    *asks("create patch", "events", namespace=TENANT),
    *asks(f"{READ} create update delete", "leases.coordination.k8s.io", namespace=OWN),
    *asks("list", "leases.coordination.k8s.io", name="mesh-signer-controllers"),
]
CONTROLLERS_MAY_NOT = [
    *asks(f"get {CHANGE} deletecollection", CA_SOURCES),
    *asks(f"{READ} {CHANGE}", *WEBHOOKS),
    *asks("get", *ADMISSION, name="claims.mesh-signer.dev"),
    *asks("list watch", *ADMISSION),
    *asks(CHANGE, *ADMISSION, name="certificaterequests.mesh-signer.dev"),
    *asks("get patch", "configmaps", namespace=OWN, name="mesh-signer-default-grace"),
    *asks("update", "secrets", namespace=TENANT),
    *asks("list", "leases.coordination.k8s.io"),
    *asks(READ, "leases.coordination.k8s.io", namespace=TENANT),
    *asks("get watch", "leases.coordination.k8s.io", name="mesh-signer-controllers"),
    *asks(READ, "leases.coordination.k8s.io", name="kube-scheduler"),
    *asks("update", "issuers/status.cert-manager.io", "clusterissuers/status.cert-manager.io"),
    *asks("update", "certificates/status.cert-manager.io", "certificaterequests/status.cert-manager.io"),
    *asks("patch", "leases.coordination.k8s.io", namespace=OWN),
    *asks("list watch", CRDS),
    *asks("update deletecollection", HOST_CLAIMS),
    *asks(f"{CHANGE} deletecollection", EDGE_POLICIES),
    *asks(CHANGE, API_GATEWAYS, INGRESSES, GRANTS, namespace=TENANT),
    *asks("update deletecollection", ISTIO_GATEWAYS, HTTP_ROUTES, namespace=TENANT),
    *asks("update deletecollection", INGRESSES, GRANTS, namespace=OWN),
    *asks(f"get {CHANGE}", "pods", "services", namespace=TENANT),
    *asks(f"get {CHANGE} deletecollection", POLICIES),
    *asks("update", "signerpolicies/status.mesh-signer.dev"),
    *asks("update patch", "signerbindings/status.mesh-signer.dev"),
    *asks("get create update patch delete deletecollection release", BINDINGS),
    *asks("update patch delete deletecollection release", RECORDS),
    *asks("claim", OUR_SIGNERS, name="foo"),
    *asks("sign", OUR_SIGNERS, name="clusterissuers.cert-manager.io/*"),
    *asks("label", "namespaces.mesh-signer.dev", name=TENANT),
    *asks(CHANGE, "namespaces", PROXY_CONFIGS),
    *asks(CHANGE, "configmaps", namespace=ISTIO),
    *asks(f"{READ} {CHANGE}", CSRS),
    *asks("update patch", "certificatesigningrequests/status.certificates.k8s.io"),
    *asks("update patch", "certificatesigningrequests/approval.certificates.k8s.io"),
    *asks("sign approve", K8S_SIGNERS, name="clusterissuers.cert-manager.io/*"),
    *asks("sign approve", K8S_SIGNERS, name="issuers.cert-manager.io/*"),
    *(ask for name in FOREIGN_SIGNERS for ask in asks("sign approve", K8S_SIGNERS, name=name)),
    *asks("approve", "signers.cert-manager.io", name="awspcaclusterissuers.awspca.cert-manager.io/*"),
    *asks(CHANGE, *ISSUERS),
    *asks("update deletecollection", "certificates.cert-manager.io", namespace=TENANT),
    *asks("update patch", "certificaterequests.cert-manager.io", namespace=TENANT),
    *asks("deletecollection", "secrets", "certificaterequests.cert-manager.io", namespace=TENANT),
    *asks("create", "subjectaccessreviews.authorization.k8s.io"),
    *asks("create", "serviceaccounts/token", namespace=OWN),
    *asks("create", "pods", "pods/exec", namespace=OWN),
    *asks(READ, "configmaps", namespace=TENANT),
    *asks("watch", "pods", "services", namespace=TENANT),
    *asks("impersonate", "users", "groups", "serviceaccounts"),
    *asks("escalate bind", "clusterroles.rbac.authorization.k8s.io"),
    *asks(CHANGE, CRDS),
    *asks("get watch create update patch delete", "leases.coordination.k8s.io", namespace=TENANT),
    Ask("*", "*.*"),
]


@pytest.mark.parametrize("ask", SIGNER_MAY, ids=str)
def test_signer_may(may: Callable[[str, Ask], bool], ask: Ask) -> None:
    """The signer has every right that it needs to answer requests."""
    assert may(SIGNER, ask)


@pytest.mark.parametrize("ask", SIGNER_MAY_NOT, ids=str)
def test_signer_may_not(may: Callable[[str, Ask], bool], ask: Ask) -> None:
    """The signer reads no Secret outside its namespace, approves nothing, and signs for no other signer."""
    assert not may(SIGNER, ask)


@pytest.mark.parametrize("ask", CONTROLLERS_MAY, ids=str)
def test_controllers_may(may: Callable[[str, Ask], bool], ask: Ask) -> None:
    """The controllers have every right that they need to keep issuers and Certificates."""
    assert may(CONTROLLERS, ask)


@pytest.mark.parametrize("ask", CONTROLLERS_MAY_NOT, ids=str)
def test_controllers_may_not(may: Callable[[str, Ask], bool], ask: Ask) -> None:
    """The controllers cannot touch CertificateSigningRequests, nor change policies and issuers that people wrote."""
    assert not may(CONTROLLERS, ask)


@pytest.fixture
def pending(based: Cluster) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Makes an approved CertificateSigningRequest for a signer, and deletes it afterwards."""
    names: list[str] = []

    def make(signer: str) -> dict[str, Any]:
        name = f"rbac-{secrets.token_hex(4)}"
        names.append(name)
        request = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {"request": CSR, "signerName": signer, "usages": ["client auth"]},
        }
        based.kubectl("create", "-f", "-", input=json.dumps(request))
        based.kubectl("certificate", "approve", name)
        made: dict[str, Any] = based.get("csr", name)
        return made

    yield make
    for name in names:
        based.kubectl("delete", "csr", name, "--ignore-not-found")


class TestForReal:
    def test_signer_answers_its_own_signers_only(
        self, based: Cluster, pending: Callable[[str], dict[str, Any]]
    ) -> None:
        """The API server lets the signer write status for our signer domains, and for no other."""
        user = based.service_account_kubeconfig(OWN, "mesh-signer")
        failed = {"type": "Failed", "status": "True", "reason": "Test", "message": "by the test"}

        def answer(signer: str) -> None:
            csr = pending(signer)
            csr["status"]["conditions"].append(failed)
            based.kubectl("replace", "--subresource=status", "-f", "-", input=json.dumps(csr), user=user)

        answer("clusterissuers.cert-manager.io/foo")
        answer("issuers.cert-manager.io/team-a.ca")
        for signer in ("example.com/foo", "clusterissuers.cert-manager.io.example.com/foo"):
            with pytest.raises(LocalMeshError, match="not permitted to sign requests"):
                answer(signer)

    def test_signer_cannot_approve(self, based: Cluster, pending: Callable[[str], dict[str, Any]]) -> None:
        """A signer that was taken over cannot approve the requests that it answers."""
        user = based.service_account_kubeconfig(OWN, "mesh-signer")
        csr = pending("clusterissuers.cert-manager.io/foo")
        csr["status"] = {"conditions": [{"type": "Denied", "status": "True", "reason": "Test"}]}
        path = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{csr['metadata']['name']}/approval"
        with pytest.raises(LocalMeshError, match=r"forbidden.*certificatesigningrequests/approval"):
            based.kubectl("replace", f"--raw={path}", "-f", "-", input=json.dumps(csr), user=user)

    def test_controllers_approve_certificate_requests(self, based: Cluster, namespace: str) -> None:
        """The admission policy that stands with the CRDs lets the controllers approve, under exactly their roles."""
        user = based.service_account_kubeconfig(OWN, "mesh-signer-controllers")
        api = Api(kubeconfig.read(user))  # kubectl reads before it patches, which the controllers have no need to
        for kind in ("Issuer", "ClusterIssuer"):
            request = {
                "apiVersion": "cert-manager.io/v1",
                "kind": "CertificateRequest",
                "metadata": {"name": kind.lower(), "namespace": namespace},
                "spec": {"request": CSR, "issuerRef": {"name": "foo", "kind": kind}},
            }
            path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificaterequests"
            based.kubectl(
                "create", "-f", "-", input=json.dumps(request)
            )  # somebody's: theirs are of Certificates alone
            approval = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
            written = api.patch(f"{path}/{kind.lower()}/status", approval)
            assert [one["type"] for one in written["status"]["conditions"]] == ["Approved"]
        api.close()

    async def test_controllers_name_another_installation(self, based: Cluster, namespace: str) -> None:
        """Under exactly their roles the controllers see who else leads, in whatever namespace, and no other Lease."""
        for name in (LEADER_LEASE, "another"):
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"holderIdentity": "pod-b", "leaseDurationSeconds": 15},
            }
            based.kubectl("create", "-f", "-", input=json.dumps(lease))
        config = load_config(str(based.service_account_kubeconfig(OWN, "mesh-signer-controllers")))
        async with ApiClient(config) as client:
            others = await Objects(client, EventRecorder(client, instance="test")).other_installations(OWN)
            assert f"Lease {namespace}/{LEADER_LEASE}, held by pod-b" in others
            with pytest.raises(Forbidden):
                await client.list(LEASES)
            with pytest.raises(Forbidden):
                await client.list(LEASES, name="another")

    def test_the_mesh_config_needs_the_component(self, based: Cluster) -> None:
        """Only with the component may the controllers write Istio's ConfigMap, and no other one."""
        may = [Ask(verb, "configmaps", ISTIO, "istio") for verb in ("get", "update")]
        assert ask_all(based, CONTROLLERS, may) == [True, False]
        rbac = COMPONENTS / "manage-mesh-config" / "rbac.yaml"
        based.apply(rbac)
        try:
            based.wait_for(lambda: all(ask_all(based, CONTROLLERS, may)), "the component's role")
            other = [Ask("update", "configmaps", ISTIO, "istio-ca-root-cert"), Ask("create", "configmaps", ISTIO)]
            assert ask_all(based, CONTROLLERS, other) == [False, False]
            assert ask_all(based, SIGNER, may[1:]) == [False]
        finally:
            based.kubectl("delete", "-f", rbac)

    def test_namespaced_issuers_need_a_binding(self, based: Cluster, namespace: str) -> None:
        """The component lets the signer read the Secrets of the namespaces where it is bound, and of no other."""
        user = based.service_account_kubeconfig(OWN, "mesh-signer")
        based.apply(COMPONENTS / "namespaced-issuers" / "rbac.yaml")
        based.kubectl(
            *("create", "rolebinding", "mesh-signer-secrets", "-n", namespace),
            *("--clusterrole=mesh-signer-secrets", f"--serviceaccount={OWN}:mesh-signer"),
        )
        based.wait_for(
            lambda: "yes" in based.kubectl("auth", "can-i", "get", "secrets", "-n", namespace, f"--as={SIGNER}"),
            "the RoleBinding",
        )
        based.kubectl("get", "secrets", "-n", namespace, user=user)
        with pytest.raises(LocalMeshError, match="forbidden"):
            based.kubectl("get", "secrets", "-n", TENANT, user=user)


@pytest.mark.parametrize("name", ["mesh-signer", "mesh-signer-controllers"])
class TestPods:
    def pod(self, based: Cluster, name: str) -> dict[str, Any]:
        template = based.get("deployment", name, "-n", OWN)["spec"]["template"]
        metadata = template["metadata"] | {"name": f"{name}-test", "namespace": OWN}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def test_admitted_under_the_restricted_standard(self, based: Cluster, name: str) -> None:
        """The namespace enforces the strictest Pod security standard, and our Pods pass it."""
        labels = based.get("namespace", OWN)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        wanted = self.pod(based, name)
        based.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(wanted))
        wanted["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(LocalMeshError, match="violates PodSecurity"):
            based.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(wanted))


class TestPeople:
    def test_admins_of_the_wall(self, based: Cluster, namespace: str) -> None:
        """The aggregated role writes SignerPolicies, releases and claims signers, and makes no SignerBinding."""
        who = f"wall-admin-{namespace}"
        based.kubectl("create", "clusterrolebinding", who, "--clusterrole=mesh-signer-admin", f"--user={who}")
        may = [
            *asks(f"{READ} {CHANGE} deletecollection", POLICIES),
            *asks("patch", "signerpolicies/status.mesh-signer.dev"),
            *asks(f"{READ} delete release", BINDINGS),
            *asks("claim", OUR_SIGNERS, name="foo"),
            *asks("label", "namespaces.mesh-signer.dev", name=namespace),
        ]
        may_not = [
            *asks("create update patch", BINDINGS, "signerbindings/status.mesh-signer.dev"),
            *asks("sign", OUR_SIGNERS, name="clusterissuers.cert-manager.io/*"),
            *asks(READ, "secrets", "configmaps"),
            *asks("approve", "signers.cert-manager.io", name="clusterissuers.cert-manager.io/*"),
        ]
        try:
            based.wait_for(lambda: ask_all(based, who, [may[0]])[0], "aggregation into mesh-signer-admin")
            assert dict(zip(map(str, may), ask_all(based, who, may), strict=True)) == dict.fromkeys(map(str, may), True)
            assert ask_all(based, who, may_not) == [False] * len(may_not)
        finally:
            based.kubectl("delete", "clusterrolebinding", who)

    @pytest.mark.parametrize(
        ("role", "verb", "resource", "allowed"),
        [
            ("view", "list", "certificates.cert-manager.io", True),
            ("view", "create", "certificates.cert-manager.io", False),
            ("view", "list", "clusterissuers.cert-manager.io", False),
            ("edit", "create", "certificates.cert-manager.io", True),
            ("edit", "create", "issuers.cert-manager.io", True),
            ("edit", "delete", "certificaterequests.cert-manager.io", True),
            ("edit", "update", "certificates/status.cert-manager.io", True),
            ("edit", "update", "certificaterequests/status.cert-manager.io", False),
            ("edit", "create", "clusterissuers.cert-manager.io", False),
            ("admin", "create", "certificates.cert-manager.io", True),
            ("admin", "update", "clusterissuers.cert-manager.io", False),
            ("admin", "approve", "signers.cert-manager.io", False),
            ("admin", "create", "signerpolicies.mesh-signer.dev", False),
            ("admin", "claim", "signers.mesh-signer.dev", False),
            ("view", "list", "signerbindings.mesh-signer.dev", False),
        ],
    )
    def test_view_edit_and_admin(
        self,
        based: Cluster,
        namespace: str,
        role: str,
        verb: str,
        resource: str,
        allowed: bool,
    ) -> None:
        """Kubernetes' own roles give people their Certificates and Issuers, no ClusterIssuer, and no approval."""
        who = f"{role}-{namespace}"
        based.kubectl("create", "rolebinding", who, "-n", namespace, f"--clusterrole={role}", f"--user={who}")
        known = Ask("list", "certificates.cert-manager.io", namespace)
        based.wait_for(lambda: ask_all(based, who, [known])[0], f"aggregation into {role}")
        assert ask_all(based, who, [Ask(verb, resource, namespace)]) == [allowed]
