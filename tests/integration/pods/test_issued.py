"""Pods get certificates by their kubelets: what the API server takes, what is in them, and who gets none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from tests import pki
from tests.integration.plain_api import Refused
from tests.integration.pods.conftest import CONTROLLERS
from tests.integration.pods.kubelet import NODES, Kubelet, chain_of, proven, requests_path
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

RBAC = "rbac.authorization.k8s.io/v1"


def test_a_pod_gets_its_tenants_certificate(kubelet: Kubelet, signer: SignerProcess) -> None:
    """A request of a Pod's node is issued by the CA of its tenant, for the Pod's SPIFFE ID and key, and nothing else."""
    tenants, private = kubelet.tenants, pki.key(n=3)
    pod = kubelet.pod(tenants.name("foo"), "web")
    kind, answer = kubelet.answered(kubelet.create(kubelet.request(pod, tenants.signer("foo"), private)))
    assert kind == "Issued", answer
    leaf, status = chain_of(answer)[0], answer["status"]
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert [one.value for one in san.value] == [pki.spiffe(tenants.name("foo"), "web")]
    assert leaf.public_key() == private.public_key()
    leaf.verify_directly_issued_by(tenants.cas["foo"].certificate)
    times = [datetime.fromisoformat(status[name]) for name in ("notBefore", "beginRefreshAt", "notAfter")]
    assert times[0] == leaf.not_valid_before_utc
    assert times[2] == leaf.not_valid_after_utc
    assert times == sorted(times)
    assert times[2] - times[0] <= timedelta(days=1)
    assert times[0] < datetime.now(UTC)
    lines = signer.audited(2, serial=f"{leaf.serial_number:x}")
    assert [line["audit"] for line in lines] == ["intent", "outcome"]
    assert {line["resource"] for line in lines} == {"PodCertificateRequest"}
    assert {line["identity"] for line in lines} == {pki.spiffe(tenants.name("foo"), "web")}
    assert lines[-1]["outcome"] == "stored"


def test_each_kind_of_key_that_kubelets_make(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """Every kind of key that the API server takes is issued or denied for good; and both ways to prove one are taken."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    expected = {"p256": "Issued", "p384": "Issued", "p521": "Issued", "rsa3072": "Issued", "ed25519": "Denied"}
    for kind, outcome in expected.items():
        private = pki.key(kind)
        proof = proven(private, pod["metadata"]["uid"].encode())
        for way in ({}, {"stubPKCS10Request": None, **proof}):
            made = kubelet.create(kubelet.request(pod, tenants.signer("foo"), private, **way))
            found, answer = kubelet.answered(made)
            assert found == outcome, (kind, answer)
            if found == "Denied":
                assert answer["reason"] == "UnsupportedKeyType"
                assert kind.capitalize() in answer["message"]
            else:
                assert chain_of(answer)[0].public_key() == private.public_key()


@pytest.mark.parametrize("seconds", [3600, 3601, 7200, 86_400, 7_862_400])
def test_any_lifetime_that_a_pod_may_ask_for(kubelet: Kubelet, signer: SignerProcess, seconds: int) -> None:  # noqa: ARG001
    """Whatever a Pod asks for, from an hour to 91 days, the API server takes the answer: no longer, and a day at most."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    made = kubelet.create(kubelet.request(pod, tenants.signer("foo"), maxExpirationSeconds=seconds))
    kind, answer = kubelet.answered(made)
    assert kind == "Issued", answer
    leaf = chain_of(answer)[0]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(seconds=min(seconds, 86_400 + 120))


def test_annotations_that_nobody_knows(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """A Pod that gives its signer words that this one does not know is told so, with the reason that Kubernetes has for it."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    words = {"example.com/name": "other"}
    made = kubelet.create(kubelet.request(pod, tenants.signer("foo"), unverifiedUserAnnotations=words))
    kind, answer = kubelet.answered(made)
    assert (kind, answer["reason"]) == ("Denied", "InvalidUnverifiedUserAnnotations")
    assert "example.com/name" in answer["message"]
    assert "example.com/name" in kubelet.told(pod, "InvalidUnverifiedUserAnnotations")["message"]


