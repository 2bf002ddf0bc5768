"""What is decided about a certificate, what is signed, and that nothing else gets out."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from issuers import assembly, keys
from issuers.authority import Authority, load_authority
from issuers.certificate import CertificateTemplate, IssuedCertificate, new_serial, self_sign, sign, template_for
from issuers.errors import SigningFailed, TemplateError
from issuers.request import SigningRequest, read_request
from issuers.subject import EMPTY_NAME
from tests import pki
from tests.pki import CA, DAY
from tests.vectors import craft
from tests.vectors.craft import FOO, Csr

NOW = datetime(2026, 11, 22, 12, 0, 0, 987654, tzinfo=UTC)
HOUR = timedelta(hours=1)
VECTORS = Path(__file__).parents[2] / "vectors"


def authority(ca: CA | None = None) -> Authority:
    secret = (ca or CA("root", now=NOW)).secret()
    return load_authority(secret["tls.crt"], secret["tls.key"], secret["ca.crt"], now=NOW)


def request(*extensions: bytes, subject: bytes = EMPTY_NAME) -> SigningRequest:
    return read_request(
        Csr(subject=subject, attributes=[craft.ext_request(craft.san(craft.uri(FOO)), *extensions)]).pem()
    )


def decide(wish: SigningRequest | None = None, **changes: Any) -> CertificateTemplate:
    settings: dict[str, Any] = {"usages": pki.WORKLOAD_USAGES, "duration": HOUR, "is_ca": False, "now": NOW}
    return template_for(wish or request(), **(settings | changes))


def key_usage(content: bytes) -> bytes:
    return craft.extension(craft.KU, content, craft.TRUE)


def purposes(*oids: str) -> bytes:
    return craft.extension(craft.EKU, craft.seq(*map(craft.oid, oids)))


SERVER, CLIENT = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
SUBJECT = craft.seq(craft.rdn((craft.CN, craft.utf8("a"))))


class TestDecision:
    def test_everything_comes_from_request_and_wish(self) -> None:
        """No field of the template is left at its default when request and wish say something else."""
        constraints = craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example"))))
        wish = request(craft.extension(craft.NC, constraints, craft.TRUE), purposes(CLIENT, "1.2.3.4"), subject=SUBJECT)
        template = decide(
            wish,
            usages=("client auth",),
            is_ca=True,
            crl_distribution_points=["http://crl"],
            ocsp_servers=["http://ocsp"],
            issuing_certificate_urls=["http://ca"],
        )
        assert template == CertificateTemplate(
            spki=wish.spki,
            subject_der=SUBJECT,
            san_der=wish.san_der,
            not_before=NOW.replace(microsecond=0),
            not_after=NOW.replace(microsecond=0) + HOUR,
            is_ca=True,
            path_length=None,
            usages=("client auth",),
            unknown_extended_key_usages=("1.2.3.4",),
            name_constraints_der=constraints,
            name_constraints_critical=True,
            crl_distribution_points=("http://crl",),
            ocsp_servers=("http://ocsp",),
            issuing_certificate_urls=("http://ca",),
        )

    def test_a_template_by_hand_is_a_plain_leaf(self) -> None:
        """What is not said is not granted: no CA, Kubernetes' two default usages, nothing else."""
        template = CertificateTemplate(b"spki", EMPTY_NAME, b"names", NOW, NOW + HOUR)
        assert (template.is_ca, template.path_length) == (False, None)
        assert template.usages == ("digital signature", "key encipherment")
        assert (template.name_constraints_der, template.name_constraints_critical) == (None, False)
        lists = ("unknown_extended_key_usages", "crl_distribution_points", "ocsp_servers", "issuing_certificate_urls")
        assert all(getattr(template, name) == () for name in lists)

    def test_a_path_length_in_the_csr_is_not_taken_over(self) -> None:
        """As with cert-manager: the CSR's path length is no wish that anyone approved."""
        wish = request(craft.extension(craft.BC, craft.seq(craft.TRUE, craft.integer(3)), craft.TRUE))
        assert decide(wish, is_ca=True).path_length is None

    @pytest.mark.parametrize("duration", [timedelta(seconds=1), timedelta(seconds=600), 90 * DAY, 3650 * DAY])
    def test_a_lifetime_is_honoured_to_the_second(self, duration: timedelta) -> None:
        """NotBefore is now, without its fraction; NotAfter is as much later as was asked for."""
        template = decide(duration=duration)
        assert template.not_before == datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
        assert template.not_after - template.not_before == duration

    def test_a_fraction_of_a_second_counts_as_in_go(self) -> None:
        """Go adds first and drops the fraction of the sum."""
        assert decide(duration=timedelta(seconds=600, milliseconds=500)).not_after == datetime(
            2026, 11, 22, 12, 10, 1, tzinfo=UTC
        )

    @pytest.mark.parametrize("duration", [timedelta(0), timedelta(seconds=-1), -DAY, timedelta(milliseconds=999)])
    def test_no_lifetime_is_refused(self, duration: timedelta) -> None:
        """Nothing, less than a second or a negative time is no lifetime."""
        with pytest.raises(TemplateError, match="is not a lifetime") as refused:
            decide(duration=duration)
        assert refused.value.field == "duration"

    def test_a_lifetime_beyond_all_calendars_is_refused(self) -> None:
        """X.509 ends with the year 9999."""
        assert decide(duration=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - NOW).not_after.year == 9999
        with pytest.raises(TemplateError, match=r"^duration: .*goes beyond the year 9999$"):
            decide(duration=timedelta(days=3_000_000))

    def test_no_usages_mean_two(self) -> None:
        """Kubernetes' default: digital signature and key encipherment."""
        assert decide(usages=()).usages == ("digital signature", "key encipherment")

    def test_cert_sign_is_added_for_cas_of_certificate_requests_alone(self) -> None:
        """The rule holds with is_ca and add_cert_sign together, for given usages and for the default."""
        assert decide(usages=("client auth",), is_ca=True, add_cert_sign=True).usages == ("client auth", "cert sign")
        assert decide(usages=(), is_ca=True, add_cert_sign=True).usages == (
            "digital signature",
            "key encipherment",
            "cert sign",
        )
        assert decide(usages=("client auth",), is_ca=False, add_cert_sign=True).usages == ("client auth",)
        assert decide(usages=("client auth",), is_ca=True).usages == ("client auth",)

    @pytest.mark.parametrize("usage", ["", "Server Auth", "server_auth", "digitalSignature", "serverauth "])
    def test_a_usage_that_nobody_knows_is_refused(self, usage: str) -> None:
        """The refusal names every one of them."""
        with pytest.raises(TemplateError) as refused:
            decide(usages=("client auth", usage, "x"))
        assert str(refused.value) == f"usages: unknown key usages: {usage!r}, 'x'"

    def test_the_number_of_usages_is_limited(self) -> None:
        """64 are taken; there are 23 names."""
        assert len(decide(usages=("client auth",) * 64).usages) == 64
        with pytest.raises(TemplateError, match=r"^usages: 65 usages; at most 64 are accepted$"):
            decide(usages=("client auth",) * 65)

    @pytest.mark.parametrize(
        ("extensions", "message"),
        [
            ([key_usage(craft.bits(b"\x80", 7))], "KeyUsage is digital signature, digital signature, key encipherment"),
            ([key_usage(craft.bits(b"\xa0", 5))], "ExtendedKeyUsage is nothing, server auth, client auth"),
            ([purposes(SERVER, CLIENT)], "KeyUsage is nothing, digital signature, key encipherment"),
            (
                [key_usage(craft.bits(b"\xa0", 5)), purposes(CLIENT, SERVER)],
                "ExtendedKeyUsage is client auth, server auth, server auth, client auth",
            ),
            (
                [key_usage(craft.bits(b"\xa0", 5)), purposes(SERVER)],
                "ExtendedKeyUsage is server auth, server auth, client auth",
            ),
        ],
    )
    def test_usages_in_the_csr_must_be_those_asked_for(self, extensions: list[bytes], message: str) -> None:
        """One of the two extensions in the CSR speaks for both."""
        with pytest.raises(TemplateError) as refused:
            decide(request(*extensions))
        assert str(refused.value) == f"usages: the CSR's {message} is asked for"

    def test_usages_in_the_csr_that_are_asked_for_are_fine(self) -> None:
        """The same bits and the same purposes in the same order; signing is digital signature, s/mime is email."""
        decide(request(key_usage(craft.bits(b"\xa0", 5)), purposes(SERVER, CLIENT)))
        wish = request(key_usage(craft.bits(b"\x80", 7)), purposes("1.3.6.1.5.5.7.3.4"))
        decide(wish, usages=("signing", "s/mime"))
        decide(wish, usages=("s/mime", "digital signature"))

    @pytest.mark.parametrize("said", [False, True])
    def test_the_ca_flag_in_the_csr_must_be_the_one_asked_for(self, said: bool) -> None:
        """A CSR for a CA does not become a leaf, nor a CSR for a leaf a CA."""
        wish = request(craft.extension(craft.BC, craft.seq(craft.TRUE if said else b""), craft.TRUE))
        assert decide(wish, is_ca=said).is_ca is said
        with pytest.raises(TemplateError) as refused:
            decide(wish, is_ca=not said)
        assert str(refused.value) == f"isCA: the CSR's BasicConstraints say {said}, {not said} is asked for"

    @pytest.mark.parametrize(
        ("argument", "field"),
        [
            ("crl_distribution_points", "crlDistributionPoints"),
            ("ocsp_servers", "ocspServers"),
            ("issuing_certificate_urls", "issuingCertificateURLs"),
        ],
    )
    @pytest.mark.parametrize("url", ["", "http://a b", "http://\u00fc", "http://a\n"])
    def test_a_url_that_cannot_be_written_is_refused(self, argument: str, field: str, url: str) -> None:
        """The refusal names the issuer's field."""
        wishes: dict[str, Any] = {argument: ["http://good", url]}
        with pytest.raises(TemplateError) as refused:
            decide(**wishes)
        assert str(refused.value) == f"{field}: {url!r} is not a URL in plain ASCII"


