"""What we sign is what cert-manager signs.

The other side is cert-manager's own package pkg/util/pki and Go's crypto/x509, in a small Go program
(tests/localmesh/gotools/certmanagerpki). No API server is needed, only Go to build it once.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.authority import load_authority
from issuers.certificate import new_serial, self_sign, sign, template_for
from issuers.compose import compose_request
from issuers.errors import TemplateError
from issuers.private_key import encode_key
from issuers.request import read_request
from issuers.x509.subject import Subject
from tests import pki
from tests.integration.cert_manager import AUTHORITIES, REQUESTS, USAGES, compare, start_peer
from tests.localmesh.certmanagerpki import Peer
from tests.vectors import craft
from tests.vectors.craft import Csr


@pytest.fixture(scope="module")
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    peer = start_peer(request.config)
    yield peer
    peer.close()


def our_chain(request: str, ca: str, wish: dict[str, Any]) -> bytes:
    secret = AUTHORITIES[ca]
    now = datetime.now(UTC)
    authority = load_authority(
        secret["tls.crt"].encode(), secret["tls.key"].encode(), secret["ca.crt"].encode() or None, now=now
    )
    template = template_for(
        read_request(REQUESTS[request]),
        usages=wish["usages"],
        duration=timedelta(seconds=wish["seconds"]),
        is_ca=wish["isCA"],
        now=now,
        add_cert_sign=wish["kind"] == "CertificateRequest",
        crl_distribution_points=wish.get("crlDistributionPoints", ()),
        ocsp_servers=wish.get("ocspServers", ()),
        issuing_certificate_urls=wish.get("issuingCertificateURLs", ()),
    )
    return sign(template, authority, serial=new_serial()).pem


def their_answer(peer: Peer, request: str, ca: str, wish: dict[str, Any]) -> dict[str, Any]:
    secret = AUTHORITIES[ca]
    return peer.ask(
        op="sign",
        csr=REQUESTS[request].decode(),
        tlsCrt=secret["tls.crt"],
        tlsKey=secret["tls.key"],
        caCrt=secret["ca.crt"],
        **wish,
    )


URLS = {
    "crlDistributionPoints": ["http://a.example/1", "ldap://b.example/2"],
    "ocspServers": ["http://ocsp.example"],
    "issuingCertificateURLs": ["http://ca.example/1", "http://ca.example/2"],
}


def wishes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(request, CA, wish): every request, every CA, every set of usages, each flag both ways."""
    plain: dict[str, Any] = {
        "usages": pki.WORKLOAD_USAGES,
        "seconds": 86400,
        "isCA": False,
        "kind": "CertificateSigningRequest",
    }
    for request, ca in itertools.product(REQUESTS, ("root-p256", "no-subject")):
        yield request, ca, plain | ({"usages": ("client auth",)} if request == "unknown-usage" else {})
    for ca in AUTHORITIES:
        yield "subject", ca, plain
        yield "no-subject", ca, plain | {"isCA": True}
    for usages, is_ca, kind in itertools.product(
        USAGES.values(), (False, True), ("CertificateSigningRequest", "CertificateRequest")
    ):
        yield "names", "root-p256", plain | {"usages": usages, "isCA": is_ca, "kind": kind}
    # 600 s is the least that Kubernetes takes, 2^31-1 the most: it ends after 2049, where dates change their form.
    for seconds in (600, 3601, 7776000, 315360000, 2**31 - 1):
        yield "key-p256", "root-p256", plain | {"seconds": seconds}
    for count in range(1, 8):
        chosen = {name: urls for index, (name, urls) in enumerate(URLS.items()) if count >> index & 1}
        yield "key-p256", "root-p256", plain | chosen


