"""CertificateSigningRequests on the real API server: what cert-manager promises of them, line by line, and what we add.

The signer runs under its own ServiceAccount and RBAC. Where a test says that nothing was written, a later request
was answered first: the signer takes them in order, so the earlier one had its turn.
"""

import base64
import secrets
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import pki
from tests.integration.hot_path import CSRS, DURATION, IS_CA, PRIVATE_KEY, Place, Refused, issuers_path, signer_name
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer")]

WEB = pki.csr(dns=["a.example", "b.example"], subject=pki.name(common_name="a.example"))
CA_CSR = pki.csr(
    subject=pki.name(common_name="sub"),
    extra=[(x509.BasicConstraints(ca=True, path_length=None), True)],
)
CA_USAGES = ("digital signature", "cert sign")


def untouched(place: Place, made: str, before: dict[str, Any], ca: str) -> None:
    """A later request was answered, and this one is as it was, to the resourceVersion."""
    place.issue(ca)
    assert place.look(made) == before


def waits(place: Place, request: str, reason: str, other: str) -> str:
    """A request waits: one Event says why (its message is returned), no condition, and others go on meanwhile."""
    event = place.event(request, reason)
    assert event["type"] == "Warning"
    place.issue(other)
    status = place.look(request)["status"]
    assert [one["type"] for one in status["conditions"]] == ["Approved"]
    assert "certificate" not in status
    return str(event["message"])


def once(place: Place, request: str, reason: str) -> None:
    """The Event with this reason was written once."""
    found = [event for event in place.events(request) if event["reason"] == reason]
    assert [event["count"] for event in found] == [1]


def metric(signer: SignerProcess, metric: str, issuer: str) -> float:
    """A metric that is labelled with an issuer's name."""
    return signer.metric(metric, kind="ClusterIssuer", name=issuer)


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
    def test_lifetime(self, place: Place, ca: str, annotation: str | None, seconds: int | None, lifetime: int) -> None:
        """The lifetime is what was asked for, to the second, from now on and not earlier."""
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


class TestNames:
    """Which issuer a signer name means."""

    def test_cluster_issuer_with_dots(self, place: Place, name: str, root: pki.CA) -> None:
        """All that follows the slash is a ClusterIssuer's name, dots included."""
        assert place.issue(place.ca_issuer(f"{name}.with.dots", root)).signed_by(root)

    def test_issuer_with_dots(self, place: Place, name: str, root: pki.CA, readable: Callable[[], str]) -> None:
        """The namespace of an Issuer ends at the first dot; the rest is its name, dots included."""
        namespace = readable()
        place.ca_issuer(f"{name}.with.dots", root, namespace)
        grant(place, namespace, "*", "dotty")
        assert place.issue(f"issuers.cert-manager.io/{namespace}.{name}.with.dots", user="dotty").signed_by(root)

    def test_signer_name_without_dot(self, place: Place, name: str, ca: str) -> None:
        """An Issuer's signer name without a namespace names an issuer that does not exist: it waits, and says so."""
        request = place.ask(f"issuers.cert-manager.io/{name}")
        assert name in waits(place, request, "IssuerNotFound", ca)

    def test_case_matters(self, place: Place, ca: str) -> None:
        """A domain in other letters never reaches us: the API server takes lower case only, so no name means two issuers."""
        with pytest.raises(Refused, match="signerName"):
            place.create(f"ClusterIssuers.cert-manager.io/{ca}")
        with pytest.raises(Refused, match="signerName"):
            place.create(signer_name(ca.upper()))

    def test_signer_name_with_two_slashes(self, place: Place, ca: str) -> None:
        """A name with a second slash never reaches us."""
        with pytest.raises(Refused, match="signerName"):
            place.create(f"clusterissuers.cert-manager.io/{ca}/x")


