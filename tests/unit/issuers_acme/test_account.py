"""Account keys, contacts and external accounts."""

import base64

import pytest
from cryptography.hazmat.primitives import hashes

from issuers.acme.account import (
    BadAccount,
    ExternalAccount,
    Registration,
    external_account,
    generate_key,
    load_key,
    read_emails,
)
from issuers.private_key import encode_key
from issuers.private_key import generate_key as make_key

MAC = base64.urlsafe_b64encode(bytes(range(64))).rstrip(b"=")


def test_a_new_key() -> None:
    """A new key is P-256, another one each time, and its thumbprint is that of its public half."""
    key = load_key(generate_key())
    assert key.algorithm.name == "ES256"
    assert key.jwk.to_partial_json()["crv"] == "P-256"
    assert key.thumbprint != load_key(generate_key()).thumbprint
    public = key.jwk.public_key().thumbprint(hash_function=hashes.SHA256)
    assert base64.urlsafe_b64decode(key.thumbprint + "=") == public


@pytest.mark.parametrize(
    ("algorithm", "size", "name"), [("ECDSA", 384, "ES384"), ("ECDSA", 521, "ES512"), ("RSA", 2048, "RS256")]
)
@pytest.mark.parametrize("form", ["PKCS1", "PKCS8"])
def test_existing_keys(algorithm: str, size: int, name: str, form: str) -> None:
    """Keys that others made are used as they are, each with the algorithm of its kind."""
    assert load_key(encode_key(make_key(algorithm, size), form)).algorithm.name == name


@pytest.mark.parametrize("pem", [b"", b"nothing", encode_key(make_key("Ed25519"))])
def test_keys_that_are_none(pem: bytes) -> None:
    """What is not a usable key is refused with the issuer's field, and nothing of it is shown."""
    with pytest.raises(BadAccount, match=r"^privateKeySecretRef: ") as refused:
        load_key(pem)
    assert refused.value.field == "privateKeySecretRef"
    assert pem.decode() not in str(refused.value) or not pem


def test_nothing_secret_is_shown() -> None:
    """No repr has the key."""
    key = load_key(generate_key())
    bound = external_account("kid", MAC)
    shown = repr((key, bound, Registration(external=bound)))
    assert key.jwk.to_partial_json()["d"] not in shown
    assert MAC.decode() not in shown


@pytest.mark.parametrize("text", [MAC, MAC + b"==", b" " + MAC + b"\n", base64.b64encode(bytes(range(64)))])
def test_mac_keys(text: bytes) -> None:
    """A MAC key is taken with and without padding and in both alphabets, and kept in one form."""
    assert external_account("kid", text, "HS512") == ExternalAccount("kid", MAC.decode(), "HS512")


@pytest.mark.parametrize(
    ("key_id", "secret", "algorithm", "field"),
    [
        ("", MAC, "HS256", "keyID"),
        ("a\nb", MAC, "HS256", "keyID"),
        ("kid", MAC, "RS256", "keyAlgorithm"),
        ("kid", b"", "HS256", "keySecretRef"),
        ("kid", b"not base64!", "HS256", "keySecretRef"),
        ("kid", MAC[:20], "HS256", "keySecretRef"),
        ("kid", MAC[:60], "HS384", "keySecretRef"),
        ("kid", MAC[:80], "HS512", "keySecretRef"),
    ],
)
def test_bindings_that_are_none(key_id: str, secret: bytes, algorithm: str, field: str) -> None:
    """A binding that no CA takes is refused before it is asked, with its field and without the key."""
    with pytest.raises(BadAccount, match=field) as refused:
        external_account(key_id, secret, algorithm)
    assert not secret or secret.decode() not in str(refused.value)


def test_emails() -> None:
    """Addresses are taken apart at commas and become URLs; none is none."""
    assert read_emails("a@example.com, b@example.com,") == ("a@example.com", "b@example.com")
    assert read_emails("") == ()
    assert Registration(read_emails("a@example.com")).contact() == ("mailto:a@example.com",)


@pytest.mark.parametrize(
    "text", ["a", "@", "a@", "@b", "a b@c", "a@b?cc=c@d", "a@b\nc", "ä@b", "a@" + "b" * 260, "<a@b>"]
)
def test_emails_that_are_none(text: str) -> None:
    """What would be two addresses, or a header field, in one URL is refused."""
    with pytest.raises(BadAccount, match="email"):
        read_emails(text)
