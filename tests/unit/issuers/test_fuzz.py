"""Whatever the bytes: a reading or one of the named refusals, no other error, no warning, no long wait."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from issuers.authority import load_authority
from issuers.certificate import sign, template_for
from issuers.errors import InvalidAuthority, MalformedRequest, TemplateError
from issuers.private_key import load_key
from issuers.request import read_request
from issuers.x509.pem import read_blocks
from tests import pki
from tests.examples import examples
from tests.vectors import craft
from tests.vectors.craft import Csr

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SECRET = pki.CA("root", now=NOW).secret()
AUTHORITY = load_authority(SECRET["tls.crt"], SECRET["tls.key"], SECRET["ca.crt"], now=NOW)
FUZZ = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])

GOOD = Csr(
    subject=craft.seq(craft.rdn((craft.CN, craft.utf8("foo")))),
    attributes=[
        craft.ext_request(
            craft.san(craft.uri(craft.FOO), craft.dns("a"), craft.email("a@b"), craft.ip(bytes(4))),
            craft.extension(craft.KU, craft.bits(b"\xa0", 5), craft.TRUE),
            craft.extension(craft.EKU, craft.seq(craft.oid("1.3.6.1.5.5.7.3.1"))),
            craft.extension(craft.BC, craft.seq(), craft.TRUE),
            craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a"))))),
        ),
    ],
)
RSA = Csr(key=pki.key("rsa"))


def read(text: bytes) -> bool:
    """Whether it was taken; if so it can be signed too, or is refused by name."""
    refusal: MalformedRequest | None = None
    try:
        request = read_request(text)
    except MalformedRequest as error:
        refusal = error
    if refusal is not None:
        assert refusal.field.startswith("request")
        assert str(refusal).startswith(f"{refusal.field}: ")
        assert str(refusal).isprintable()
        return False
    try:
        template = template_for(
            request,
            usages=("digital signature", "key encipherment", "server auth"),
            duration=timedelta(hours=1),
            is_ca=False,
            now=NOW,
        )
    except TemplateError:
        return True
    sign(template, AUTHORITY, serial=1)
    return True


@FUZZ
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    """As text, as PEM around them, and as the content of a CSR."""
    assert not read(data)
    read(craft.pem(data))
    read(craft.pem(craft.seq(data)))


@pytest.mark.heavy
@FUZZ
@given(st.data())
@pytest.mark.parametrize("base", [GOOD, RSA], ids=["P-256", "RSA"])
def test_changed_requests(base: Csr, data: st.DataObject) -> None:
    """Bytes replaced, cut or put in anywhere, and signed anew: nothing hides behind the signature."""
    info = bytearray(base.info())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(info) - 1))
        kind = data.draw(st.sampled_from(("replace", "insert", "delete")))
        if kind == "delete" and len(info) > 1:
            del info[place]
        elif kind == "insert":
            info[place:place] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            info[place] = data.draw(st.integers(0, 255))
    signature = craft.bits(base._sign(bytes(info)))
    read(craft.pem(craft.seq(bytes(info), base._algorithm(), signature)))
    whole = bytearray(base.der())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert not read(craft.pem(bytes(whole)))


@FUZZ
@given(st.binary(max_size=60), st.sampled_from([0x81, 0x82, 0x86, 0x87, 0x88, 0xA0, 0xA4, 0x0C, 0x30]))
def test_arbitrary_names(content: bytes, tag: int) -> None:
    """Any bytes as a name of any kind; what is taken is plain text."""
    text = Csr(attributes=[craft.ext_request(craft.san(craft.tlv(tag, content)))]).pem()
    if read(text):
        request = read_request(text)
        for name in (*request.dns_names, *request.email_addresses, *request.uris):
            assert name.encode("ascii") == content
            assert name.isprintable()
            assert " " not in name


@FUZZ
@given(st.binary(max_size=40), st.sampled_from([0x0C, 0x12, 0x13, 0x14, 0x16, 0x1C, 0x1E, 0x02]))
def test_arbitrary_subjects(content: bytes, tag: int) -> None:
    """Any bytes as a common name of any kind; what is taken has no control character."""
    text = Csr(subject=craft.seq(craft.rdn((craft.CN, craft.tlv(tag, content))))).pem()
    if read(text):
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in read_request(text).subject)


@FUZZ
@given(st.data())
def test_changed_secrets(data: st.DataObject) -> None:
    """A Secret with changed bytes loads as it was, or is refused with a reason and a field."""
    field = data.draw(st.sampled_from(("tls.crt", "tls.key", "ca.crt")))
    changed = bytearray(SECRET[field])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    secret = SECRET | {field: bytes(changed)}
    refusal: InvalidAuthority | None = None
    try:
        loaded = load_authority(secret["tls.crt"], secret["tls.key"], secret["ca.crt"], now=NOW)
    except InvalidAuthority as error:
        refusal = error
    if refusal is not None:
        assert refusal.reason.isalpha()
        assert refusal.field in ("tls.crt", "tls.key", "ca.crt")
    else:
        # Only bytes of no meaning were touched (line ends), or the self-signature of the copy in ca.crt.
        assert loaded.key_id == AUTHORITY.key_id


@FUZZ
@given(st.binary(max_size=200))
def test_arbitrary_certificates_and_keys(content: bytes) -> None:
    """Any bytes in the right PEM."""
    for text in (content, craft.pem(content, "CERTIFICATE"), craft.pem(craft.seq(content), "CERTIFICATE")):
        with pytest.raises(InvalidAuthority):
            load_authority(text, SECRET["tls.key"], None, now=NOW)
    for label in ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"):
        with pytest.raises(InvalidAuthority):
            load_key(craft.pem(content, label))


@pytest.mark.heavy
@FUZZ
@given(st.data())
def test_changed_certificates(data: st.DataObject) -> None:
    """A certificate whose DER was changed is refused, or its change is of no account (the self-signature)."""
    der = bytearray(read_blocks(SECRET["tls.crt"])[0][1])
    place = data.draw(st.integers(0, len(der) - 1))
    der[place] = data.draw(st.integers(0, 255))
    try:
        loaded = load_authority(craft.pem(bytes(der), "CERTIFICATE"), SECRET["tls.key"], None, now=NOW)
    except InvalidAuthority:
        return
    assert loaded.key_id == AUTHORITY.key_id


SLOW = {
    "a long URI without its end": craft.san(craft.uri("spiffe://" + "a." * 20000 + "/")),
    "a long user part": craft.san(craft.uri("spiffe://" + "a" * 40000)),
    "a host of labels": craft.san(craft.uri("spiffe://" + "a.b:" * 10000)),
    "many escapes": craft.san(craft.uri("spiffe://a/" + "%61" * 13000 + "%6")),
    "many queries": craft.san(craft.uri("x:" + "?" * 40000 + "#" * 3)),
    "many names": craft.san(*[craft.dns("a")] * 13000),
    "a name constraint of dots": craft.extension(
        craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a." * 20000))))
    ),
    "a mailbox of dots": craft.extension(
        craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.email("a." * 20000 + "@"))))
    ),
    "many extensions": b"".join(craft.extension(f"1.2.{n}", b"") for n in range(4000)),
    "many usages": craft.extension(craft.EKU, craft.seq(craft.oid("1.2.3") * 10000)),
    "a long identifier": craft.seq(craft.tlv(0x06, b"\x2a" + b"\x81\x01" * 20000), b"\x04\x00"),
    "a long key usage": craft.extension(craft.KU, craft.bits(b"\xff" * 40000)),
}


@pytest.mark.parametrize("name", SLOW)
def test_hostile_requests_are_not_dear(name: str) -> None:
    """The largest and nastiest 64 KiB cost less than a second (they take a few milliseconds; honest ones a tenth)."""
    text = Csr(attributes=[craft.ext_request(SLOW[name])]).pem()
    assert len(text) < 65536
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 1


def test_a_hostile_secret_is_not_dear() -> None:
    """Texts full of BEGIN lines are read in one pass."""
    start = time.process_time()
    for text in (
        b"-----BEGIN A-----\n" * 7000,
        b"-----BEGIN " * 10000,
        b"-----BEGIN A-----\nAAAA\n-----END A-----\n" * 3000,
    ):
        with pytest.raises(InvalidAuthority):
            load_authority(text, b"", None, now=NOW)
    assert time.process_time() - start < 1


def test_random_bytes_of_every_length() -> None:
    """Short random texts of each length, as a last net."""
    chance = random.Random(1)
    for length in range(200):
        read(craft.pem(chance.randbytes(length)))
