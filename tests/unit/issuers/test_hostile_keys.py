"""Keys that were made to be dear: whoever may write a Secret, an object or an answer chooses the numbers in it."""

import base64
import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.acme.account import BadAccount
from issuers.acme.account import load_key as load_account_key
from issuers.acme.chain import read_chain
from issuers.acme.errors import MalformedAnswer
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish
from issuers.chain import chain_certificate
from issuers.errors import InvalidAuthority, MalformedRequest
from issuers.private_key import load_key
from issuers.request import read_request
from issuers.x509 import der, keys, loading, pem
from signer.api.secret import Secret
from signer.api.tls_secret import key_pair, leaf_of
from signer.certificates.requests.steps import NoKey, usable_key
from signer.certificates.secrets.content import IssuedData
from signer.certificates.secrets.keystores import NoKeystore, _certificates
from signer.certificates.secrets.trust import longest, trusted_until
from signer.certificates.secrets.view import inspect
from signer.edge.issuers.spec import _bundle_problem
from signer.tenancy.ca_keys import _read
from signer.tenancy.meshconfig.edit import _read_roots
from tests import pki
from tests.examples import examples
from tests.vectors import craft

private_key = importlib.import_module("issuers.private_key")
NOW = pki.ANY_TIME
RSA, PKCS8, SEC1 = "RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY"
_NUMBERS = rsa.generate_private_key(65537, 2048).private_numbers()
GOOD = (
    _NUMBERS.public_numbers.n,
    _NUMBERS.public_numbers.e,
    _NUMBERS.d,
    _NUMBERS.p,
    _NUMBERS.q,
    _NUMBERS.dmp1,
    _NUMBERS.dmq1,
    _NUMBERS.iqmp,
)
N, E, D, P, Q, DP, DQ, QI = range(8)


def mersenne(bits: int) -> int:
    return (1 << bits) - 1


def rsa_key(changes: dict[int, int] | None = None, numbers: tuple[int, ...] = GOOD) -> bytes:
    changed = changes or {}
    parts = [changed.get(place, number) for place, number in enumerate(numbers)]
    return der.sequence(*(der.integer(number) for number in (0, *parts)))


def valid_rsa(p: int, q: int, e: int = 65537) -> bytes:
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa_key(numbers=(p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)))


def pkcs8(algorithm: str, parameters: bytes, key: bytes) -> bytes:
    kind = der.sequence(craft.oid(algorithm), parameters)
    return der.sequence(der.integer(0), kind, der.tlv(der.OCTET_STRING, key))


def with_numbers(*numbers: int) -> bytes:
    return der.sequence(*(der.integer(number) for number in numbers))


