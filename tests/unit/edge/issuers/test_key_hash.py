"""What an issuer's status says of its account key is what cert-manager says, so that neither asks the CA anew."""

import base64
import hashlib

from cryptography.hazmat.primitives import serialization

from issuers.acme.account import load_key
from issuers.private_key import encode_key
from signer.edge.issuers.controller import account_key_hash
from tests import pki


def test_as_cert_manager_has_it() -> None:
    """Of an RSA key: SHA-256 of the private key in PKCS#1, base64 (pkg/issuer/acme/setup.go), whatever form it is stored in."""
    key = pki.key("rsa")
    pkcs1 = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    expected = base64.b64encode(hashlib.sha256(pkcs1).digest()).decode()
    assert account_key_hash(load_key(encode_key(key))) == expected
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert account_key_hash(load_key(pem)) == expected


def test_of_other_keys() -> None:
    """Keys that cert-manager does not have are told apart too."""
    first, second = (account_key_hash(load_key(encode_key(pki.key("p256", n=n)))) for n in (1, 2))
    assert first != second