class TestLeftAlone:
    """What the signer never writes to."""

    @pytest.mark.parametrize(
        "signer_name",
        [
            "kubernetes.io/kube-apiserver-client",
            "example.com/anything",
            "clusterissuers.example.com/{ca}",
            "clusterissuers.cert-manager.io.example.com/{ca}",
            "cert-manager.io/{ca}",
            "awspcaclusterissuers.awspca.cert-manager.io/{ca}",
        ],
    )
    def test_other_signers(self, place: Place, ca: str, signer_name: str) -> None:
        """A request for somebody else's signer is not written to and gets no Event, even when the name has our issuer's."""
        usages = ("client auth",) if signer_name.startswith("kubernetes.io/") else pki.WORKLOAD_USAGES
        made = place.ask(signer_name.format(ca=ca), usages=usages)
        untouched(place, made, place.look(made), ca)
        assert place.events(made) == []

    def test_not_approved(self, place: Place, ca: str) -> None:
        """A request is never written to before it is approved; after a while an Event says what it waits for."""
        made = place.create(ca)
        name = made["metadata"]["name"]
        untouched(place, name, made, ca)
        assert place.event(name, "WaitingApproval")["type"] == "Normal"
        assert place.look(name)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        place.approve(made)  # with the object as it was created, as istiod does: a 409 if anybody had written
        place.issued(name)

    def test_denied(self, place: Place, ca: str) -> None:
        """A denied request stays as it is."""
        made = place.condition(place.create(ca), "Denied")
        untouched(place, made["metadata"]["name"], made, ca)

    def test_failed(self, place: Place, ca: str) -> None:
        """A request that somebody else has failed stays as it is, though it is approved."""
        failed = place.condition(place.create(ca), "Failed", "status")
        made = place.approve(failed)
        untouched(place, made["metadata"]["name"], made, ca)

    def test_foreign_certificate(self, place: Place, ca: str, name: str) -> None:
        """A certificate that another signer has set stays, and there is one no matter who was quicker."""
        other = pki.CA("somebody-else")
        made = place.create(ca, name=name)
        made = place.api.put(
            f"{CSRS}/{name}/status", made | {"status": {"certificate": base64.b64encode(other.pem).decode()}}
        )
        made = place.approve(made)
        untouched(place, name, made, ca)
        assert place.issued(name).leaf == other.certificate


