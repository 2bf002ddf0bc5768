"""What is read of a Secret of type kubernetes.io/tls, whoever wrote it."""

import msgspec
import pytest

from issuers.x509.loading import MAX_TEXT
from signer.api.secret import Secret
from signer.api.tls_secret import is_ca, key_pair, leaf_of, public_key_hash, read_leaf
from tests import pki

CA = pki.CA("issued", now=pki.ANY_TIME)
OTHER = pki.CA("other", now=pki.ANY_TIME)


def secret(**data: bytes) -> Secret:
    found: Secret = msgspec.convert({"metadata": {"name": "tls", "namespace": "foo", "uid": "u"}}, Secret)
    return msgspec.structs.replace(found, data={f"tls.{name}": value for name, value in data.items()})


def test_the_first_of_a_chain() -> None:
    """The first certificate is the one that the Secret is for."""
    assert leaf_of(CA.pem + OTHER.pem) == CA.certificate
    assert read_leaf(secret(crt=OTHER.pem + CA.pem)) == OTHER.certificate


@pytest.mark.parametrize("chain", [b"", b"x", CA.pem[:100], CA.pem + OTHER.pem.replace(b"M", b"!", 1)])
def test_what_cannot_be_read(chain: bytes) -> None:
    """What is not a certificate, or a chain that is broken further down, is none, and raises nothing."""
    assert leaf_of(chain) is None
    assert read_leaf(secret(crt=chain)) is None
    assert key_pair(secret(crt=chain, key=CA.key_pem)) is None
    assert read_leaf(secret()) is None


def test_too_long() -> None:
    """A chain is read up to its limit: whoever may write a Secret must not have us parse a MiB of certificates."""
    filler = b"#" * (MAX_TEXT - len(CA.pem))
    assert leaf_of(CA.pem + filler) == CA.certificate
    assert leaf_of(CA.pem + filler + b"#") is None


def test_key_pair() -> None:
    """A key pair is known by its public key; a key of another certificate makes none."""
    assert key_pair(secret(crt=CA.pem, key=CA.key_pem)) == public_key_hash(CA.certificate)
    assert key_pair(secret(crt=CA.pem, key=pki.key_pem(pki.key("p256", 7)))) is None


def test_is_ca() -> None:
    """A CA's certificate is known by its basic constraints."""
    assert is_ca(CA.certificate)
