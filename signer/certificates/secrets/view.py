"""What a Certificate's Secret holds, parsed once, so that the policies are plain comparisons.

Pure. `inspect` takes milliseconds for an RSA key, and up to 50 ms for a large one: callers run it off the loop.
"""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from issuers.errors import InvalidAuthority
from issuers.private_key import encode_key, encoded_as, load_key
from issuers.x509 import parts
from issuers.x509.keys import PrivateKey
from issuers.x509.not_pem import instead_of_pem
from issuers.x509.subject import COMMON_NAME
from signer.api.certificate import CertificateSpec, PrivateKeySpec
from signer.api.secret import CA_CERT, TLS_CERT, TLS_KEY, Secret
from signer.api.tls_secret import is_placeholder, leaf_of
from signer.certificates.secrets.trust import trusted_until
from signer.certificates.well_known import ISSUER_NAME

TEMPORARY_NAME = "cert-manager.local"
"""Common name of who issues temporary certificates, here and in cert-manager (pkg/util/pki/temporarycertificate.go)."""
_TEMPORARY_ISSUER = (((COMMON_NAME, TEMPORARY_NAME),),)
DEFAULT_RSA_SIZE = 2048
DEFAULT_EC_SIZE = 256


@dataclass(frozen=True, slots=True)
class KeyView:
    """A private key: its public half as DER, and its kind and size in the words of spec.privateKey."""

    key: PrivateKey = field(repr=False)
    spki: bytes = field(repr=False)
    algorithm: str
    size: int


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret with its key and certificate read; a problem text stands where one cannot be read.

    `trust_ends` is when the first of those above the certificate ends; None where they do not verify it.
    """

    secret: Secret
    key: KeyView | None
    key_problem: str
    leaf: x509.Certificate | None
    leaf_problem: str
    trust_ends: datetime | None = None

    @property
    def leaf_spki(self) -> bytes:
        """The public key of the certificate, DER."""
        return spki_of(self.leaf) if self.leaf is not None else b""

    @property
    def placeholder(self) -> bool:
        """Whether the certificate stands there only until there is one: the edge's, or a temporary one of ours.

        Its key is never kept.
        """
        return self.leaf is not None and (is_placeholder(self.leaf) or _is_temporary(self.secret, self.leaf))


def _is_temporary(secret: Secret, leaf: x509.Certificate) -> bool:
    """Tell whether this is a temporary certificate: what an issuer made has the issuer's name on its Secret."""
    issuer = parts.names_in(parts.parts_of(leaf).issuer)
    return issuer == _TEMPORARY_ISSUER and ISSUER_NAME not in secret.metadata.annotations


def inspect(secret: Secret) -> SecretView:
    """Read the key and the first certificate of a Secret. Never raises: what is wrong is told in the view."""
    key, key_problem = read_key(secret.data.get(TLS_KEY, b""))
    leaf, leaf_problem = read_leaf(secret.data.get(TLS_CERT, b""))
    ends = trusted_until(secret.data.get(TLS_CERT, b""), secret.data.get(CA_CERT, b"")) if leaf is not None else None
    return SecretView(secret, key, key_problem, leaf, leaf_problem, ends)


def read_key(pem: bytes) -> tuple[KeyView | None, str]:
    """Read a private key; on failure None and why, in words of ours, since a library's text may quote the key."""
    if not pem:
        return None, "tls.key: empty"
    try:
        key = load_key(pem)
    except InvalidAuthority as error:
        if error.reason == "EncryptedKey":
            return None, "tls.key: the private key is encrypted"
        if error.reason != "InvalidKey":
            return None, str(error)
        return None, _unreadable("tls.key: no readable PEM private key", pem)
    return view_key(key), ""


def view_key(key: PrivateKey) -> KeyView:
    """Describe a key in the words of spec.privateKey."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, rsa.RSAPrivateKey):
        return KeyView(key, spki, "RSA", key.key_size)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return KeyView(key, spki, "ECDSA", key.curve.key_size)
    return KeyView(key, spki, "Ed25519", 0)


def read_leaf(pem: bytes) -> tuple[x509.Certificate | None, str]:
    """Read the first certificate of a chain; on failure None and why."""
    if not pem:
        return None, "tls.crt: empty"
    leaf = leaf_of(pem)
    return leaf, "" if leaf is not None else _unreadable("tls.crt: no readable PEM certificate", pem)


def _unreadable(what: str, text: bytes) -> str:
    instead = instead_of_pem(text)
    return f"{what}: {instead}" if instead else what


def spki_of(certificate: x509.Certificate) -> bytes:
    """The public key of a certificate, DER; empty for a kind of key that is not known."""
    try:
        return certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except Exception:  # noqa: BLE001 - an unknown or broken key in somebody's certificate equals no key of ours
        return b""


def key_as_wanted(key: KeyView, pem: bytes, spec: CertificateSpec) -> bytes:
    """The key in the form that spec.privateKey.encoding asks for: the text that is there when it has it already."""
    encoding = (spec.private_key or PrivateKeySpec()).encoding or "PKCS1"
    form = "PKCS8" if key.algorithm == "Ed25519" else encoding
    return pem if pem and encoded_as(pem, form) else encode_key(key.key, encoding)


def wanted_key(spec: CertificateSpec) -> tuple[str, int]:
    """Algorithm and size that the spec asks for, defaults filled in; size 0 for Ed25519, which has only one."""
    key = spec.private_key or PrivateKeySpec()
    if key.algorithm in ("", "RSA"):
        return "RSA", key.size or DEFAULT_RSA_SIZE
    if key.algorithm == "ECDSA":
        return "ECDSA", key.size or DEFAULT_EC_SIZE
    return key.algorithm, 0


def key_mismatches(key: KeyView, spec: CertificateSpec) -> tuple[str, ...]:
    """Name the fields of spec.privateKey that this key does not fulfil."""
    algorithm, size = wanted_key(spec)
    if key.algorithm != algorithm:
        return ("spec.privateKey.algorithm",)
    return ("spec.privateKey.size",) if key.size != size else ()
