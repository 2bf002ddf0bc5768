"""Keys that prove themselves: what is read of them is what whoever holds the private one has signed."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from issuers.errors import MalformedRequest
from issuers.istio_request import unexpected_contents, uri_name
from issuers.proven_key import MAX_BYTES, of_signature, of_stub, request_of_workload
from issuers.x509 import keys
from tests import pki

KINDS = ("p256", "p384", "p521", "rsa3072", "ed25519")
PRIVATE = {kind: pki.key(kind) for kind in KINDS}
STUBS = {kind: pki.stub(private) for kind, private in PRIVATE.items()}


def proof(kind: str, message: bytes) -> tuple[bytes, bytes]:
    return pki.proof(PRIVATE[kind], message)


def spki(private: Any) -> bytes:
    written: bytes = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return written


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways(kind: str) -> None:
    """A kubelet's CSR, and a key with a signature over the Pod's uid, give the same key."""
    assert (
        of_stub(pki.stub(PRIVATE[kind])).spki == of_signature(*proof(kind, b"uid"), b"uid").spki == spki(PRIVATE[kind])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_over_something_else(kind: str) -> None:
    """A signature that was made for another Pod proves nothing."""
    with pytest.raises(MalformedRequest, match="proofOfPossession"):
        of_signature(*proof(kind, b"uid"), b"other")


@given(st.sampled_from(KINDS), st.data())
def test_one_byte_changed(kind: str, data: st.DataObject) -> None:
    """A CSR in which any byte was changed is refused: nobody can put another key under somebody's signature."""
    written = bytearray(STUBS[kind])
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedRequest):
        of_stub(bytes(written))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes(first: bytes, second: bytes) -> None:
    """Whatever the bytes, the one error is raised that says which field is wrong."""
    with pytest.raises(MalformedRequest):
        of_stub(first)
    with pytest.raises(MalformedRequest):
        of_signature(first, second, b"uid")


def test_too_much() -> None:
    """What is longer than the API server takes is not looked into."""
    with pytest.raises(MalformedRequest, match=str(MAX_BYTES)):
        of_stub(bytes(MAX_BYTES + 1))
    with pytest.raises(MalformedRequest, match=str(MAX_BYTES)):
        of_signature(bytes(MAX_BYTES + 1), b"", b"")


def test_a_weak_key() -> None:
    """A key that is too weak is refused, though it proves itself."""
    with pytest.raises(MalformedRequest, match="1024"):
        of_stub(pki.stub(pki.key("rsa1024")))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_around_it(kind: str) -> None:
    """The request that is written for a workload is Istio's form, with one name and the proven key."""
    found = request_of_workload(of_stub(pki.stub(PRIVATE[kind])), pki.spiffe("foo"))
    assert unexpected_contents(found, uri_name(pki.spiffe("foo"))) == ""
    assert unexpected_contents(found, uri_name(pki.spiffe("bar")))
    assert found.uris == (pki.spiffe("foo"),)
    assert not found.dns_names
    assert keys.public_bytes(found.public_key) == found.spki
