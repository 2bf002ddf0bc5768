"""Keys: what is taken, what is refused, and how each signs."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa

from issuers.errors import InvalidAuthority, TemplateError
from issuers.private_key import encode_key, generate_key, load_key
from issuers.x509 import keys
from tests import pki
from tests.vectors import craft

KINDS = {
    "rsa": ("RSA", "SHA256WithRSA"),
    "rsa3072": ("RSA", "SHA384WithRSA"),
    "rsa4096": ("RSA", "SHA512WithRSA"),
    "p256": ("EC", "ECDSAWithSHA256"),
    "p384": ("EC", "ECDSAWithSHA384"),
    "p521": ("EC", "ECDSAWithSHA512"),
    "ed25519": ("Ed25519", "PureEd25519"),
}


def odd(bits: int) -> int:
    return (1 << bits - 1) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_taken_and_signs_its_way(kind: str) -> None:
    """Kind and algorithm follow the key's size and curve as with cert-manager; the signature verifies."""
    key = pki.key(kind)
    expected_kind, expected_name = KINDS[kind]
    spki = keys.public_bytes(key.public_key())
    algorithm = keys.algorithm_for(key)
    assert (keys.check_public_key(spki), algorithm.name, algorithm.kind) == (
        expected_kind,
        expected_name,
        expected_kind,
    )
    assert keys.key_kind(key) == expected_kind
    signature = algorithm.signer(key)(b"data")
    public = keys.load_public_key(spki)
    assert algorithm.verify(public, signature, b"data")
    assert not algorithm.verify(public, signature, b"date")
    assert not algorithm.verify(public, signature[:-1], b"data")
    assert keys.read_signature_algorithm(algorithm.identifier) is algorithm


@pytest.mark.parametrize(("bits", "taken"), [(2047, False), (2048, True), (8192, True), (8193, False)])
def test_rsa_sizes_are_judged_at_their_edges(bits: int, taken: bool) -> None:
    """2048 to 8192 bits, both ends included."""
    spki = craft.rsa_spki(odd(bits), 65537)
    if taken:
        assert keys.check_public_key(spki) == "RSA"
    else:
        with pytest.raises(keys.KeyRefused, match=f"an RSA key of {bits} bits"):
            keys.check_public_key(spki)


@pytest.mark.parametrize("bits", [8199, 8200, 16384])
def test_large_rsa_keys_are_refused_unread(bits: int) -> None:
    """Beyond a byte above the limit the length alone decides; no large number is made."""
    message = "of more than 8192 bits" if bits > 8199 else "an RSA key of 8199 bits"
    with pytest.raises(keys.KeyRefused, match=message):
        keys.check_public_key(craft.rsa_spki(odd(bits), 65537))


@pytest.mark.parametrize(
    ("exponent", "taken"),
    [
        (3, False),
        (65535, False),
        (65536, False),
        (65537, True),
        (65538, False),
        (65539, True),
        (2**31 - 1, True),
        (2**31 + 1, False),
    ],
)
def test_rsa_exponents_are_judged_at_their_edges(exponent: int, taken: bool) -> None:
    """Odd, at least 65537, at most what Go reads."""
    spki = craft.rsa_spki(odd(2048), exponent)
    if taken:
        assert keys.check_public_key(spki) == "RSA"
    else:
        with pytest.raises(keys.KeyRefused, match=f"with exponent {exponent};"):
            keys.check_public_key(spki)


def test_a_signer_needs_a_key_of_its_kind() -> None:
    """An algorithm that does not fit the key is refused before anything is signed."""
    with pytest.raises(keys.KeyRefused, match="SHA256WithRSA, which does not fit"):
        keys.SHA256_WITH_RSA.signer(pki.key("p256"))
    with pytest.raises(keys.KeyRefused, match="ECDSAWithSHA256, which does not fit"):
        keys.ECDSA_WITH_SHA256.signer(pki.key("ed25519"))
    with pytest.raises(keys.KeyRefused, match="PureEd25519, which does not fit"):
        keys.PURE_ED25519.signer(pki.key("rsa"))


