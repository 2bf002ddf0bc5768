"""Issuers with a namespace, whose use needs the verb `reference`, and certificates signed with the requester's own key."""

import secrets
from collections.abc import Callable

import pytest

from tests import pki
from tests.integration.hot_path import IS_CA, PRIVATE_KEY, Place
from tests.integration.observing import grant, once, waits
from tests.localmesh import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer")]


CA_USAGES = ("digital signature", "cert sign")


class TestNamespacedIssuers:
    """Issuers, whose use needs the verb `reference`, and whose Secrets the signer reads where it was let to."""

    @pytest.mark.parametrize("which", ["by name", "all"])
    def test_allowed(self, place: Place, name: str, root: pki.CA, readable: Callable[[], str], which: str) -> None:
        """A requester with the verb `reference` on the Issuer, or on "*", gets its certificate."""
        namespace = readable()
        signer = place.ca_issuer(name, root, namespace)
        user = f"u-{secrets.token_hex(3)}"
        grant(place, namespace, name if which == "by name" else "*", user)
        assert place.issue(signer, user=user).signed_by(root)

    def test_denied(self, place: Place, name: str, root: pki.CA, readable: Callable[[], str]) -> None:
        """Without it the request has failed, whoever approved it; a grant on another Issuer does not help."""
        namespace = readable()
        signer = place.ca_issuer(name, root, namespace)
        grant(place, namespace, f"{name}-other", "mallory")
        refused = place.refused(signer, user="mallory")
        assert refused == ("DeniedReference", f"Requester may not reference Namespaced Issuer {namespace}/{name}")

    def test_another_namespace(
        self, place: Place, name: str, root: pki.CA, namespace: str, readable: Callable[[], str], cluster: Cluster
    ) -> None:
        """The right to one namespace's Issuers is not a right to those of another."""
        readable()
        other = f"{namespace}-2"
        cluster.create_namespace(other)
        try:
            grant(place, other, "*", "neighbour")
            signer = place.ca_issuer(name, root, namespace)
            assert place.refused(signer, user="neighbour")[0] == "DeniedReference"
        finally:
            cluster.kubectl("delete", "namespace", other, "--wait=false")

    def test_secrets_out_of_reach(
        self, place: Place, name: str, root: pki.CA, ca: str, readable: Callable[[], str], namespace: str
    ) -> None:
        """Where the signer may not read Secrets, requests wait and the Event says so; they go on once it may."""
        signer = place.ca_issuer(name, root, namespace)
        grant(place, namespace, "*", "early")
        request = place.ask(signer, user="early")
        assert "forbidden" in waits(place, request, "IssuerNotReady", ca)
        readable()
        assert place.issued(request).signed_by(root)

    def test_cluster_issuer_needs_no_reference(self, place: Place, ca: str) -> None:
        """A ClusterIssuer asks for no such right, as in cert-manager."""
        place.issue(ca, user="nobody-special")


class TestSelfSigned:
    """Certificates signed with the requester's own key, which lies in a Secret."""

    @pytest.fixture
    def issuer(self, place: Place, name: str) -> str:
        place.issuer(name, {"selfSigned": {}})
        return name

    def test_signs_with_the_key(self, place: Place, issuer: str) -> None:
        """The certificate's issuer is its subject, and its own key verifies it."""
        key = pki.key("p256", 7)
        place.secret(f"{issuer}-key", {"tls.key": pki.key_pem(key)})
        request = pki.csr(key, dns=["a.example"], subject=pki.name(common_name="me"))
        issued = place.issue(issuer, request, annotations={PRIVATE_KEY: f"{issuer}-key"})
        issued.leaf.verify_directly_issued_by(issued.leaf)
        assert issued.leaf.subject == pki.name(common_name="me")
        assert len(issued.chain) == 1

    @pytest.mark.parametrize("annotations", [{}, {PRIVATE_KEY: ""}])
    def test_missing_annotation(self, place: Place, issuer: str, annotations: dict[str, str]) -> None:
        """Without the annotation the request has failed, and the message names it."""
        reason, message = place.refused(issuer, annotations=annotations)
        assert reason == "MissingAnnotation"
        assert PRIVATE_KEY in message

    def test_secret_comes_later(self, place: Place, issuer: str, ca: str) -> None:
        """A missing Secret is waited for, with one Event that names it, and its coming ends the wait."""
        key = pki.key("p256", 8)
        request = place.ask(issuer, pki.csr(key, dns=["a.example"]), annotations={PRIVATE_KEY: f"{issuer}-key"})
        assert f"cert-manager/{issuer}-key" in waits(place, request, "SecretNotFound", ca)
        place.secret(f"{issuer}-key", {"tls.key": pki.key_pem(key)})
        assert place.issued(request).leaf.public_key() == key.public_key()
        once(place, request, "SecretNotFound")

    def test_key_of_another(self, place: Place, issuer: str) -> None:
        """A key that is not the request's own is refused."""
        place.secret(f"{issuer}-key", {"tls.key": pki.key_pem(pki.key("p256", 9))})
        reason, message = place.refused(issuer, annotations={PRIVATE_KEY: f"{issuer}-key"})
        assert reason == "ErrorKeyMatch"
        assert f"cert-manager/{issuer}-key" in message

    def test_never_with_a_ca_key(self, place: Place, issuer: str, ca: str, root: pki.CA) -> None:
        """A CA's Secret is never used, even for a CSR of that very key; it looks like a Secret that is not there."""
        request = pki.csr(root.private, dns=["a.example"], subject=root.name)
        made = place.ask(issuer, request, annotations={PRIVATE_KEY: ca, IS_CA: "true"}, usages=CA_USAGES)
        used = waits(place, made, "SecretNotFound", ca)
        other = place.ask(issuer, request, annotations={PRIVATE_KEY: f"{ca}-nothing"})
        missing = waits(place, other, "SecretNotFound", ca)
        assert used.replace(ca, "X") == missing.replace(f"{ca}-nothing", "X")

    def test_never_with_a_ca_certificate_beside_the_key(self, place: Place, issuer: str, ca: str, root: pki.CA) -> None:
        """A Secret with a CA's certificate is not used either, though no issuer names it."""
        place.secret(f"{issuer}-key", root.secret())
        made = place.ask(issuer, pki.csr(root.private, dns=["a.example"]), annotations={PRIVATE_KEY: f"{issuer}-key"})
        waits(place, made, "SecretNotFound", ca)

    def test_in_a_namespace(
        self, place: Place, ca: str, name: str, readable: Callable[[], str], namespace: str
    ) -> None:
        """For an Issuer the Secret lies in its namespace: out of reach it is waited for, and it is noticed when it comes."""
        key = pki.key("p256", 10)
        signer = place.issuer(name, {"selfSigned": {}}, namespace)
        grant(place, namespace, "*", "selfie")
        request = place.ask(signer, pki.csr(key, dns=["a.example"]), annotations={PRIVATE_KEY: "mine"}, user="selfie")
        assert f"{namespace}/mine" in waits(place, request, "SecretNotFound", ca)
        readable()
        place.secret("mine", {"tls.key": pki.key_pem(key)}, namespace)
        place.issued(request)