def parsed(issued: IssuedCertificate) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificates(issued.pem)[0]
    assert certificate.public_bytes(Encoding.DER) == issued.der
    return certificate


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

    def test_a_leaf_with_the_cas_name_has_no_authority_key_identifier(self) -> None:
        """Go leaves it out when issuer and subject are equal, and so do we."""
        nameless = CA("x", now=NOW, subject=pki.name())
        certificate = parsed(sign(decide(), authority(nameless), serial=1))
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)

    def test_a_ca_without_key_identifier_is_not_named_by_one(self) -> None:
        """There is nothing to point at."""
        certificate = parsed(sign(decide(), authority(CA("x", now=NOW, subject_key_id=False)), serial=1))
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)

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


BASE = dataclasses.replace(
    decide(
        request(
            craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example")))), craft.TRUE),
            subject=SUBJECT,
        ),
        is_ca=True,
        usages=("cert sign", "client auth", "server auth"),
        crl_distribution_points=["http://crl"],
        ocsp_servers=["http://ocsp"],
        issuing_certificate_urls=["http://ca"],
    ),
    path_length=1,
    unknown_extended_key_usages=("1.2.3.4",),
)
OTHER_NAMES = craft.seq(craft.uri(craft.BAR))
# What is signed instead of what was decided, and what the check must say.
SLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"spki": craft.spki(craft.p256(2))}, "subjectPublicKeyInfo, extension 2.5.29.14"),
    "subject": ({"subject_der": craft.EMPTY_O}, "subject"),
    "no subject": ({"subject_der": EMPTY_NAME}, "subject, extension 2.5.29.17"),
    "names": ({"san_der": OTHER_NAMES}, "extension 2.5.29.17"),
    "no names": ({"san_der": None}, "missing extension 2.5.29.17"),
    "start": ({"not_before": BASE.not_before - timedelta(seconds=1)}, "notBefore"),
    "end": ({"not_after": BASE.not_after + timedelta(seconds=1)}, "notAfter"),
    "no CA": ({"is_ca": False}, "extension 2.5.29.19, missing extension 2.5.29.14"),
    "path length": ({"path_length": 2}, "extension 2.5.29.19"),
    "no path length": ({"path_length": None}, "extension 2.5.29.19"),
    "key usage": ({"usages": ("crl sign", "client auth", "server auth")}, "extension 2.5.29.15"),
    "more key usage": ({"usages": ("cert sign", "crl sign", "client auth", "server auth")}, "extension 2.5.29.15"),
    "no key usage": ({"usages": ("client auth", "server auth")}, "missing extension 2.5.29.15"),
    "extended usage": ({"usages": ("cert sign", "client auth")}, "extension 2.5.29.37"),
    "order of usages": ({"usages": ("cert sign", "server auth", "client auth")}, "extension 2.5.29.37"),
    "unknown usage": ({"unknown_extended_key_usages": ()}, "extension 2.5.29.37"),
    "name constraints": (
        {"name_constraints_der": craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("b.example"))))},
        "extension 2.5.29.30",
    ),
    "no name constraints": ({"name_constraints_der": None}, "missing extension 2.5.29.30"),
    "constraints not critical": ({"name_constraints_critical": False}, "extension 2.5.29.30"),
    "revocation list": ({"crl_distribution_points": ("http://evil",)}, "extension 2.5.29.31"),
    "no revocation list": ({"crl_distribution_points": ()}, "missing extension 2.5.29.31"),
    "ocsp": ({"ocsp_servers": ("http://evil",)}, "extension 1.3.6.1.5.5.7.1.1"),
    "issuer url": ({"issuing_certificate_urls": ("http://evil",)}, "extension 1.3.6.1.5.5.7.1.1"),
    "no access": (
        {"ocsp_servers": (), "issuing_certificate_urls": ()},
        "missing extension 1.3.6.1.5.5.7.1.1",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_was_not_decided_does_not_get_out(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever field the builder got wrong, the certificate is thrown away and the field is named."""
    changes, named = SLIPS[slip]
    build = assembly.to_be_signed
    monkeypatch.setattr(
        assembly,
        "to_be_signed",
        lambda template, **others: build(dataclasses.replace(template, **changes), **others),
    )
    with pytest.raises(SigningFailed) as failed:
        sign(BASE, authority(), serial=1)
    assert str(failed.value) == f"what was signed differs from what was decided: {named}"


WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "serial": ({"serial": 2}, "serialNumber"),
    "issuer": ({"issuer": craft.EMPTY_O}, "issuer"),
    "algorithm": ({"algorithm": craft.SHA256_RSA}, "signatureAlgorithm: inside and outside differ"),
    "authority key": (
        {"authority_key_id": assembly.authority_key_extension(b"x" * 20)},
        "extension 2.5.29.35",
    ),
    "no authority key": ({"authority_key_id": None}, "missing extension 2.5.29.35"),
    "one more extension": (
        {"authority_key_id": assembly.authority_key_extension(b"x" * 20) + craft.extension("1.2.3.4", b"")},
        "extension 2.5.29.35, extension 1.2.3.4",
    ),
    "an extension twice": (
        {"authority_key_id": craft.extension("1.2.3.4", b"") * 2},
        "extension 1.2.3.4 is there twice",
    ),
    "an authority key of another form": (
        {"authority_key_id": craft.extension("2.5.29.35", craft.seq())},
        "extension 2.5.29.35",
    ),
}


@pytest.mark.parametrize("slip", WORDS)
def test_the_signers_part_is_checked_too(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serial number, issuer, algorithm and key identifier are held against what was decided; nothing may be added."""
    changes, named = WORDS[slip]
    build = assembly.to_be_signed
    monkeypatch.setattr(assembly, "to_be_signed", lambda template, **others: build(template, **(others | changes)))
    with pytest.raises(SigningFailed) as failed:
        sign(BASE, authority(), serial=1)
    assert str(failed.value).endswith(f": {named}")


def test_the_baseline_of_the_slips_is_signed() -> None:
    """Without a slip the same template is signed."""
    assert parsed(sign(BASE, authority(), serial=1)).serial_number == 1


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda tbs: tbs[:0],
    "a cut": lambda tbs: tbs[:-1],
    "no version": lambda tbs: tbs.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"),
    "a time without Z": lambda tbs: tbs.replace(b"120000Z", b"120000z"),
    "a month 13": lambda tbs: tbs.replace(b"261122", b"261322"),
    "a time in letters": lambda tbs: tbs.replace(b"261122", b"2611x2"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_cannot_be_read_does_not_get_out(garbage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no certificate are not passed on because someone signed them."""
    build, spoil = assembly.to_be_signed, GARBAGE[garbage]
    monkeypatch.setattr(assembly, "to_be_signed", lambda template, **others: spoil(build(template, **others)))
    with pytest.raises(SigningFailed, match=r"^what was signed cannot be read: "):
        sign(BASE, authority(), serial=1)