def test_another_tenants_signer_waits_until_an_admin_grants_it(kubelet: Kubelet, signer: SignerProcess) -> None:
    """A Pod that names another tenant's signer gets nothing, and its Events say why; a SignerPolicy ends that by itself."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("bar"))
    made = kubelet.create(kubelet.request(pod, tenants.signer("foo")))
    reason = "TenantMismatch"
    event = kubelet.told(pod, reason)
    assert tenants.name("foo") in event["message"]
    assert "status" not in kubelet.look(made) or not kubelet.look(made)["status"].get("conditions")
    assert signer.audited(1, verdict="wait", name=made["metadata"]["name"])
    spec = {"signers": [tenants.signer("foo")], "namespaces": {"names": [tenants.name("foo"), tenants.name("bar")]}}
    path = f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{tenants.name('foo')}"
    policy = {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "SignerPolicy",
        "metadata": {"name": tenants.name("foo")},
    }
    kubelet.api.apply(path, policy | {"spec": spec})
    try:
        kind, answer = kubelet.answered(made)
        assert kind == "Issued", answer
        chain_of(answer)[0].verify_directly_issued_by(tenants.cas["foo"].certificate)
    finally:
        kubelet.api.delete(path)


def test_a_misspelt_signer(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """A Pod whose volume nearly names one of our domains is told which is meant: nobody would ever say anything of it."""
    pod = kubelet.pod(kubelet.tenants.name("foo"))
    kubelet.create(kubelet.request(pod, "clusterissuer.cert-manager.io/foo"))
    assert "clusterissuers.cert-manager.io" in kubelet.told(pod, "SignerMisspelt")["message"]


def test_what_came_while_nobody_was_there(served: LocalCluster, kubelet: Kubelet, signer: SignerProcess) -> None:
    """Requests that were made while every replica was dead are answered once by two that start, each by one of them."""
    tenants = kubelet.tenants
    signer.kill()
    pods = [kubelet.pod(tenants.name(name)) for name in ("foo", "bar") for _ in range(5)]
    made = []
    for pod in pods:
        tenant = "foo" if pod["metadata"]["namespace"] == tenants.name("foo") else "bar"
        made.append(kubelet.create(kubelet.request(pod, tenants.signer(tenant))))
    with SignerProcess(served, CONTROLLERS, tenancy="enforce") as second:
        signer.start()
        assert {kubelet.answered(one)[0] for one in made} == {"Issued"}
        uids = sorted(one["metadata"]["uid"] for one in made)

        def stored() -> list[str]:
            lines = [*signer.audit(), *second.audit()]
            return sorted(line["uid"] for line in lines if line["uid"] in uids and line.get("outcome") == "stored")

        tenants.place.until("what became of each", lambda: set(stored()) == set(uids))
        assert stored() == uids


def test_nobody_else_answers(kubelet: Kubelet) -> None:
    """Who may write answers and has Kubernetes' own verb for every signer is refused all the same: only we may answer."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    body = kubelet.request(pod, f"example.com/{tenants.name('foo')}")
    theirs = kubelet.create(body)
    ours = kubelet.create(kubelet.request(pod, tenants.signer("none")))
    for name, api_group, resource, verb in (
        ("answer", "certificates.k8s.io", "podcertificaterequests/status,podcertificaterequests", "get,update"),
        ("sign", "certificates.k8s.io", "signers", "sign"),
    ):
        rules = [{"apiGroups": [api_group], "resources": resource.split(","), "verbs": verb.split(",")}]
        role = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": f"other-{name}"}, "rules": rules}
        kubelet.api.apply(f"/apis/{RBAC}/clusterroles/other-{name}", role)
        binding = {
            "apiVersion": RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"other-{name}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"other-{name}"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "other"}],
        }
        kubelet.api.apply(f"/apis/{RBAC}/clusterrolebindings/other-{name}", binding)

    def deny(made: dict[str, Any]) -> int:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        denied = {"type": "Denied", "status": "True", "reason": "No", "message": "no", "lastTransitionTime": now}
        body = kubelet.look(made) | {"status": {"conditions": [denied]}}
        path = f"{requests_path(made['metadata']['namespace'])}/{made['metadata']['name']}/status"
        try:
            kubelet.api.call("PUT", path, body, user="other")
        except Refused as error:
            return error.code
        return 200

    tenants.place.until("the rights of another", lambda: deny(theirs) == 200)
    assert deny(ours) == 403


@pytest.mark.parametrize("user", ["system:masters", "another node", "no node"])
def test_only_the_node_itself_asks(kubelet: Kubelet, user: str) -> None:
    """Whoever is not the node that a request names is refused, cluster-admin too, before anybody looks at the request."""
    tenants = kubelet.tenants
    other = Kubelet.of(tenants)
    pod = kubelet.pod(tenants.name("foo"))
    body = kubelet.request(pod, tenants.signer("foo"))
    who, groups = {
        "system:masters": ("admin", ("system:masters",)),
        "another node": (other.user, (NODES,)),
        "no node": (kubelet.user, ("system:masters",)),
    }[user]
    with pytest.raises(Refused) as refused:
        kubelet.create(body, who, groups)
    assert refused.value.code == 403
