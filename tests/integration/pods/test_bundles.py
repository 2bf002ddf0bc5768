"""A ClusterTrustBundle for each signer, on a real API server: whose roots, through a change of one, and nobody else's objects."""

import json
import secrets
from collections.abc import Iterator

import pytest
from cryptography import x509

from tests import pki
from tests.integration.plain_api import Api, Json, Refused
from tests.integration.pods.kubelet import BUNDLES, Kubelet, chain_of
from tests.integration.tenants import ISTIO, Tenants
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.install import COMPONENTS
from tests.localmesh.signer import NAMESPACE, SIGNER_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

LABELS = {"mesh-signer.dev/trust-bundle": "roots"}
FORMER = "mesh-signer.dev/former-roots"


def path_of(signer: str) -> str:
    return f"{BUNDLES}/{signer.replace('/', ':')}:mesh-signer"


def roots(bundle: Json | None) -> list[bytes]:
    if bundle is None:
        return []
    return [pki.cert_pem(one) for one in x509.load_pem_x509_certificates(bundle["spec"]["trustBundle"].encode())]


def bundle_with(tenants: Tenants, signer: str, *cas: pki.CA) -> Json:
    """The bundle of a signer, once it has just these roots."""
    expected = sorted(ca.pem for ca in cas)

    def found() -> Json | None:
        bundle = tenants.place.api.find(path_of(signer))
        return bundle if sorted(roots(bundle)) == expected else None

    bundle: Json = tenants.place.until(f"the roots of {signer}", found)
    return bundle


def mesh_config(tenants: Tenants, **more: tuple[pki.CA, ...]) -> None:
    """Write the roots of the tenants, and for some of them others."""
    entries = []
    for tenant, ca in tenants.cas.items():
        pem = b"".join(one.pem for one in more.get(tenant, (ca,)))
        entries.append({"pem": pem.decode(), "certSigners": [tenants.signer(tenant)]})
    data = {"mesh": json.dumps({"caCertificates": entries})}
    meta = {"name": "istio", "namespace": ISTIO}
    tenants.place.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}))


