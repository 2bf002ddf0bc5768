"""Signing: what was decided, and what any parser reads of it."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from issuers import assembly
from issuers.certificate import new_serial, self_sign, sign
from issuers.errors import TemplateError
from issuers.request import read_request
from issuers.x509 import keys
from issuers.x509.subject import EMPTY_NAME
from tests import pki
from tests.pki import CA
from tests.unit.issuers.signing import HOUR, NOW, SUBJECT, authority, decide, parsed, request
from tests.vectors import craft
from tests.vectors.craft import FOO, Csr

VECTORS = Path(__file__).parents[2] / "vectors"


class TestSignature:
    def test_a_workloads_certificate(self) -> None:
        """Every field, as the library reads it, and no extension beyond these five."""
        root = CA("root", now=NOW)
        issued = sign(decide(), authority(root), serial=4711)
        certificate = parsed(issued)
        assert certificate.version is x509.Version.v3
        assert certificate.serial_number == issued.serial == 4711
        assert certificate.issuer == root.name
        assert certificate.subject.rdns == []
        assert certificate.not_valid_before_utc == issued.not_before == NOW.replace(microsecond=0)
        assert certificate.not_valid_after_utc == issued.not_after == NOW.replace(microsecond=0) + HOUR
        assert keys.public_bytes(craft.p256().public_key()) == request().spki
        assert certificate.public_key() == craft.p256().public_key()
        certificate.verify_directly_issued_by(root.certificate)
        key_id = x509.SubjectKeyIdentifier.from_public_key(root.private.public_key()).digest
        found = [(extension.critical, extension.value) for extension in certificate.extensions]
        assert found == [
            (
                True,
                x509.KeyUsage(True, False, True, False, False, False, False, False, False),
            ),
            (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])),
            (True, x509.BasicConstraints(ca=False, path_length=None)),
            (False, x509.AuthorityKeyIdentifier(key_id, None, None)),
            (True, x509.SubjectAlternativeName([x509.UniformResourceIdentifier(FOO)])),
        ]

    def test_a_ca_certificate_with_everything(self) -> None:
        """All extensions there are, in Go's order, with Go's criticality; names last, not critical beside a subject."""
        constraints = craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example"))))
        template = dataclasses.replace(
            decide(
                request(craft.extension(craft.NC, constraints), subject=SUBJECT),
                is_ca=True,
                usages=("cert sign", "key agreement", "decipher only"),
                crl_distribution_points=["http://crl/1", "http://crl/2"],
                ocsp_servers=["http://ocsp"],
                issuing_certificate_urls=["http://ca/1", "http://ca/2"],
            ),
            path_length=0,
        )
        certificate = parsed(sign(template, authority(), serial=1))
        oids = [extension.oid.dotted_string for extension in certificate.extensions]
        assert oids == [
            "2.5.29.15",
            "2.5.29.19",
            "2.5.29.14",
            "2.5.29.35",
            "1.3.6.1.5.5.7.1.1",
            "2.5.29.30",
            "2.5.29.31",
            "2.5.29.17",
        ]
        assert [extension.oid.dotted_string for extension in certificate.extensions if extension.critical] == [
            "2.5.29.15",
            "2.5.29.19",
        ]
        values = {extension.oid.dotted_string: extension.value for extension in certificate.extensions}
        assert values["2.5.29.19"] == x509.BasicConstraints(ca=True, path_length=0)
        uri = x509.UniformResourceIdentifier
        assert values["2.5.29.31"] == x509.CRLDistributionPoints(
            [x509.DistributionPoint([uri(f"http://crl/{n}")], None, None, None) for n in (1, 2)]
        )
        ocsp, issuers = AuthorityInformationAccessOID.OCSP, AuthorityInformationAccessOID.CA_ISSUERS
        assert values["1.3.6.1.5.5.7.1.1"] == x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(ocsp, uri("http://ocsp")),
                x509.AccessDescription(issuers, uri("http://ca/1")),
                x509.AccessDescription(issuers, uri("http://ca/2")),
            ]
        )
        assert values["2.5.29.30"] == x509.NameConstraints([x509.DNSName("a.example")], None)

    def test_the_subject_key_identifier_is_gos(self) -> None:
        """The first 160 bits of the SHA-256 of the key's bits (RFC 7093); golden value from Go 1.26."""
        spki = craft.spki(craft.p256())
        digest = x509.SubjectKeyIdentifier.from_public_key(craft.p256().public_key()).digest
        assert assembly.subject_key_id(spki) != digest  # that is SHA-1
        assert assembly.subject_key_id(spki).hex() == "581eef08b281fc963d0725454994b7a64af09d64"

    @pytest.mark.parametrize("critical", [True, False])
    def test_critical_name_constraints_stay_critical(self, critical: bool) -> None:
        """What the CSR says about their criticality is kept."""
        constraints = craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example"))))
        wish = request(craft.extension(craft.NC, constraints, craft.TRUE if critical else b""))
        certificate = parsed(sign(decide(wish), authority(), serial=1))
        assert certificate.extensions.get_extension_for_class(x509.NameConstraints).critical is critical

    @pytest.mark.parametrize("san_critical", [craft.TRUE, b""])
    @pytest.mark.parametrize(("subject", "expected"), [(EMPTY_NAME, True), (SUBJECT, False), (craft.EMPTY_O, False)])
    def test_names_are_critical_exactly_without_a_subject(
        self, subject: bytes, expected: bool, san_critical: bytes
    ) -> None:
        """Whatever the CSR says about it (RFC 5280, 4.2.1.6); an empty organization is a subject."""
        names = craft.san(craft.uri(FOO), critical=san_critical)
        wish = read_request(Csr(subject=subject, attributes=[craft.ext_request(names)]).pem())
        certificate = parsed(sign(decide(wish), authority(), serial=1))
        assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical is expected

    @pytest.mark.parametrize("name", ["x", "X ", None])
    def test_a_leaf_with_the_cas_name_names_both_keys(self, name: str | None) -> None:
        """Two key identifiers that differ tell it from a self-signed certificate, which OpenSSL would see otherwise."""
        made = CA("x", now=NOW, subject=pki.name(name))
        subject = read_request(pki.csr(subject=pki.name("x" if name else None), dns=["a"]))
        certificate = parsed(sign(decide(subject), authority(made), serial=1))
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert above == x509.SubjectKeyIdentifier.from_public_key(made.private.public_key()).digest != own

    def test_a_ca_without_key_identifier_is_named_all_the_same(self) -> None:
        """Its key is hashed as RFC 5280 does (4.2.1.2, method 1): strict verifiers want every certificate to name one."""
        made = CA("x", now=NOW, subject_key_id=False)
        certificate = parsed(sign(decide(), authority(made), serial=1))
        named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert named.key_identifier == x509.SubjectKeyIdentifier.from_public_key(made.private.public_key()).digest

    @pytest.mark.parametrize("urls", [{"ocsp_servers": ["http://a"]}, {"issuing_certificate_urls": ["http://a"]}])
    def test_one_kind_of_access_is_enough(self, urls: dict[str, Any]) -> None:
        """An issuer may name an OCSP server or its certificate alone."""
        certificate = parsed(sign(decide(**urls), authority(), serial=1))
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert [description.access_location.value for description in access] == ["http://a"]

    def test_only_key_usages_or_only_extended_ones(self) -> None:
        """An extension that would be empty is left out."""
        only_key = parsed(sign(decide(usages=("digital signature",)), authority(), serial=1))
        only_extended = parsed(sign(decide(usages=("client auth",)), authority(), serial=1))
        with pytest.raises(x509.ExtensionNotFound):
            only_key.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        with pytest.raises(x509.ExtensionNotFound):
            only_extended.extensions.get_extension_for_class(x509.KeyUsage)

    @pytest.mark.parametrize(
        "end",
        [
            datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
            datetime(2050, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        ],
    )
    def test_dates_change_their_form_in_2050(self, end: datetime) -> None:
        """UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5)."""
        issued = sign(decide(duration=end - NOW.replace(microsecond=0)), authority(), serial=1)
        assert parsed(issued).not_valid_after_utc == end
        form = end.strftime("%y%m%d%H%M%SZ") if end.year < 2050 else end.strftime("%Y%m%d%H%M%SZ")
        tag = b"\x17\x0d" if end.year < 2050 else b"\x18\x0f"
        assert tag + form.encode() in issued.der

    @pytest.mark.parametrize(
        ("year", "expected"),
        [(1949, "180f31393439"), (1950, "170d3530"), (2049, "170d3439"), (2050, "180f32303530"), (999, "180f30393939")],
    )
    def test_each_year_has_one_form(self, year: int, expected: str) -> None:
        """Two digits from 1950 to 2049, four outside."""
        assert assembly.encode_time(datetime(year, 1, 1, tzinfo=UTC)).hex().startswith(expected)

    def test_the_chain_follows_the_leaf(self) -> None:
        """Leaf, intermediates, no root."""
        root = CA("root", now=NOW)
        low = root.intermediate("middle", now=NOW).intermediate("low", now=NOW)
        issued = sign(decide(), authority(low), serial=1)
        assert low.parent is not None
        assert issued.pem == pki.cert_pem(parsed(issued)) + low.pem + low.parent.pem

    @pytest.mark.heavy
    @pytest.mark.parametrize("kind", ["rsa", "rsa3072", "rsa4096", "p256", "p384", "p521", "ed25519"])
    def test_every_kind_of_ca_signs(self, kind: str) -> None:
        """The signature verifies with the CA's certificate."""
        root = CA("root", now=NOW, private=pki.key(kind))
        certificate = parsed(sign(decide(), authority(root), serial=1))
        certificate.verify_directly_issued_by(root.certificate)

    def test_every_accepted_request_of_the_corpus_becomes_a_certificate(self) -> None:
        """What is read can be signed, and the library reads the result, names and all."""
        expected = json.loads((VECTORS / "expected.json").read_text())
        names = [name for name, what in expected.items() if "accepted" in what]
        assert names
        ca = authority()
        for name in names:
            wish = read_request((VECTORS / "requests" / f"{name}.pem").read_bytes())
            said = (*(wish.key_usages or ()), *(wish.extended_key_usages or ()))
            if wish.key_usages is None and wish.extended_key_usages is None:
                said = pki.WORKLOAD_USAGES
            if not said:
                continue  # a CSR that asks for no usage at all cannot be matched: an empty wish means two
            certificate = parsed(sign(decide(wish, usages=said, is_ca=bool(wish.is_ca)), ca, serial=1))
            assert [extension.oid for extension in certificate.extensions], name
            assert (wish.san_der is None) == (not any(e.oid.dotted_string == craft.SAN for e in certificate.extensions))


class TestSelfSigned:
    def test_issuer_and_subject_are_one(self) -> None:
        """No authority key identifier, no chain; the signature is the key's own."""
        key = craft.p256()
        issued = self_sign(decide(request(subject=SUBJECT), is_ca=True, usages=("cert sign",)), key, serial=5)
        certificate = parsed(issued)
        assert certificate.issuer == certificate.subject
        assert certificate.serial_number == 5
        assert issued.pem == pki.cert_pem(certificate)
        certificate.verify_directly_issued_by(certificate)
        oids = [extension.oid.dotted_string for extension in certificate.extensions]
        assert oids == ["2.5.29.15", "2.5.29.19", "2.5.29.14", "2.5.29.17"]

    def test_only_the_requests_own_key_signs(self) -> None:
        """Else the certificate would name one key and be signed by another."""
        with pytest.raises(TemplateError, match=r"^privateKey: it is not the key of the request$"):
            self_sign(decide(), craft.p256(2), serial=1)

    def test_a_weak_key_does_not_sign(self) -> None:
        """A template may be made by hand; the key is judged all the same."""
        key = pki.key("rsa1024")
        template = dataclasses.replace(decide(), spki=keys.public_bytes(key.public_key()))
        with pytest.raises(TemplateError, match=r"^privateKey: an RSA key of 1024 bits"):
            self_sign(template, key, serial=1)


def test_serial_numbers_are_positive_and_have_159_bits_of_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 1 up to 2**159 - 1: never zero, never more than 20 bytes."""
    drawn = {new_serial() for _ in range(200)}
    assert len(drawn) == 200
    assert max(drawn).bit_length() > 150
    for low, expected in ((True, 1), (False, 2**159 - 1)):
        monkeypatch.setattr("secrets.randbelow", lambda limit, low=low: 0 if low else limit - 1)
        assert new_serial() == expected