def test_a_key_of_another_kind_has_no_algorithm() -> None:
    """A caller that passes such a key hears it at once."""
    other: Any = ed448.Ed448PrivateKey.generate()
    with pytest.raises(keys.KeyRefused, match="a key of a kind other than RSA, EC and Ed25519"):
        keys.algorithm_for(other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["PKCS1", "PKCS8"])
def test_keys_are_written_and_loaded(kind: str, encoding: str) -> None:
    """A key comes back from both encodings, under the labels that cert-manager writes."""
    key = pki.key(kind)
    text = encode_key(key, encoding)
    label = {"RSA": "RSA PRIVATE KEY", "EC": "EC PRIVATE KEY", "Ed25519": "PRIVATE KEY"}[KINDS[kind][0]]
    assert text.startswith(f"-----BEGIN {label if encoding == 'PKCS1' else 'PRIVATE KEY'}-----\n".encode())
    assert keys.public_bytes(load_key(text).public_key()) == keys.public_bytes(key.public_key())


def test_pkcs1_is_the_default_encoding() -> None:
    """As in cert-manager."""
    assert encode_key(pki.key("p256")) == encode_key(pki.key("p256"), "PKCS1")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("algorithm", "size", "expected"),
    [
        ("RSA", None, 2048),
        ("RSA", 3072, 3072),
        ("ECDSA", None, 256),
        ("ECDSA", 256, 256),
        ("ECDSA", 384, 384),
        ("ECDSA", 521, 521),
    ],
)
def test_keys_are_made_in_the_size_asked_for(algorithm: str, size: int | None, expected: int) -> None:
    """The sizes and defaults are those of a Certificate's spec.privateKey; RSA keys have exponent 65537."""
    key = generate_key(algorithm, size)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    assert key.key_size == expected
    assert isinstance(key, rsa.RSAPrivateKey) == (algorithm == "RSA")
    if isinstance(key, rsa.RSAPrivateKey):
        assert key.public_key().public_numbers().e == 65537


def test_ed25519_keys_are_made() -> None:
    """There is only one size, so none is asked for."""
    assert keys.key_kind(generate_key("Ed25519")) == "Ed25519"


@pytest.mark.parametrize(
    ("algorithm", "size", "field"),
    [
        ("RSA", 2047, "privateKey.size"),
        ("RSA", 8193, "privateKey.size"),
        ("RSA", 1024, "privateKey.size"),
        ("ECDSA", 224, "privateKey.size"),
        ("ECDSA", 512, "privateKey.size"),
        ("DSA", None, "privateKey.algorithm"),
        ("rsa", None, "privateKey.algorithm"),
        ("", None, "privateKey.algorithm"),
    ],
)
def test_keys_of_other_kinds_are_not_made(algorithm: str, size: int | None, field: str) -> None:
    """The refusal names the Certificate's field."""
    with pytest.raises(TemplateError) as refused:
        generate_key(algorithm, size)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")