DSA, DH, DHX, PSS = "1.2.840.10040.4.1", "1.2.840.113549.1.3.1", "1.2.840.10046.2.1", "1.2.840.113549.1.1.10"
# What each would cost with the library's own checks, or with the first signature: from half a second to hours.
PRIVATE: dict[str, tuple[str, bytes]] = {
    "valid-of-8676-bits": (RSA, valid_rsa(mersenne(4253), mersenne(4423))),
    "valid-of-19630-bits": (RSA, valid_rsa(mersenne(9689), mersenne(9941))),
    "the-same-in-pkcs8": (
        PKCS8,
        pkcs8("1.2.840.113549.1.1.1", der.tlv(5, b""), valid_rsa(mersenne(4253), mersenne(4423))),
    ),
    "one-prime-of-16001-bits": (RSA, rsa_key({P: mersenne(16001), DP: mersenne(16000)})),
    "the-other-prime-of-16001-bits": (RSA, rsa_key({Q: mersenne(16001), DQ: mersenne(16000)})),
    "both-primes-large": (RSA, rsa_key({P: mersenne(11213), Q: mersenne(11213), DP: mersenne(9000)})),
    "one-part-of-20000-bits": (RSA, rsa_key({DP: mersenne(20000)})),
    "the-other-part-of-20000-bits": (RSA, rsa_key({DQ: mersenne(20000)})),
    "private-exponent-of-40000-bits": (RSA, rsa_key({D: mersenne(40000)})),
    "coefficient-of-40000-bits": (RSA, rsa_key({QI: mersenne(40000)})),
    "public-exponent-of-2047-bits": (RSA, rsa_key({E: mersenne(2047)})),
    "public-exponent-of-30000-bits": (RSA, rsa_key({E: mersenne(30000)})),
    "no-primes": (RSA, rsa_key({P: 1, Q: 1, DP: 1, DQ: 1, QI: 1})),
    "primes-of-nothing": (RSA, rsa_key({P: 0, Q: 0, DP: 0, DQ: 0, QI: 0})),
    "three-primes": (RSA, der.sequence(der.integer(1), *(der.integer(n) for n in GOOD), with_numbers(3, 5, 7))),
    "rsa-pss": (PKCS8, pkcs8(PSS, b"", rsa_key())),
    "dsa-of-16001-bits": (
        PKCS8,
        pkcs8(DSA, with_numbers(mersenne(16001), mersenne(256), 3), der.integer(mersenne(9000))),
    ),
    "dsa-of-the-old-form": (RSA, with_numbers(0, mersenne(9941), mersenne(256), 3, 3, mersenne(9000))),
    "dsa-as-ec": (SEC1, pkcs8(DSA, with_numbers(mersenne(9689), mersenne(9689), 3), der.integer(mersenne(9688)))),
    "dh-of-16001-bits": (PKCS8, pkcs8(DH, with_numbers(mersenne(16001), 3), der.integer(mersenne(16000)))),
    "dhx-of-9941-bits": (PKCS8, pkcs8(DHX, with_numbers(mersenne(9941), 3, 7), der.integer(mersenne(9940)))),
    "a-text-of-a-mebibyte": (RSA, bytes(1 << 19)),
}
LEAF = pki.CA("leaf", now=NOW)


def secret(**data: bytes) -> Secret:
    found: Secret = msgspec.convert({"metadata": {"name": "tls", "namespace": "foo", "uid": "u"}}, Secret)
    return msgspec.structs.replace(found, data={f"tls.{name}": value for name, value in data.items()})


def refused(read: Callable[[bytes], Any], *errors: type[Exception]) -> Callable[[bytes], bool]:
    def ask(text: bytes) -> bool:
        try:
            read(text)
        except errors:
            return True
        return False

    return ask


# Each place that reads somebody's private key, and whether it refuses one.
READERS: dict[str, Callable[[bytes], bool]] = {
    "a CA's": refused(load_key, InvalidAuthority),
    "an account's": refused(load_account_key, BadAccount),
    "a Certificate's": lambda text: inspect(secret(crt=LEAF.pem, key=text)).key is None,
    "a gateway's": lambda text: key_pair(secret(crt=LEAF.pem, key=text)) is None,
    "of a self-signed request": lambda text: isinstance(usable_key(secret(key=text), signs=False), NoKey),
}


