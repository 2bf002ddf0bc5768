"""CertificateSigningRequests on the real API server: what cert-manager promises of them, line by line, and what we add.

The signer runs under its own ServiceAccount and RBAC. Where a test says that nothing was written, a later request
was answered first: the signer takes them in order, so the earlier one had its turn.
"""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import pki
from tests.integration.hot_path import DURATION, IS_CA, Place, signer_name
from tests.integration.observing import metric, waits
from tests.integration.plain_api import Refused
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer")]


WEB = pki.csr(dns=["a.example", "b.example"], subject=pki.name(common_name="a.example"))


CA_CSR = pki.csr(
    subject=pki.name(common_name="sub"),
    extra=[(x509.BasicConstraints(ca=True, path_length=None), True)],
)


CA_USAGES = ("digital signature", "cert sign")


class TestCertificates:
    """What a request of istiod's becomes."""

    def test_workload(self, place: Place, ca: str, root: pki.CA) -> None:
        """A workload's request becomes its SPIFFE ID, critical, under no subject, for server and client, signed by the CA."""
        before = datetime.now(UTC).replace(microsecond=0)
        key = pki.key("rsa")
        issued = place.issue(ca, pki.workload_csr("foo", "httpbin", private=key))
        leaf = issued.leaf
        assert issued.signed_by(root)
        assert leaf.public_key() == key.public_key()
        assert issued.uris == ["spiffe://cluster.local/ns/foo/sa/httpbin"]
        assert leaf.issuer == root.name
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        bits = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        assert bits.digital_signature
        assert bits.key_encipherment
        assert not bits.key_cert_sign
        assert not issued.is_ca
        assert before <= leaf.not_valid_before_utc <= datetime.now(UTC)
        assert place.event(issued.name, "CertificateIssued")["type"] == "Normal"

    def test_openssl_trusts_it(self, place: Place, ca: str, root: pki.CA, tmp_path: Path) -> None:
        """OpenSSL, which shares no code with us, verifies the chain strictly, for a server and for a client."""
        leaf, trusted = tmp_path / "leaf.pem", tmp_path / "root.pem"
        leaf.write_bytes(place.issue(ca).pem)
        trusted.write_bytes(root.pem)
        for purpose in ("sslserver", "sslclient"):
            command = ["openssl", "verify", "-purpose", purpose, "-no-CApath", "-CAfile", trusted, leaf]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("request_pem", "critical"),
        [(pki.csr(dns=["a.example"]), True), (pki.csr(dns=["a.example"], critical=False), True), (WEB, False)],
        ids=["no subject", "no subject, not critical in the CSR", "subject"],
    )
    def test_names_are_critical_without_subject(
        self, place: Place, ca: str, request_pem: bytes, critical: bool
    ) -> None:
        """The names are critical exactly when the subject is empty, whatever the CSR says of it."""
        assert place.issue(ca, request_pem).names.critical is critical

    def test_subject_and_names_are_kept(self, place: Place, ca: str) -> None:
        """Subject and names of every kind come through as they were asked for."""
        request = pki.csr(
            dns=["a.example"],
            ips=["192.0.2.1", "2001:db8::1"],
            emails=["a@example.com"],
            uris=["https://example.com/x"],
            subject=pki.name(common_name="a.example", organization="Example"),
        )
        issued = place.issue(ca, request)
        asked = x509.load_pem_x509_csr(request)
        assert issued.leaf.subject.public_bytes() == asked.subject.public_bytes()
        assert issued.names.value == asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    def test_issuer_settings_show_in_certificates(self, place: Place, name: str, root: pki.CA) -> None:
        """An issuer's revocation lists, OCSP servers and issuer URLs stand in what it signs."""
        place.ca_issuer(
            name,
            root,
            crlDistributionPoints=["http://crl.example/1"],
            ocspServers=["http://ocsp.example"],
            issuingCertificateURLs=["http://ca.example/ca.crt"],
        )
        extensions = place.issue(name).leaf.extensions
        points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert [uri.value for point in points for uri in point.full_name or ()] == ["http://crl.example/1"]
        access = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert {one.access_location.value for one in access} == {"http://ocsp.example", "http://ca.example/ca.crt"}