def test_each_signer_has_its_own_roots(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """Each tenant's signer has a bundle with its root and no other's, which a Pod finds by signer and label."""
    tenants = kubelet.tenants
    for tenant in ("foo", "bar"):
        bundle = bundle_with(tenants, tenants.signer(tenant), tenants.cas[tenant])
        assert bundle["spec"]["signerName"] == tenants.signer(tenant)
        assert bundle["metadata"]["labels"].items() >= LABELS.items()


def let_read_secrets(cluster: LocalCluster, namespace: str) -> None:
    """Let the signer read the Secrets of a namespace, as one with Issuers of its own does."""
    cluster.apply(COMPONENTS / "namespaced-issuers" / "rbac.yaml")
    account = f"--serviceaccount={NAMESPACE}:{SIGNER_ACCOUNT}"
    role = "--clusterrole=mesh-signer-secrets"
    cluster.kubectl("create", "rolebinding", "mesh-signer-secrets", role, account, "-n", namespace)


def test_a_namespaces_own_issuer(served: LocalCluster, kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """The Issuer of a tenant's own namespace signs for its Pods, and has a bundle from when the first of them asks it."""
    tenants = kubelet.tenants
    namespace, ca = tenants.name("foo"), pki.CA("own")
    let_read_secrets(served, namespace)
    name = tenants.place.ca_issuer("own", ca, namespace)
    assert kubelet.api.find(path_of(name)) is None
    made = kubelet.create(kubelet.request(kubelet.pod(namespace), name))
    kind, answer = kubelet.answered(made)
    assert kind == "Issued", answer
    chain_of(answer)[0].verify_directly_issued_by(ca.certificate)
    bundle_with(tenants, name, ca)


def test_a_root_is_changed(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """Through the change of a root, at no moment is there a certificate whose root the bundle has not: both are in it."""
    tenants = kubelet.tenants
    tenants.add("change")
    name, old = tenants.signer("change"), tenants.cas["change"]
    new = pki.CA(f"{tenants.name('change')}-new")
    bundle_with(tenants, name, old)
    pod = kubelet.pod(tenants.name("change"))
    assert issued_by(kubelet, pod, name) == old.pem
    # Tomorrow's root is announced in the mesh config; then the CA is changed.
    mesh_config(tenants, change=(old, new))
    bundle_with(tenants, name, old, new)
    tenants.place.secret(tenants.name("change"), new.secret())
    tenants.place.until("a certificate below the new root", lambda: issued_by(kubelet, pod, name) == new.pem)
    assert sorted(roots(kubelet.api.find(path_of(name)))) == sorted([old.pem, new.pem])
    # Yesterday's is taken out of the mesh config, and stays in the bundle as long as a certificate below it may last.
    mesh_config(tenants, change=(new,))

    def former() -> dict[str, str]:
        notes = kubelet.api.get(path_of(name))["metadata"].get("annotations", {})
        found: dict[str, str] = json.loads(notes.get(FORMER, "{}"))
        return found

    (until,) = tenants.place.until("the former root's end", former).values()
    assert until > "2026"
    assert sorted(roots(kubelet.api.find(path_of(name)))) == sorted([old.pem, new.pem])
    # Who does not trust it any more deletes the bundle: it is made anew without.
    kubelet.api.delete(path_of(name))
    bundle_with(tenants, name, new)


def issued_by(kubelet: Kubelet, pod: Json, signer: str) -> bytes:
    """The root below which a Pod gets a certificate now."""
    kind, answer = kubelet.answered(kubelet.create(kubelet.request(pod, signer)))
    assert kind == "Issued", answer
    leaf = chain_of(answer)[0]
    for pem in roots(kubelet.api.find(path_of(signer))):
        root = x509.load_pem_x509_certificate(pem)
        if root.subject == leaf.issuer:
            leaf.verify_directly_issued_by(root)
            return pem
    raise AssertionError("the bundle has no root for the certificate")


def test_what_was_edited_is_put_back(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """A root that somebody took out of a bundle of ours is there again, and so is a bundle that somebody deleted."""
    tenants = kubelet.tenants
    name, ca = tenants.signer("foo"), tenants.cas["foo"]
    bundle_with(tenants, name, ca)
    kubelet.api.patch(path_of(name), {"spec": {"trustBundle": tenants.cas["bar"].pem.decode()}})
    tenants.place.until("its root", lambda: ca.pem in roots(kubelet.api.find(path_of(name))))
    kubelet.api.delete(path_of(name))
    bundle_with(tenants, name, ca)


def test_somebody_elses_bundle(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """A bundle that is not ours is left alone, though it has our name, and the issuer's Events say so; without it ours is made."""
    tenants = kubelet.tenants
    name = f"taken-{secrets.token_hex(3)}"
    theirs, ours = pki.CA("theirs"), pki.CA(name)
    full = f"clusterissuers.cert-manager.io/{name}"
    meta = {"name": path_of(full).rpartition("/")[2]}
    spec = {"signerName": full, "trustBundle": theirs.pem.decode()}
    kind = {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle"}
    made = kubelet.api.post(BUNDLES, kind | {"metadata": meta, "spec": spec})
    tenants.place.ca_issuer(name, ours)
    policy = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}}
    at = f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{name}"
    kubelet.api.apply(at, policy | {"spec": {"signers": [full], "namespaces": {"names": [tenants.name("foo")]}}})
    try:
        tenants.place.event(name, "TrustBundleTaken", kind="ClusterIssuer")
        assert kubelet.api.get(path_of(full))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        kubelet.api.delete(path_of(full))
        bundle_with(tenants, full, ours)
    finally:
        kubelet.api.delete(at)


def test_bundles_outlive_the_signer(served: LocalCluster, kubelet: Kubelet, signer: SignerProcess) -> None:
    """A signer that is killed leaves its bundles as they are, and what changed meanwhile is written by the next one."""
    tenants = kubelet.tenants
    signer.kill()
    bundle_with(tenants, tenants.signer("foo"), tenants.cas["foo"], *former_of(tenants))
    tenants.add("late")
    with SignerProcess(served, "--controllers=csr,trustbundles", tenancy="enforce"):
        bundle_with(tenants, tenants.signer("late"), tenants.cas["late"])
    signer.start()


def test_what_bar_asks_takes_nothing_of_others(kubelet: Kubelet, signer: SignerProcess, served: LocalCluster) -> None:
    """Names that no Issuer has get no bundle; one that had it and is gone loses it after its last certificate, and none else does."""
    tenants = kubelet.tenants
    namespace, ca = tenants.name("bar"), pki.CA("passing")
    let_read_secrets(served, namespace)
    pod = kubelet.pod(namespace)
    for number in range(40):
        kubelet.create(kubelet.request(pod, f"issuers.cert-manager.io/{namespace}.made-up-{number}"))
    name = tenants.place.ca_issuer("passing", ca, namespace)
    asked = kubelet.create(kubelet.request(pod, name))
    assert kubelet.answered(asked)[0] == "Issued"
    bundle_with(tenants, name, ca)
    kubelet.api.delete(f"/apis/cert-manager.io/v1/namespaces/{namespace}/issuers/{name.rpartition('.')[2]}")

    def ending() -> str:
        found = kubelet.api.find(path_of(name)) or {"metadata": {}}
        text: str = found["metadata"].get("annotations", {}).get(FORMER, "")
        return text

    # For an hour a Pod counts as one that asks: a signer that starts anew has seen none.
    signer.kill()
    signer.start()
    ends = json.loads(tenants.place.until("the end of its roots", ending))
    assert all(until > "2026" for until in ends.values())
    past = json.dumps(dict.fromkeys(ends, "2026-01-01T00:00:00Z"))
    kubelet.api.patch(path_of(name), {"metadata": {"annotations": {FORMER: past}}})
    tenants.place.until("its deletion", lambda: kubelet.api.find(path_of(name)) is None)
    bundle_with(tenants, tenants.signer("foo"), tenants.cas["foo"], *former_of(tenants))


def test_deletes_only_its_own(served: LocalCluster, kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """With the signer's token nobody deletes a bundle that is not ours, with our name or another."""
    kind = {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle"}
    other = f"clusterissuers.cert-manager.io/other-{secrets.token_hex(3)}"
    pem = pki.CA("theirs").pem.decode()
    paths = []
    for name, signer_name in (
        (f"theirs-{secrets.token_hex(3)}", ""),
        (f"{other.replace('/', ':')}:mesh-signer", other),
    ):
        spec = {"trustBundle": pem} | ({"signerName": signer_name} if signer_name else {})
        kubelet.api.post(BUNDLES, kind | {"metadata": {"name": name}, "spec": spec})
        paths.append(f"{BUNDLES}/{name}")
    with Api(kubeconfig.read(served.service_account_kubeconfig(NAMESPACE, SIGNER_ACCOUNT))) as token:
        for path in paths:
            with pytest.raises(Refused) as refused:
                token.delete(path)
            assert refused.value.code in (403, 422)
            assert "of its own only" in refused.value.message
    for path in paths:
        kubelet.api.delete(path)


def former_of(tenants: Tenants) -> Iterator[pki.CA]:
    """Roots that an earlier test wrote into the bundle of foo, and that stay for a day."""
    found = roots(tenants.place.api.find(path_of(tenants.signer("foo"))))
    yield from (ca for name, ca in tenants.cas.items() if name != "foo" and ca.pem in found)


def test_only_its_own_signers(served: LocalCluster, signer: SignerProcess) -> None:  # noqa: ARG001
    """With the signer's token nobody publishes roots for the signers of others, nor without a signer's name."""
    with Api(kubeconfig.read(served.service_account_kubeconfig(NAMESPACE, SIGNER_ACCOUNT))) as token:
        for signer_name in ("kubernetes.io/kube-apiserver-serving", "example.com/other"):
            meta = {"name": f"{signer_name.replace('/', ':')}:x"}
            spec = {"signerName": signer_name, "trustBundle": pki.CA("x").pem.decode()}
            kind = {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle"}
            with pytest.raises(Refused) as refused:
                token.post(BUNDLES, kind | {"metadata": meta, "spec": spec})
            assert refused.value.code == 403