@pytest.mark.heavy
@pytest.mark.parametrize("place", READERS)
@pytest.mark.parametrize("name", PRIVATE)
def test_private_keys(name: str, place: str) -> None:
    """A private key that is dear is refused before anything is reckoned with it, wherever it is read."""
    assert READERS[place](pem.encode(*PRIVATE[name]))


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["rsa", "rsa4096", "p256", "p384", "p521", "ed25519"])
@pytest.mark.parametrize("place", READERS)
def test_honest_private_keys(place: str, kind: str) -> None:
    """The same places take an honest key, so that a refusal says something."""
    key = pki.key(kind)
    leaf = pki.CA("honest", now=NOW, private=key)
    readers = dict(READERS)
    readers["a gateway's"] = lambda text: key_pair(secret(crt=leaf.pem, key=text)) is None
    assert readers[place](pki.key_pem(key)) == (place == "an account's" and kind == "ed25519")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 7), st.tuples(st.integers(0, 45_000), st.integers(0, 1 << 64)), min_size=1, max_size=4
    )
)
def test_no_large_number_is_reckoned_with(changes: dict[int, tuple[int, int]]) -> None:
    """Whatever the numbers of an RSA key are: one that gets as far as a signature has none larger than its modulus."""
    tried: list[rsa.RSAPrivateNumbers] = []
    text = pem.encode(RSA, rsa_key({place: (1 << bits) ^ low for place, (bits, low) in changes.items()}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(private_key, "_signs", lambda key, _algorithm: tried.append(key.private_numbers()))
        with pytest.raises(InvalidAuthority):
            load_key(text)
    for one in tried:
        n = one.public_numbers.n
        assert n.bit_length() <= keys.MAX_RSA_BITS
        assert max(one.p, one.q, one.d, one.dmp1, one.dmq1, one.iqmp, one.public_numbers.e) <= n


def dear(spki: bytes) -> bytes:
    """A certificate in PEM with this SubjectPublicKeyInfo, put into one of an honest CA's."""
    honest = LEAF.certificate
    old = craft.spki(LEAF.private)
    tbs = honest.tbs_certificate_bytes
    start = tbs.index(old)
    pos, _ = der.only(tbs, 0, len(tbs), der.SEQUENCE)
    body = der.tlv(der.SEQUENCE, tbs[pos:start] + spki + tbs[start + len(old) :])
    algorithm = keys.ECDSA_WITH_SHA256
    signature = algorithm.signer(LEAF.private)(body)
    return pem.encode("CERTIFICATE", der.sequence(body, algorithm.identifier, der.bit_string(signature)))


def other_spki(algorithm: str, parameters: bytes, key: bytes) -> bytes:
    return der.sequence(der.sequence(craft.oid(algorithm), parameters), der.bit_string(key))


MODULUS = pki.key("rsa3072").public_key().public_numbers().n  # type: ignore[union-attr]
PUBLIC = {
    "exponent-as-long-as-its-modulus": craft.rsa_spki(MODULUS, mersenne(3071)),
    "exponent-of-64-bits": craft.rsa_spki(MODULUS, mersenne(64)),
    "exponent-of-33-bits-and-more": craft.rsa_spki(MODULUS, mersenne(41)),
    "exponent-longer-than-its-modulus": craft.rsa_spki(MODULUS, mersenne(20000)),
    "rsa-of-8200-bits": craft.rsa_spki(mersenne(8200), 65537),
    "rsa-of-16384-bits": craft.rsa_spki(mersenne(16384), 65537),
    "rsa-of-100000-bits": craft.rsa_spki(mersenne(100_000), 65537),
    "pss-with-a-large-exponent": other_spki(PSS, b"", with_numbers(MODULUS, mersenne(3071))),
    "dsa-of-10000-bits": other_spki(DSA, with_numbers(mersenne(9941), mersenne(256), 3), der.integer(mersenne(9900))),
    "dh-of-16001-bits": other_spki(DH, with_numbers(mersenne(16001), 3), der.integer(7)),
    "no-key-at-all": der.sequence(),
}
WISH = Wish(identifiers(("leaf.example",)), None, None)
HONEST = [pem.read_blocks(LEAF.pem)[0][1], pem.find_request(pki.workload_csr("foo"))]
KEY_OF_SECRET = pki.key("p256", 5)


def issued(text: bytes) -> IssuedData:
    return IssuedData(b"", text, text, None)


# Each place that reads somebody's certificate, and whether it takes it for none.
CERTIFICATE_READERS: dict[str, Callable[[bytes], bool]] = {
    "a list": refused(loading.certificates, loading.Unreadable),
    "one": refused(lambda text: loading.certificate(pem.read_blocks(text)[0][1]), loading.Unreadable),
    "those that can be read": lambda text: list(loading.readable_certificates(text)) == [],
    "a Secret's": lambda text: leaf_of(text) is None,
    "a Certificate's": lambda text: inspect(secret(crt=text)).leaf is None,
    "trust, as a chain": lambda text: trusted_until(text, LEAF.pem) is None,
    "trust, as a root": lambda text: trusted_until(LEAF.pem, text) is None,
    "the longest trust": lambda text: longest(issued(text), issued(text), None).chain == text,
    "a keystore's": refused(lambda text: _certificates("tls.crt", text), NoKeystore),
    "an ACME server's": refused(lambda text: read_chain(text, WISH, KEY_OF_SECRET, NOW), MalformedAnswer),
    "an ACME issuer's bundle": lambda text: bool(_bundle_problem(text)),
    "the mesh config's": lambda text: _read(text.decode()) == {},
    "the mesh config's, to be edited": lambda text: _read_roots(text.decode()) == [],
    "a CA's chain": refused(lambda text: chain_certificate(pem.read_blocks(text)[0][1]), keys.KeyRefused, der.DerError),
}


@pytest.mark.heavy
@pytest.mark.parametrize("place", CERTIFICATE_READERS)
@pytest.mark.parametrize("name", PUBLIC)
def test_certificates(name: str, place: str) -> None:
    """A certificate with a key that is dear counts as none, wherever it is read; nothing is verified with it."""
    assert CERTIFICATE_READERS[place](dear(PUBLIC[name]))


def test_a_root_that_is_dear_hides_no_other() -> None:
    """Beside a root that is not looked at, an honest one is still found; and the weak old roots are no trouble."""
    leaf = LEAF.intermediate("below", is_ca=False)
    weak = dear(craft.rsa_spki(MODULUS, 3))
    bundle = dear(PUBLIC["exponent-as-long-as-its-modulus"]) + weak + LEAF.pem
    assert trusted_until(leaf.pem, bundle) == LEAF.certificate.not_valid_after_utc
    assert len(loading.certificates(weak)) == 1


@pytest.mark.parametrize("name", PUBLIC)
def test_requests(name: str) -> None:
    """A request with a key that is dear is refused before its signature is looked at."""
    info = der.sequence(der.integer(0), der.sequence(), PUBLIC[name], der.tlv(0xA0, b""))
    request = der.sequence(info, keys.ECDSA_WITH_SHA256.identifier, der.bit_string(b"\x30\x00"))
    text = pem.encode("CERTIFICATE REQUEST", request)
    with pytest.raises(loading.Unreadable):
        loading.request(text)
    with pytest.raises(loading.Unreadable):
        loading.request(request)
    with pytest.raises(MalformedRequest):
        read_request(text)


def test_many_roots() -> None:
    """Of a ca.crt with hundreds of roots of the right name, no more than a hundred are held against the chain."""
    subject = pki.name("root")
    below = pki.CA("root", now=NOW).intermediate("leaf", is_ca=False)
    asked = []
    others = [pki.CA("root", now=NOW, private=pki.key("p256", 7), subject=subject).pem] * 300
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loading, "signed_by", lambda lower, upper: asked.append((lower, upper)))
        assert trusted_until(below.pem, b"".join(others)) is None
    assert len(asked) <= 100


@settings(max_examples=examples(80), deadline=None)
@given(st.data())
def test_changed_certificates_and_requests(data: st.DataObject) -> None:
    """Whatever bytes are changed, a reader gives a value or says that it is unreadable, and nothing else happens."""
    good = data.draw(st.sampled_from(HONEST))
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    for read in (loading.certificate, loading.request):
        try:
            read(bytes(changed))
        except loading.Unreadable:
            continue


async def test_the_questions_of_a_request() -> None:
    """A Secret whose certificate is dear counts as a CA's: its key signs nothing, and nothing is reckoned with it."""
    questions = importlib.import_module("signer.csr.questions")
    for spki in PUBLIC.values():
        data = {"tls.crt": dear(spki), "tls.key": LEAF.key_pem}
        encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        assert isinstance(await questions.key_in({"data": encoded}), NoKey | questions.NoKey)


def test_dear_certificates_are_certificates() -> None:
    """The certificates of this table are well-formed but for their keys: with an honest key the same one is read."""
    assert loading.certificates(dear(craft.spki(pki.key("rsa"))))[0].subject == LEAF.name
    assert isinstance(loading.certificates(LEAF.pem)[0], x509.Certificate)
    assert LEAF.certificate.not_valid_after_utc > NOW + timedelta(days=1)