class TestWaiting:
    """What is approved is never forgotten: a request waits for its issuer, and goes on by itself."""

    def test_issuer_appears(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """Without an issuer a request waits with one Event, and goes on when issuer and Secret come."""
        request = place.ask(name)
        assert name in waits(place, request, "IssuerNotFound", ca)
        place.issuer(name, {"ca": {"secretName": name}})
        assert f'secret "{name}" not found in namespace "cert-manager"' in waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        assert place.issued(request).signed_by(root)
        once(place, request, "IssuerNotFound")
        once(place, request, "IssuerNotReady")

    def test_secret_appears(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """An issuer without its Secret is not ready: the Event names the Secret, and the Secret's coming ends the wait."""
        place.issuer(name, {"ca": {"secretName": f"{name}-key"}})
        request = place.ask(name)
        assert f'secret "{name}-key" not found in namespace "cert-manager"' in waits(
            place, request, "IssuerNotReady", ca
        )
        place.secret(f"{name}-key", root.secret())
        assert place.issued(request).signed_by(root)
        once(place, request, "IssuerNotReady")

    def test_secret_is_repaired(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A broken Secret holds requests up, by an Event that names the field, until it is mended."""
        place.secret(name, root.secret() | {"tls.key": pki.key_pem(pki.key("p256", 99))})
        place.issuer(name, {"ca": {"secretName": name}})
        requests = [place.ask(name) for _ in range(3)]
        for request in requests:
            assert "tls.key" in waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        for request in requests:
            assert place.issued(request).signed_by(root)

    def test_secret_is_deleted_and_restored(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """Without its Secret a CA signs no more, at once; what is asked meanwhile is issued when the Secret is back."""
        place.ca_issuer(name, root)
        place.issue(name)
        place.delete_secret(name)
        request = place.ask(name)
        waits(place, request, "IssuerNotReady", ca)
        place.secret(name, root.secret())
        assert place.issued(request).signed_by(root)

    def test_secret_is_changed(self, place: Place, name: str, root: pki.CA, signer: SignerProcess) -> None:
        """With another CA in the Secret, the next request is signed by that one."""
        place.ca_issuer(name, root)
        assert place.issue(name).signed_by(root)
        new = pki.CA("the-new-one", not_after=datetime.now(UTC) + timedelta(days=200))
        place.secret(name, new.secret())
        ends = new.certificate.not_valid_after_utc.timestamp()
        place.until("the new CA", lambda: metric(signer, "mesh_signer_ca_not_after_timestamp_seconds", name) == ends)
        issued = place.issue(name)
        assert issued.signed_by(new)
        assert not issued.signed_by(root)

    def test_issuer_names_another_secret(self, place: Place, name: str, root: pki.CA, signer: SignerProcess) -> None:
        """An issuer that is pointed at another Secret signs with that one."""
        new = pki.CA("the-other-one", not_after=datetime.now(UTC) + timedelta(days=300))
        place.ca_issuer(name, root)
        place.secret(f"{name}-2", new.secret())
        place.issuer(name, {"ca": {"secretName": f"{name}-2"}})
        ends = new.certificate.not_valid_after_utc.timestamp()
        place.until("the new CA", lambda: metric(signer, "mesh_signer_ca_not_after_timestamp_seconds", name) == ends)
        assert place.issue(name).signed_by(new)

    def test_issuer_is_deleted_and_restored(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A deleted issuer signs no more; made again it answers what waited."""
        place.ca_issuer(name, root)
        place.issue(name)
        place.api.delete(f"{issuers_path()}/{name}")
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        place.issuer(name, {"ca": {"secretName": name}})
        assert place.issued(request).signed_by(root)

    def test_type_that_is_not_supported(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """A request for an issuer of a type that we do not have waits, and its Event names the type."""
        vault = {"server": "https://vault.example", "path": "pki/sign/x", "auth": {"tokenSecretRef": {"name": "t"}}}
        place.issuer(name, {"vault": vault})
        request = place.ask(name)
        assert "spec.vault" in waits(place, request, "IssuerNotReady", ca)
        place.api.delete(f"{issuers_path()}/{name}")
        place.ca_issuer(name, root)
        place.issued(request)

    def test_deleted_while_waiting(self, place: Place, name: str, ca: str, signer: SignerProcess) -> None:
        """A request that is deleted while it waits is forgotten."""
        before = signer.metric("mesh_signer_waiting_requests", reason="IssuerNotFound")
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        assert signer.metric("mesh_signer_waiting_requests", reason="IssuerNotFound") == before + 1
        place.api.delete(f"{CSRS}/{request}")
        place.until(
            "the gauge to fall",
            lambda: signer.metric("mesh_signer_waiting_requests", reason="IssuerNotFound") == before,
        )

    def test_changed_while_waiting(self, place: Place, name: str, root: pki.CA, ca: str) -> None:
        """What a waiting request says when its turn comes counts, not what it said at first."""
        request = place.ask(name)
        waits(place, request, "IssuerNotFound", ca)
        place.api.patch(f"{CSRS}/{request}", {"metadata": {"annotations": {DURATION: "11m"}}})
        place.ca_issuer(name, root)
        assert place.issued(request).seconds == 660


def grant(place: Place, namespace: str, issuer: str, user: str) -> None:
    """Give a user the verb `reference` on an Issuer ("*": on all) of a namespace."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    role = f"reference-{user}"
    rule = {
        "apiGroups": ["cert-manager.io"],
        "resources": ["signers"],
        "resourceNames": [issuer],
        "verbs": ["reference"],
    }
    place.api.post(f"{rbac}/roles", {"metadata": {"name": role}, "rules": [rule]})
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    place.api.post(f"{rbac}/rolebindings", {"metadata": {"name": role}, "roleRef": ref, "subjects": [subject]})


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
        """The right to one namespace's Issuers is no right to those of another."""
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
        place.until("both lines", lambda: len([line for line in signer.audit() if line["uid"] == uid]) == 2)
        intent, outcome = [line for line in signer.audit() if line["uid"] == uid]
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
        place.until("both lines", lambda: len([line for line in signer.audit() if line["uid"] == uid]) == 2)
        intent, outcome = [line for line in signer.audit() if line["uid"] == uid]
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
        assert signer.metric("mesh_signer_refusals_total", signer=signer_name(ca), reason="InvalidDuration") == 1
        assert signer.metric("mesh_signer_request_duration_seconds_count", signer=signer_name(ca)) == 2
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
    assert strict.metric("mesh_signer_refusals_total", reason="CARequestsNotAllowed") == 1
