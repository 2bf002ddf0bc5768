"""What stands where PEM should: each reader of PEM says what it is, and none shows a byte of it."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from issuers.authority import load_authority
from issuers.errors import InvalidAuthority, MalformedRequest
from issuers.private_key import load_key
from issuers.request import read_request
from issuers.x509.not_pem import instead_of_pem
from signer.certificates.secrets.view import read_key, read_leaf
from signer.injector.bundle import defect_of
from tests import pki

CA = pki.CA("root", now=pki.ANY_TIME)
CSR = pki.workload_csr("foo", "web")


def der_of(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(line for line in pem.splitlines() if not line.startswith(b"-----")))


# How a text may be spoilt, and what is then said of it.
SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "base64 of PEM": (base64.b64encode, "it is base64 of PEM"),
    "in lines": (base64.encodebytes, "it is base64 of PEM"),
    "three times": (lambda pem: base64.b64encode(base64.b64encode(pem)), "it is base64 of base64"),
    "DER": (der_of, "it is DER"),
    "base64 of DER": (lambda pem: base64.b64encode(der_of(pem)), "it is base64 without BEGIN and END"),
    "\\n": (lambda pem: pem.replace(b"\n", b"\\n"), "the two characters \\ and n"),
    "one line": (lambda pem: pem.replace(b"\n", b" "), "its line ends are gone"),
    "indented": (
        lambda pem: b"".join(b"  " + line for line in pem.splitlines(keepends=True)),
        "its lines are indented",
    ),
    "UTF-16": (lambda pem: pem.decode().encode("utf-16"), "it is UTF-16"),
}


def of_ca(text: bytes) -> str:
    return refusal(lambda: load_authority(text, CA.key_pem, None, now=CA.now))


def of_root(text: bytes) -> str:
    return refusal(lambda: load_authority(CA.pem, CA.key_pem, text, now=CA.now))


def of_key(text: bytes) -> str:
    return refusal(lambda: load_key(text))


def of_request(text: bytes) -> str:
    return refusal(lambda: read_request(text, one_block=False))


def of_mesh_request(text: bytes) -> str:
    return refusal(lambda: read_request(text, one_block=True))


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises((InvalidAuthority, MalformedRequest)) as caught:
        read()
    return str(caught.value)


READERS: dict[str, tuple[bytes, Callable[[bytes], str]]] = {
    "tls.crt of a CA": (CA.pem, of_ca),
    "ca.crt of a CA": (CA.pem, of_root),
    "tls.key of a CA": (CA.key_pem, of_key),
    "request": (CSR, of_request),
    "tls.key of a Certificate": (CA.key_pem, lambda text: read_key(text)[1]),
    "tls.crt of a Certificate": (CA.pem, lambda text: read_leaf(text)[1]),
    "CA bundle": (CA.pem, defect_of),
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("reader", READERS)
def test_each_reader_says_what_it_is(reader: str, spoilt: str) -> None:
    """Whatever is read as PEM and spoilt in whatever way: the message says what it is, and holds nothing of it."""
    good, read = READERS[reader]
    spoil, said = SPOILT[spoilt]
    text = spoil(good)
    message = read(text)
    if reader == "tls.crt of a Certificate" and spoilt in ("one line", "indented"):
        assert message == ""  # the library finds the block all the same
        return
    assert said in message
    assert not any(text[at : at + 12].decode("latin-1") in message for at in range(60, len(text) - 80, 5))


@pytest.mark.parametrize("spoilt", ["base64 of PEM", "DER", "base64 of DER"])
def test_a_mesh_request(spoilt: str) -> None:
    """A request of the mesh, which is one block from its first byte on, is told of in the same words."""
    spoil, said = SPOILT[spoilt]
    assert said in of_mesh_request(spoil(CSR))


def test_containers() -> None:
    """Files that hold certificate and key in other forms are named."""
    key = serialization.load_pem_private_key(CA.key_pem, None)
    encryption = serialization.NoEncryption()
    p12 = pkcs12.serialize_key_and_certificates(b"x", key, CA.certificate, None, encryption)  # type: ignore[arg-type]  # an EC key
    assert "it is PKCS#12" in of_ca(p12)
    assert "it is base64 without" in of_ca(base64.b64encode(p12))
    p7b = pkcs7.serialize_certificates([CA.certificate], serialization.Encoding.DER)
    assert "it is PKCS#7" in of_ca(p7b)
    assert "it is a Java keystore" in of_ca(b"\xfe\xed\xfe\xed" + b"\0" * 64)
    assert "it is DER of a private key" in of_key(der_of(CA.key_pem))


@pytest.mark.parametrize(
    "text", [b"", b"   \n", b"hello", b"\0" * 100, b"\x30", b"\x30\x82\xff\xff", b"AAAA" * 20, b"=" * 99]
)
def test_nothing_is_guessed(text: bytes) -> None:
    """Of what is none of these nothing is said."""
    assert instead_of_pem(text) == ""
