"""What a Secret of the type kubernetes.io/tls holds, said once for all who read or write one. Pure.

Anybody may have written what is in one: nothing here raises for it. Parsing a key takes milliseconds.
"""

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from issuers.errors import InvalidAuthority
from issuers.private_key import load_key
from issuers.x509 import loading, parts
from signer.api.secret import TLS_CERT, TLS_KEY, Secret

PLACEHOLDER_NAME = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mesh-signer placeholder")])
"""Subject and issuer of the self-signed certificate that stands in a gateway's Secret before there is another."""
_PLACEHOLDER = PLACEHOLDER_NAME.public_bytes()


def leaf_of(chain: bytes) -> x509.Certificate | None:
    """Return the first certificate of a chain in PEM; None when any of it cannot be read."""
    try:
        return loading.certificates(chain)[0]
    except loading.Unreadable:
        return None


def read_leaf(secret: Secret) -> x509.Certificate | None:
    """Return the certificate that a Secret is for; None when there is none that can be read."""
    return leaf_of(secret.data.get(TLS_CERT, b""))


def is_placeholder(certificate: x509.Certificate) -> bool:
    """Tell whether this is a placeholder: it is never taken for the certificate that is wanted."""
    read = parts.parts_of(certificate)
    return read.subject == read.issuer == _PLACEHOLDER


def is_ca(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is a CA's; one that cannot be read counts as one."""
    return parts.is_ca(certificate) is not False


def public_key_hash(certificate: x509.Certificate) -> str:
    """Name a certificate's public key: SHA-256 of its SubjectPublicKeyInfo (DER), in hex.

    Raises ValueError, UnsupportedAlgorithm for a key that cannot be read.
    """
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def key_pair(secret: Secret) -> str | None:
    """Name the public key of a Secret's certificate, if the private key beside it fits; up to 50 ms with a large key."""
    leaf = read_leaf(secret)
    if leaf is None:
        return None
    try:
        key = load_key(secret.data.get(TLS_KEY, b""))
        return public_key_hash(leaf) if key.public_key() == leaf.public_key() else None
    except (InvalidAuthority, ValueError, UnsupportedAlgorithm):
        return None