def test_the_sizes_that_are_allowed_reach_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """2048 and 8192 are asked of the library as they are (making an 8192 key here would take a minute)."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        rsa, "generate_private_key", lambda public_exponent, key_size: asked.append((public_exponent, key_size))
    )
    for size in (2048, 8192):
        generate_key("RSA", size)
    assert asked == [(65537, 2048), (65537, 8192)]


def test_another_encoding_is_refused() -> None:
    """An encoding that does not exist is a wish that cannot be met."""
    with pytest.raises(TemplateError, match=r"^privateKey.encoding: 'PKCS12' is not PKCS1 or PKCS8$"):
        encode_key(pki.key("p256"), "PKCS12")


def traditional(password: bytes) -> bytes:
    key = pki.key("p256")
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(password))


def dsa_key() -> bytes:
    # 1024 bits are quick to make, and the kind is what is refused.
    key = dsa.generate_private_key(1024)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def other_key(key: object) -> bytes:
    assert isinstance(key, ed448.Ed448PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


GOOD_KEY = pki.key_pem(pki.key("p256"))
BAD_KEYS = {
    "empty": (b"", "InvalidKey", "it is empty"),
    "white space": (b" \n", "InvalidKey", "it is empty"),
    "no block": (b"key", "InvalidKey", "there is no PEM block"),
    "unfinished": (GOOD_KEY[:80], "InvalidKey", "a PEM block without its END line"),
    "a certificate": (
        pki.CA("x", now=pki.ANY_TIME).pem,
        "InvalidKey",
        "a PEM block 'CERTIFICATE' where a private key is expected",
    ),
    "a public key": (
        pki.key("p256")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "InvalidKey",
        "a PEM block 'PUBLIC KEY' where a private key is expected",
    ),
    "two keys": (GOOD_KEY * 2, "InvalidKey", "more than one PEM block"),
    "encrypted": (
        pki.key_pem(pki.key("p256"), b"secret"),
        "EncryptedKey",
        "the private key is encrypted; no passphrase can be given",
    ),
    "encrypted, old form": (traditional(b"secret"), "EncryptedKey", "a PEM block with headers: it is encrypted"),
    "headers": (
        GOOD_KEY.replace(b"-----\n", b"-----\nA: b\n\n", 1),
        "InvalidKey",
        "a PEM block with headers",
    ),
    "not DER": (
        craft.pem(b"\x30\x03\x02\x01\x00", "PRIVATE KEY"),
        "InvalidKey",
        "the private key is broken or of an unknown kind",
    ),
    "DSA": (dsa_key(), "InvalidKey", "a private key of a kind other than RSA, EC and Ed25519"),
    "Ed448": (
        other_key(ed448.Ed448PrivateKey.generate()),
        "InvalidKey",
        "a private key of a kind other than RSA, EC and Ed25519",
    ),
    "P-224": (
        other_key(ec.generate_private_key(ec.SECP224R1())),
        "WeakKey",
        "an EC key on curve secp224r1; P-256, P-384 and P-521 are accepted",
    ),
    "RSA 1024": (
        pki.key_pem(pki.key("rsa1024")),
        "WeakKey",
        "an RSA key of 1024 bits; 2048 to 8192 are accepted",
    ),
    "RSA exponent 3": (
        other_key(rsa.generate_private_key(public_exponent=3, key_size=2048)),
        "WeakKey",
        "an RSA key with exponent 3; odd ones from 65537 are accepted",
    ),
    "too long": (GOOD_KEY + b"\n" * 8192, "InvalidKey", f"{len(GOOD_KEY) + 8192} bytes are too many for a private key"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_must_not_sign_is_refused(name: str) -> None:
    """Reason, field and message say what is wrong with it."""
    text, reason, message = BAD_KEYS[name]
    with pytest.raises(InvalidAuthority) as refused:
        load_key(text, field="k")
    assert (refused.value.reason, refused.value.field, str(refused.value)) == (reason, "k", f"k: {message}")


def test_the_size_limit_of_a_key_is_exact() -> None:
    """8 KiB are read: an RSA-8192 key has 6.4."""
    load_key(GOOD_KEY + b"\n" * (8192 - len(GOOD_KEY)))
    with pytest.raises(InvalidAuthority, match="8193 bytes"):
        load_key(GOOD_KEY + b"\n" * (8193 - len(GOOD_KEY)))


def test_parameters_before_a_key_are_passed_over() -> None:
    """`openssl ecparam -genkey` writes them."""
    text = craft.pem(craft.oid("1.2.840.10045.3.1.7"), "EC PARAMETERS") + encode_key(pki.key("p256"))
    assert keys.public_bytes(load_key(text).public_key()) == keys.public_bytes(pki.key("p256").public_key())


def test_no_message_quotes_a_key() -> None:
    """Not a single line of the key stands in what people and logs get to see."""
    lines = GOOD_KEY.splitlines()[1:-1]
    for broken in (GOOD_KEY * 2, GOOD_KEY.replace(b"END", b"ENT"), GOOD_KEY.replace(b"PRIVATE", b"PUBLIC")):
        with pytest.raises(InvalidAuthority) as refused:
            load_key(broken)
        assert not any(line.decode() in str(refused.value) for line in lines)
        assert refused.value.__cause__ is None