class TestChain:
    """leaf, then intermediates, without the self-signed root."""

    def test_self_signed_ca(self, place: Place, ca: str) -> None:
        """Under a self-signed CA the leaf stands alone."""
        assert len(place.issue(ca).chain) == 1

    def test_intermediates_without_root(self, place: Place, name: str, root: pki.CA) -> None:
        """Two intermediates follow the leaf in order, and the root does not, though the Secret has it."""
        upper = root.intermediate("upper")
        lower = upper.intermediate("lower")
        place.ca_issuer(name, lower)
        issued = place.issue(name)
        assert issued.signed_by(lower)
        assert issued.chain[1:] == [lower.certificate, upper.certificate]

    def test_root_in_tls_crt(self, place: Place, name: str, root: pki.CA) -> None:
        """A root that stands in tls.crt as well is left out all the same."""
        sub = root.intermediate("sub")
        place.secret(name, sub.secret() | {"tls.crt": sub.chain_pem})
        place.issuer(name, {"ca": {"secretName": name}})
        assert place.issue(name).chain[1:] == [sub.certificate]


class TestDurations:
    """The annotation beats expirationSeconds, which beats 90 days."""

    @pytest.mark.parametrize(
        ("annotation", "seconds", "lifetime"),
        [
            ("1h", 86400, 3600),
            ("10m", None, 600),
            ("1h30m5s", 7200, 5405),
            ("1.5h", None, 5400),
            ("87600h", 600, 87600 * 3600),
            (None, 600, 600),
            (None, 86401, 86401),
            (None, 315360000, 315360000),
            (None, None, 90 * 86400),
            ("2562047h", None, 2562047 * 3600),
            (None, 2**31 - 1, 2**31 - 1),
        ],
    )
    def test_lifetime(
        self, place: Place, name: str, annotation: str | None, seconds: int | None, lifetime: int
    ) -> None:
        """The lifetime is what was asked for, to the second, from now on and not earlier."""
        ca = name
        place.ca_issuer(ca, pki.CA("for-ever", not_after=datetime(9999, 12, 31, tzinfo=UTC)))
        annotations = {DURATION: annotation} if annotation else {}
        before = datetime.now(UTC).replace(microsecond=0)
        issued = place.issue(ca, annotations=annotations, seconds=seconds)
        assert issued.seconds == lifetime
        assert before <= issued.leaf.not_valid_before_utc <= datetime.now(UTC)

    @pytest.mark.parametrize("text", ["1 day", "1d", "", "h", "1h1", "2562048h", "1e3s", "٣h", "-"])
    def test_unreadable(self, place: Place, ca: str, text: str) -> None:
        """An annotation that Go's time.ParseDuration does not take ends the request, though expirationSeconds is fine."""
        reason, message = place.refused(ca, annotations={DURATION: text})
        assert reason == "ErrorParseDuration"
        assert DURATION in message

    @pytest.mark.parametrize("text", ["9m59s", "9m59.999999999s", "0", "1ns", "-1h", "-2562047h"])
    def test_too_short(self, place: Place, ca: str, text: str) -> None:
        """Less than ten minutes is refused, and the message has the limit."""
        reason, message = place.refused(ca, annotations={DURATION: text})
        assert reason == "InvalidDuration"
        assert message.startswith("CertificateSigningRequest minimum allowed duration is 10m0s, requested ")

    @pytest.mark.parametrize("seconds", [599, 0, -1])
    def test_api_server_minimum(self, place: Place, ca: str, seconds: int) -> None:
        """Less than 600 expirationSeconds never reach us: the API server refuses them."""
        with pytest.raises(Refused, match="expirationSeconds") as refusal:
            place.create(ca, seconds=seconds)
        assert refusal.value.code == 422