@pytest.mark.parametrize(
    ("request_name", "ca", "wish"), list(wishes()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_certificate_equals_cert_managers(peer: Peer, request_name: str, ca: str, wish: dict[str, Any]) -> None:
    """Subject, names, key, every extension's bytes, order and criticality, issuer and chain are cert-manager's."""
    theirs = their_answer(peer, request_name, ca, wish)
    assert "error" not in theirs
    ours = our_chain(request_name, ca, wish)
    # Go names no key where the CA does not name its own, or where issuer and subject are one name: all empty here.
    one_name = ca == "no-subject" and request_name in ("no-subject", "nothing")
    compare(ours, theirs["chain"].encode(), names_keys=ca == "no-key-id" or one_name)
    issuer = x509.load_pem_x509_certificate(AUTHORITIES[ca]["tls.crt"].encode())
    x509.load_pem_x509_certificate(ours).verify_directly_issued_by(issuer)


def with_usages(bits: bytes | None, purposes: Sequence[str] | None) -> tuple[bytes, ...]:
    extensions = [craft.san(craft.dns("a"))]
    if bits is not None:
        extensions.append(craft.extension(craft.KU, bits, craft.TRUE))
    if purposes is not None:
        extensions.append(craft.extension(craft.EKU, craft.seq(*map(craft.oid, purposes))))
    return (craft.ext_request(*extensions),)


SERVER, CLIENT = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
BITS = {
    "absent": None,
    "none": craft.bits(b""),
    "same": craft.bits(b"\xa0", 5),
    "more": craft.bits(b"\xe0", 5),
    "less": craft.bits(b"\x80", 7),
}
PURPOSES = {
    "absent": None,
    "same": (SERVER, CLIENT),
    "other-order": (CLIENT, SERVER),
    "less": (SERVER,),
    "more": (SERVER, CLIENT, "1.3.6.1.5.5.7.3.3"),
    "unknown-too": (SERVER, "1.2.3.4", CLIENT),
    "microsoft-code": (SERVER, CLIENT, "1.3.6.1.4.1.311.2.1.22"),
    "only-unknown": ("1.2.3.4",),
}


@pytest.mark.parametrize("usages", [(), ("digital signature", "key encipherment"), pki.WORKLOAD_USAGES])
@pytest.mark.parametrize("purposes", PURPOSES)
@pytest.mark.parametrize("bits", BITS)
def test_usages_in_the_csr_are_held_against_the_wish(
    peer: Peer, bits: str, purposes: str, usages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where cert-manager refuses a CSR whose usages are not those asked for, we do, and nowhere else.

    But for their order, which means nothing (RFC 5280, 4.2.1.12): another one is answered as cert-manager answers the one asked for.
    """
    wish = {"usages": usages, "seconds": 3600, "isCA": False, "kind": "CertificateSigningRequest"}
    ordered = "same" if purposes == "other-order" else purposes
    monkeypatch.setitem(REQUESTS, "this", Csr(attributes=with_usages(BITS[bits], PURPOSES[ordered])).pem())
    theirs = their_answer(peer, "this", "root-p256", wish)
    monkeypatch.setitem(REQUESTS, "this", Csr(attributes=with_usages(BITS[bits], PURPOSES[purposes])).pem())
    if "error" in theirs:
        assert "encoded CSR error" in theirs["error"]
        with pytest.raises(TemplateError, match=r"^usages: "):
            our_chain("this", "root-p256", wish)
    else:
        compare(our_chain("this", "root-p256", wish), theirs["chain"].encode())


@pytest.mark.parametrize("is_ca", [False, True])
@pytest.mark.parametrize("said", [None, False, True])
def test_the_ca_flag_in_the_csr_is_held_against_the_wish(
    peer: Peer, said: bool | None, is_ca: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where cert-manager refuses a CSR whose BasicConstraints are not those asked for, we do, and nowhere else."""
    extensions = [] if said is None else [craft.extension(craft.BC, craft.seq(craft.TRUE if said else b""), craft.TRUE)]
    monkeypatch.setitem(REQUESTS, "this", Csr(attributes=[craft.ext_request(*extensions)]).pem())
    wish = {"usages": (), "seconds": 3600, "isCA": is_ca, "kind": "CertificateRequest"}
    theirs = their_answer(peer, "this", "root-p256", wish)
    assert ("error" in theirs) == (said is not None and said != is_ca)
    if "error" in theirs:
        with pytest.raises(TemplateError, match=r"^isCA: "):
            our_chain("this", "root-p256", wish)
    else:
        compare(our_chain("this", "root-p256", wish), theirs["chain"].encode())


@pytest.mark.parametrize("kind", ["rsa", "rsa3072", "rsa4096", "p256", "p384", "p521", "ed25519"])
@pytest.mark.parametrize("is_ca", [False, True])
def test_a_self_signed_certificate_equals_cert_managers(peer: Peer, kind: str, is_ca: bool) -> None:
    """SelfSigned issuers make the same certificate too: no authority key identifier, the subject as issuer."""
    key = pki.key(kind)
    subject = craft.seq(craft.rdn((craft.CN, craft.utf8("self"))))
    text = Csr(key=key, subject=subject).pem() if kind != "p521" else pki.csr(key, dns=["a"], subject=pki.name("self"))
    theirs = peer.ask(
        op="selfSign",
        csr=text.decode(),
        tlsKey=encode_key(key).decode(),
        kind="CertificateRequest",
        usages=[],
        seconds=3600,
        isCA=is_ca,
        crlDistributionPoints=["http://a.example"],
    )
    template = template_for(
        read_request(text),
        usages=(),
        duration=timedelta(hours=1),
        is_ca=is_ca,
        now=datetime.now(UTC),
        add_cert_sign=True,
        crl_distribution_points=["http://a.example"],
    )
    compare(self_sign(template, key, serial=new_serial()).pem, theirs["chain"].encode())


CERTIFICATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "common-name": ({"commonName": "a"}, {"subject": Subject(common_name="a")}),
    "common-name-unicode": ({"commonName": "é"}, {"subject": Subject(common_name="é")}),
    "common-name-asterisk": ({"commonName": "*.a"}, {"subject": Subject(common_name="*.a")}),
    "common-name-ampersand": ({"commonName": "a & b"}, {"subject": Subject(common_name="a & b")}),
    "names": (
        {
            "dnsNames": ["b.example", "a.example"],
            "ipAddresses": ["10.0.0.1", "::1", "::ffff:1.2.3.4"],
            "uris": ["spiffe://a/b", "urn:x"],
            "emailAddresses": ["a@b"],
            "otherNames": [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "ü@a"}],
        },
        {
            "dns_names": ["b.example", "a.example"],
            "ip_addresses": ["10.0.0.1", "::1", "::ffff:1.2.3.4"],
            "uris": ["spiffe://a/b", "urn:x"],
            "email_addresses": ["a@b"],
            "other_names": [("1.3.6.1.4.1.311.20.2.3", "ü@a")],
        },
    ),
    "subject": (
        {
            "commonName": "cn",
            "dnsNames": ["a"],
            "subject": {
                "organizations": ["z", "a", "é"],
                "countries": ["DE", "AT"],
                "organizationalUnits": ["u"],
                "localities": ["l"],
                "provinces": ["p"],
                "streetAddresses": ["s 1"],
                "postalCodes": ["12345"],
                "serialNumber": "42",
            },
        },
        {
            "subject": Subject(
                common_name="cn",
                organizations=("z", "a", "é"),
                countries=("DE", "AT"),
                organizational_units=("u",),
                localities=("l",),
                provinces=("p",),
                street_addresses=("s 1",),
                postal_codes=("12345",),
                serial_number="42",
            ),
            "dns_names": ["a"],
        },
    ),
    "ca": ({"commonName": "ca", "isCA": True}, {"subject": Subject(common_name="ca"), "is_ca": True}),
    "usages": (
        {"commonName": "a", "usages": ["client auth", "signing", "s/mime"]},
        {"subject": Subject(common_name="a"), "usages": ["client auth", "signing", "s/mime"]},
    ),
    "only-extended-usages": (
        {"dnsNames": ["a"], "usages": ["server auth"]},
        {"dns_names": ["a"], "usages": ["server auth"]},
    ),
    "usages-not-encoded": (
        {"dnsNames": ["a"], "encodeUsagesInRequest": False},
        {"dns_names": ["a"], "encode_usages": False},
    ),
    "name-constraints": (
        {
            "commonName": "ca",
            "isCA": True,
            "nameConstraints": {
                "critical": True,
                "permitted": {
                    "dnsDomains": ["a.example"],
                    "ipRanges": ["10.1.2.3/16", "fd00::/8"],
                    "emailAddresses": ["b.example"],
                    "uriDomains": [".c.example"],
                },
                "excluded": {"dnsDomains": ["d.example"]},
            },
        },
        {
            "subject": Subject(common_name="ca"),
            "is_ca": True,
            "permitted": {
                "dns": ["a.example"],
                "ip": ["10.1.2.3/16", "fd00::/8"],
                "email": ["b.example"],
                "uri": [".c.example"],
            },
            "excluded": {"dns": ["d.example"]},
            "name_constraints_critical": True,
        },
    ),
}


@pytest.mark.parametrize("kind", ["rsa", "p384", "ed25519"])
@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificates_csr_equals_cert_managers(peer: Peer, name: str, kind: str) -> None:
    """For a Certificate we write the CSR that cert-manager's controller writes, to the byte, but for the signature."""
    spec, ours = CERTIFICATES[name]
    key = pki.key(kind)
    private_key = {"rsa": {}, "p384": {"algorithm": "ECDSA", "size": 384}, "ed25519": {"algorithm": "Ed25519"}}[kind]
    certificate = {"spec": spec | {"privateKey": private_key}}
    theirs = peer.ask(op="compose", certificate=certificate, tlsKey=encode_key(key).decode())
    assert "error" not in theirs
    mine = compose_request(key, **ours)
    left, right = x509.load_pem_x509_csr(mine), x509.load_pem_x509_csr(theirs["csr"].encode())
    assert left.tbs_certrequest_bytes.hex() == right.tbs_certrequest_bytes.hex()
    assert left.signature_algorithm_oid == right.signature_algorithm_oid
    read_request(mine)


LITERALS = (
    "CN=a",
    "CN=foo,OU=bar,O=baz",
    "C=DE, ST=B , L= Berlin,O=x y,OU=1+OU=0,CN=a",
    "DC=com,DC=example,UID=7,SERIALNUMBER=1,STREET=s",
    "CN=a\\,b\\+c\\;d\\=e\\#f\\\\\\ ",
    "CN=Tr\\C3\\A9s bien\\2C 中",
    "CN=#0c0161;O=b",
    "1.2.3.4=x,2.5.4.3=y",
    "1.02.3=x,CN=a",
    "CN=a=b,O==",
    "CN=a*b,O=c&d,OU=e@f",
    "CN=a,CN=b",
    "CN=,O=a",
    "O=no common name",
    "   ",
    "CN=a,",
    "=a",
    "cn=a",
    "E=a@b",
    "CN=a\\zz",
    "CN=a\\",
    "CN=\\ff",
    "3.1=a",
    "1.2.x=a",
    "CN",
    "CN=a+",
)
_PIECES = st.sampled_from(
    [*'CNOULST=,+;\\# aé中"<>*&.0', "CN=", "O=", "OU=", "DC=", "UID=", "1.2.3=", "\\,", "\\2c", "\\c3\\a9", "\\ "]
)


def literal(peer: Peer, subject: str) -> None:
    """Ask both for the CSR of a literal subject: they write the same, or neither writes any."""
    key = pki.key("p256")
    spec = {"dnsNames": ["a"], "literalSubject": subject, "privateKey": {"algorithm": "ECDSA"}}
    theirs = peer.ask(op="compose", certificate={"spec": spec}, tlsKey=encode_key(key).decode())
    if "error" in theirs:
        with pytest.raises(TemplateError, match=r"^literalSubject: "):
            compose_request(key, literal_subject=subject, dns_names=["a"])
        return
    mine = compose_request(key, literal_subject=subject, dns_names=["a"])
    left, right = x509.load_pem_x509_csr(mine), x509.load_pem_x509_csr(theirs["csr"].encode())
    assert left.tbs_certrequest_bytes.hex() == right.tbs_certrequest_bytes.hex(), subject


@pytest.mark.parametrize("subject", LITERALS)
def test_a_literal_subject_is_written_as_cert_manager_writes_it(peer: Peer, subject: str) -> None:
    """Names, order, escapes, identifiers, sets of several: to the byte; what cert-manager refuses is refused."""
    literal(peer, subject)


@settings(max_examples=400, deadline=None)
@given(subject=st.lists(_PIECES, min_size=1, max_size=14).map("".join))
def test_generated_literal_subjects_are_written_as_cert_manager_writes_them(peer: Peer, subject: str) -> None:
    """Whatever is put together of what has a meaning in such a text."""
    literal(peer, subject)


@settings(max_examples=200, deadline=None)
@given(
    names=st.lists(
        st.tuples(
            st.one_of(
                st.just("1.3.6.1.4.1.311.20.2.3"),
                st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5).map(
                    lambda arcs: ".".join(map(str, (arcs[0] % 3, arcs[-1] % 40, *arcs)))
                ),
            ),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        ),
        min_size=1,
        max_size=4,
    ),
    dns=st.lists(st.sampled_from(["a.example", "b"]), max_size=2),
)
def test_generated_other_names_are_written_as_cert_manager_writes_them(
    peer: Peer, names: list[tuple[str, str]], dns: list[str]
) -> None:
    """Identifiers and texts of otherNames, beside other names: to the byte."""
    key = pki.key("p256")
    spec = {
        "dnsNames": dns,
        "otherNames": [{"oid": oid, "utf8Value": text} for oid, text in names],
        "privateKey": {"algorithm": "ECDSA"},
    }
    theirs = peer.ask(op="compose", certificate={"spec": spec}, tlsKey=encode_key(key).decode())
    mine = x509.load_pem_x509_csr(compose_request(key, dns_names=dns, other_names=names))
    assert "error" not in theirs, theirs
    right = x509.load_pem_x509_csr(theirs["csr"].encode())
    assert mine.tbs_certrequest_bytes.hex() == right.tbs_certrequest_bytes.hex()


@pytest.mark.parametrize("ca", ["root-p256", "no-subject"])
@pytest.mark.parametrize("subject", [one for one in LITERALS[:12] if one.strip()])
def test_a_certificate_of_a_literal_subject_equals_cert_managers(
    peer: Peer, subject: str, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is signed for a literal subject and an otherName is what cert-manager signs, to the byte."""
    text = compose_request(
        pki.key("p256"), literal_subject=subject, other_names=[("1.3.6.1.4.1.311.20.2.3", "upn@example")]
    )
    monkeypatch.setitem(REQUESTS, "literal", text)
    wish = {"usages": (), "seconds": 86400, "isCA": False, "kind": "CertificateRequest"}
    theirs = their_answer(peer, "literal", ca, wish)
    assert "error" not in theirs
    compare(our_chain("literal", ca, wish), theirs["chain"].encode())
