"""CSRs that Certificates stand for; test_differential.py holds them against cert-manager's to the byte."""

from typing import Any

import pytest
from cryptography import x509

from issuers.compose import compose_request
from issuers.errors import TemplateError
from issuers.request import read_request
from issuers.x509.keys import ALGORITHMS
from issuers.x509.subject import Subject
from tests import pki

KEY = pki.key("p256")
EVERYTHING: dict[str, Any] = {
    "subject": Subject(
        common_name="cn",
        countries=("DE",),
        provinces=("p",),
        localities=("l",),
        street_addresses=("s",),
        postal_codes=("1",),
        organizations=("o", "a"),
        organizational_units=("u",),
        serial_number="7",
    ),
    "dns_names": ["a.example"],
    "ip_addresses": ["10.0.0.1", "::1"],
    "email_addresses": ["a@b.example"],
    "uris": ["spiffe://td/ns/a/sa/b"],
    "other_names": [("1.2.3", "\u00fc")],
    "usages": ["client auth", "signing"],
    "is_ca": True,
    "encode_basic_constraints": True,
    "permitted": {"dns": ["a.example"]},
    "name_constraints_critical": True,
}


def test_everything_that_is_asked_for_is_in_the_request() -> None:
    """Our strict reader finds each field again."""
    request = read_request(compose_request(KEY, **EVERYTHING))
    assert request.subject == "SERIALNUMBER=7,CN=cn,OU=u,O=a+O=o,2.5.4.17=1,STREET=s,L=l,ST=p,C=DE"
    assert request.dns_names == ("a.example",)
    assert request.ip_addresses == ("10.0.0.1", "::1")
    assert request.email_addresses == ("a@b.example",)
    assert request.uris == ("spiffe://td/ns/a/sa/b",)
    assert request.other_names == 1
    assert request.key_usages == ("digital signature", "cert sign")
    assert request.extended_key_usages == ("client auth",)
    assert (request.is_ca, request.path_length) == (True, None)
    assert request.san_critical is False
    assert request.name_constraints_der is not None
    assert request.name_constraints_critical is True


def test_criticality_is_cert_managers() -> None:
    """KeyUsage and BasicConstraints are critical, extended usages never, names and constraints as decided."""
    found = x509.load_pem_x509_csr(compose_request(KEY, **EVERYTHING)).extensions
    assert [(extension.oid.dotted_string, extension.critical) for extension in found] == [
        ("2.5.29.17", False),
        ("2.5.29.15", True),
        ("2.5.29.37", False),
        ("2.5.29.19", True),
        ("2.5.29.30", True),
    ]


def test_the_defaults_are_cert_managers() -> None:
    """Two usages, no BasicConstraints, critical names without a subject, nothing else."""
    request = read_request(compose_request(KEY, dns_names=["a"]))
    assert request.subject_der == b"\x30\x00"
    assert request.san_critical is True
    assert request.key_usages == ("digital signature", "key encipherment")
    assert request.extended_key_usages is None
    assert request.is_ca is None
    assert request.name_constraints_der is None


def test_name_constraints_are_not_critical_unless_asked_for() -> None:
    """spec.nameConstraints.critical is false by default."""
    request = read_request(compose_request(KEY, dns_names=["a"], excluded={"dns": ["b"]}))
    assert request.name_constraints_der == bytes.fromhex("3007a10530038201") + b"b"
    assert request.name_constraints_critical is False


def test_addresses_are_written_as_go_writes_them() -> None:
    """An IPv4 address in IPv6 form becomes IPv4; a network is cut to its prefix."""
    request = read_request(compose_request(KEY, ip_addresses=["::ffff:1.2.3.4"], permitted={"ip": ["10.1.2.3/16"]}))
    assert request.ip_addresses == ("1.2.3.4",)
    assert request.name_constraints_der is not None
    assert request.name_constraints_der.endswith(bytes([10, 1, 0, 0, 255, 255, 0, 0]))


def test_usages_may_be_left_out() -> None:
    """encodeUsagesInRequest: false."""
    request = read_request(compose_request(KEY, dns_names=["a"], usages=["client auth"], encode_usages=False))
    assert (request.key_usages, request.extended_key_usages) == (None, None)


def test_an_extension_that_would_be_empty_is_left_out() -> None:
    """Extended usages alone bring no KeyUsage, key usages alone no ExtendedKeyUsage."""
    only_extended = read_request(compose_request(KEY, dns_names=["a"], usages=["client auth"]))
    assert (only_extended.key_usages, only_extended.extended_key_usages) == (None, ("client auth",))
    only_key = read_request(compose_request(KEY, dns_names=["a"], usages=["signing"]))
    assert (only_key.key_usages, only_key.extended_key_usages) == (("digital signature",), None)


def test_basic_constraints_may_be_put_in() -> None:
    """A leaf says CA:false there."""
    assert read_request(compose_request(KEY, dns_names=["a"], encode_basic_constraints=True)).is_ca is False