class TestUsages:
    """spec.usages are what the certificate carries."""

    def test_all_kinds(self, place: Place, ca: str) -> None:
        """Key usages and extended key usages come out as they were asked for, under Kubernetes' names."""
        asked = ["signing", "content commitment", "key agreement", "code signing", "ocsp signing", "s/mime"]
        leaf = place.issue(ca, WEB, usages=asked).leaf
        bits = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (bits.digital_signature, bits.content_commitment, bits.key_agreement) == (True, True, True)
        assert not bits.key_encipherment
        oids = [oid.dotted_string for oid in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
        assert oids == ["1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.9", "1.3.6.1.5.5.7.3.4"]

    def test_csr_agrees(self, place: Place, ca: str) -> None:
        """A CSR that carries the usages itself is issued when they are those of the spec."""
        extra = [(pki.key_usage(), True), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]
        request = pki.csr(dns=["a.example"], extra=extra)
        place.issue(ca, request, usages=["digital signature", "server auth"])

    def test_csr_differs(self, place: Place, ca: str) -> None:
        """A CSR that carries other usages than the spec is refused, and told what the two say."""
        request = pki.csr(dns=["a.example"], extra=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)])
        reason, message = place.refused(ca, request, usages=["server auth", "client auth"])
        assert reason == "SigningError"
        assert message.startswith("Error generating certificate template: ")
        assert "usages" in message

    @pytest.mark.parametrize("usages", [["server authentication"], [], ["server auth", "server auth"]])
    def test_api_server_refuses(self, place: Place, ca: str, usages: list[str]) -> None:
        """Unknown, missing and doubled usages never reach us: the API server refuses them."""
        with pytest.raises(Refused, match="usages") as refusal:
            place.create(ca, usages=usages)
        assert refusal.value.code == 422


class TestCARequests:
    """request-is-ca, as in cert-manager; an operator may forbid it."""

    def test_true(self, place: Place, ca: str) -> None:
        """With the annotation "true" a CSR for a CA becomes a CA's certificate."""
        issued = place.issue(ca, CA_CSR, annotations={IS_CA: "true"}, usages=CA_USAGES)
        assert issued.is_ca
        assert issued.leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign

    @pytest.mark.parametrize("text", ["True", "1", "yes", " true", ""])
    def test_only_true_means_true(self, place: Place, ca: str, text: str) -> None:
        """Any other text in the annotation asks for no CA."""
        assert not place.issue(ca, annotations={IS_CA: text}).is_ca

    @pytest.mark.parametrize("annotations", [{}, {IS_CA: "false"}])
    def test_not_without_the_annotation(self, place: Place, ca: str, annotations: dict[str, str]) -> None:
        """A CSR that asks for a CA by itself is refused."""
        reason, message = place.refused(ca, CA_CSR, annotations=annotations, usages=CA_USAGES)
        assert reason == "SigningError"
        assert "isCA" in message


class TestKeys:
    """CA keys of every kind that we take."""

    @pytest.mark.parametrize("kind", ["rsa", "rsa3072", "p384", "p521", "ed25519"])
    def test_kinds(self, place: Place, name: str, kind: str) -> None:
        """Each kind of CA key signs what verifies."""
        own = pki.CA("kind", private=pki.key(kind, 3))
        place.ca_issuer(name, own)
        assert place.issue(name).signed_by(own)

    def test_rsa_4096(self, place: Place, name: str, ca: str) -> None:
        """A large RSA key signs too, off the loop, with SHA-512, and others are answered meanwhile."""
        own = pki.CA("large", private=pki.key("rsa4096", 3))
        place.ca_issuer(name, own)
        large = [place.ask(name) for _ in range(8)]
        small = [place.ask(ca) for _ in range(8)]
        for request in small:
            place.issued(request)
        for request in large:
            issued = place.issued(request)
            assert issued.signed_by(own)
            assert isinstance(own.private, rsa.RSAPrivateKey)
            assert isinstance(issued.leaf.signature_algorithm_parameters, padding.PKCS1v15)
            assert issued.leaf.signature_hash_algorithm is not None
            assert issued.leaf.signature_hash_algorithm.name == "sha512"


