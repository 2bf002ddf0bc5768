"""CSRs: taken with the names that Go reads, or refused by the field; what is taken can be signed, and only Istio's form passes the wall's rule.

An input is the DER of a CertificationRequestInfo, which is signed here, or a PEM text as it is.
"""

import random
from datetime import UTC, datetime, timedelta

from issuers.certificate import self_sign, template_for
from issuers.errors import MalformedRequest, TemplateError
from issuers.request import SigningRequest, read_request
from signer.tenancy.rules import Identity, identify
from tests.fuzz import mutate as mutations
from tests.fuzz import peer
from tests.localmesh.certmanagerpki import assert_go_reads_the_same
from tests.vectors import craft

KEY = craft.Csr().key
NOW = datetime(2026, 11, 22, tzinfo=UTC)
WORDS = (
    craft.uri(craft.FOO),
    craft.uri("https://a:8@b.example:443/c%20d?e#f"),
    craft.dns("*.a.example"),
    craft.email("a@b.example"),
    craft.ip(bytes(10) + b"\xff\xff" + bytes(4)),
    craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, craft.utf8("x"))),
    craft.tlv(0xA4, craft.seq(craft.rdn((craft.CN, craft.utf8("foo"))))),
    b"\x88" + craft.oid("1.2.3")[1:],
    craft.rdn((craft.CN, craft.utf8("foo"))),
    craft.rdn((craft.ORGANIZATION, craft.printable("a")), (craft.UNIT, craft.tlv(0x1E, b"\x00M\x00\xfc"))),
    craft.san(craft.dns("a")),
    craft.extension(craft.KU, craft.bits(b"\xa0", 5), craft.TRUE),
    craft.extension(craft.EKU, craft.seq(craft.oid("1.3.6.1.5.5.7.3.1"))),
    craft.extension(craft.BC, craft.seq(craft.TRUE, craft.integer(0)), craft.TRUE),
    craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.ip(bytes([10, 0, 0, 0, 255, 0, 0, 0])))))),
    craft.ext_request(craft.san(craft.uri(craft.BAR))),
    craft.ext_request(craft.san(craft.uri(craft.BAR)), kind=craft.MICROSOFT),
    craft.attribute("1.2.840.113549.1.9.7", craft.utf8("x")),
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    text = data
    if not data.startswith(b"-----"):
        text = craft.pem(craft.seq(data, craft.SHA256_ECDSA, craft.bits(craft.Csr(key=KEY)._sign(data))))
    try:
        request = read_request(text)
    except MalformedRequest as error:
        assert error.field.startswith("request")
        assert str(error).isprintable()
        return
    assert bool(request.subject) == (request.subject_der != craft.seq())
    identity = identify(request)
    if isinstance(identity, Identity) and identity.spiffe_id is not None:
        assert (request.uris, request.names.others) == ((str(identity),), 0)
        assert (request.dns_names, request.ip_addresses, request.email_addresses) == ((), (), ())
        assert request.subject_der in (craft.seq(), craft.EMPTY_O)
    if request.spki == craft.spki(KEY):
        _sign(request)
    if peer.go is not None:
        assert_go_reads_the_same(peer.go, text, request)


def _sign(request: SigningRequest) -> None:
    """Sign it, whose result is compared with the template before it is given."""
    usages = (*(request.key_usages or ()), *(request.extended_key_usages or ()))
    try:
        template = template_for(request, usages=usages, duration=timedelta(hours=1), is_ca=bool(request.is_ca), now=NOW)
    except TemplateError as error:
        assert error.field in {"usages", "isCA"}
        return
    self_sign(template, KEY, serial=1)


def mutate(data: bytes, chance: random.Random, change: mutations.Bytes) -> bytes:
    """Change one element."""
    return change(data) if data.startswith(b"-----") else mutations.der(data, chance, change, WORDS)