def test_a_request_without_extensions_has_no_attribute() -> None:
    """A common name alone, usages left out."""
    text = compose_request(KEY, subject=Subject(common_name="a"), encode_usages=False)
    assert list(x509.load_pem_x509_csr(text).attributes) == []


@pytest.mark.parametrize("name", ["SHA256WithRSA", "SHA384WithRSA", "SHA512WithRSA"])
def test_the_signature_algorithm_may_be_chosen(name: str) -> None:
    """spec.signatureAlgorithm."""
    text = compose_request(pki.key("rsa"), dns_names=["a"], signature_algorithm=name)
    assert read_request(text).signature_algorithm == name
    assert name in ALGORITHMS


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"dns_names": ["\u00fc"]}, "subjectAltName", "codec can't encode"),
        ({"email_addresses": ["\u00fc@a"]}, "subjectAltName", "codec can't encode"),
        ({"uris": ["http://\u00fc"]}, "subjectAltName", "codec can't encode"),
        ({"ip_addresses": ["10.0.0.256"]}, "subjectAltName", "does not appear to be an IPv4 or IPv6 address"),
        ({"ip_addresses": ["fe80::1%eth0"]}, "subjectAltName", "has a zone"),
        ({"other_names": [("x", "a")]}, "subjectAltName", "'x' is not an object identifier"),
        ({"other_names": [("1.2.3", "\ud800")]}, "subjectAltName", "codec can't encode"),
        ({"subject": Subject(common_name="\ud800")}, "subject", "codec can't encode"),
        ({"usages": ["x"]}, "usages", "unknown key usages: 'x'"),
        ({"permitted": {"ip": ["10.0.0.0/33"]}}, "nameConstraints", "does not appear to be an IPv4 or IPv6 network"),
        ({"excluded": {"dns": ["\u00fc"]}}, "nameConstraints", "codec can't encode"),
        ({"signature_algorithm": "MD5"}, "signatureAlgorithm", "'MD5' is not known"),
        ({"signature_algorithm": "SHA256WithRSA"}, "signatureAlgorithm", "does not fit a key of this kind"),
    ],
)
def test_what_cannot_be_written_is_refused(changes: dict[str, Any], field: str, message: str) -> None:
    """The refusal names the Certificate's field."""
    with pytest.raises(TemplateError) as refused:
        compose_request(KEY, **({"dns_names": ["a"]} | changes))
    assert refused.value.field == field
    assert message in str(refused.value)


@pytest.mark.parametrize("subject", [None, Subject(), Subject(organizations=("o",))])
def test_a_request_for_nobody_is_refused(subject: Subject | None) -> None:
    """As in cert-manager there must be a common name or a subject alternative name."""
    with pytest.raises(TemplateError, match=r"^commonName: there must be a common name or"):
        compose_request(KEY, subject=subject)


def test_a_weak_key_asks_for_nothing() -> None:
    """A key that no one would sign is refused where it stands."""
    with pytest.raises(TemplateError, match=r"^privateKey: an RSA key of 1024 bits"):
        compose_request(pki.key("rsa1024"), dns_names=["a"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CN=foo,OU=bar,O=baz", "CN=foo,OU=bar,O=baz"),
        (" CN = foo ; O = b z ", "CN=foo,O=b z"),
        ("CN=a,OU=2+OU=1,DC=x", "CN=a,OU=1+OU=2,DC=x"),
        ("CN=a\\,b\\2Bc\\\\", "CN=a\\,b\\+c\\\\"),
        ("CN=\\C3\\A9,UID=\u4e2d", "CN=\u00e9,UID=\u4e2d"),
        ("2.5.4.3=a,1.2.3=b", "CN=a,1.2.3=b"),
        ("CN=#0c0161", "CN=a"),
        ("CN=a\\ ", "CN=a "),
    ],
)
def test_a_literal_subject(text: str, shown: str) -> None:
    """The text's last part is the name's first; spaces around are no part of it, what is escaped is."""
    assert read_request(compose_request(KEY, literal_subject=text)).subject == shown


@pytest.mark.parametrize(
    "text",
    [
        "CN",
        "CN=a,",
        "=a",
        "XX=a",
        "cn=a",
        "CN=a\\",
        "CN=a\\q1",
        "CN=\\ff",
        "CN=#00",
        "CN=#zz",
        "3.1=a",
        "1=a",
        "1.2.-3=a",
    ],
)
def test_no_literal_subject(text: str) -> None:
    """What cert-manager refuses, or would write as something else than a text, is refused with the field."""
    with pytest.raises(TemplateError) as refused:
        compose_request(KEY, literal_subject=text)
    assert refused.value.field == "literalSubject"


@pytest.mark.parametrize("text", ["O=a", "  "])
def test_a_literal_subject_of_nobody(text: str) -> None:
    """Without a CN in it there must be another name."""
    with pytest.raises(TemplateError, match=r"^commonName: there must be a common name or"):
        compose_request(KEY, literal_subject=text)
    assert read_request(compose_request(KEY, literal_subject=text, dns_names=["a"])).dns_names == ("a",)