class TestRecord:
    """What is left of a request that istiod deletes at once."""

    def test_audit_of_an_issue(self, place: Place, ca: str, signer: SignerProcess) -> None:
        """Two lines, the intent before the write and the outcome after it, say who got what from which key."""
        issued = place.issue(ca, user="system:serviceaccount:istio-system:istiod", seconds=7200)
        uid = place.look(issued.name)["metadata"]["uid"]
        intent, outcome = signer.audited(2, uid=uid)
        assert (intent["audit"], outcome["audit"], outcome["outcome"]) == ("intent", "outcome", "stored")
        assert intent["serial"] == outcome["serial"] == f"{issued.leaf.serial_number:x}"
        assert intent["identity"] == "spiffe://cluster.local/ns/foo/sa/default"
        assert intent["requester"] == "system:serviceaccount:istio-system:istiod"
        assert intent["signer"] == signer_name(ca)
        assert intent["lifetime"] == 7200
        assert intent["name"] == issued.name

    def test_audit_of_a_refusal(self, place: Place, ca: str, signer: SignerProcess) -> None:
        """A refusal has its two lines too, with the reason."""
        name = place.ask(ca, annotations={DURATION: "1m"})
        place.answered(name)
        uid = place.look(name)["metadata"]["uid"]
        intent, outcome = signer.audited(2, uid=uid)
        assert intent["verdict"] == "refuse"
        assert intent["reasons"][0].startswith("InvalidDuration: ")
        assert outcome["outcome"] == "refused"
        assert place.event(name, "InvalidDuration")["type"] == "Warning"

    def test_metrics(self, place: Place, ca: str, signer: SignerProcess) -> None:
        """Requests are counted by signer and outcome, with a latency for what was issued; all gauges fall to nothing."""
        place.issue(ca)
        place.issue(ca)
        place.refused(ca, annotations={DURATION: "1m"})
        signer.wait_for_metric("mesh_signer_requests_total", 2, signer=signer_name(ca), outcome="issued")
        signer.wait_for_metric("mesh_signer_requests_total", 1, signer=signer_name(ca), outcome="refused")
        assert (
            signer.wait_for_metric("mesh_signer_refusals_total", 1, signer=signer_name(ca), reason="InvalidDuration")
            == 1
        )
        assert signer.wait_for_metric("mesh_signer_request_duration_seconds_count", 2, signer=signer_name(ca)) == 2
        assert metric(signer, "mesh_signer_issuer_ready", ca) == 1
        place.until("an empty queue", lambda: signer.metric("mesh_signer_queue_length") == 0)
        place.until("nothing in flight", lambda: signer.metric("mesh_signer_in_flight_writes") == 0)

    def test_labels_are_bounded(self, place: Place, ca: str, name: str, signer: SignerProcess) -> None:
        """A signer name that no issuer has becomes no label, whoever asks for it."""
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        assert signer.metric("mesh_signer_requests_total", signer=signer_name(name)) == 0


@pytest.fixture
def strict(installed: Cluster, signer: SignerProcess) -> Iterator[SignerProcess]:
    """A signer that issues no CA certificates, instead of the usual one."""
    signer.stop()
    try:
        with SignerProcess(installed, "--controllers=csr", "--allow-ca-requests=false") as process:
            yield process
    finally:
        signer.start()


def test_ca_requests_forbidden(place: Place, ca: str, strict: SignerProcess) -> None:
    """With --allow-ca-requests=false a request for a CA is refused, and others are issued."""
    reason, message = place.refused(ca, CA_CSR, annotations={IS_CA: "true"}, usages=CA_USAGES)
    assert reason == "CARequestsNotAllowed"
    assert "--allow-ca-requests" in message
    place.issue(ca)
    assert strict.wait_for_metric("mesh_signer_refusals_total", 1, reason="CARequestsNotAllowed") == 1
