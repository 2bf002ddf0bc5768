"""A CA from its Secret, and common slips there, told with what to do. Pure; off the loop."""

from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from issuers.authority import Authority, load_authority
from issuers.errors import InvalidAuthority
from issuers.private_key import load_key
from issuers.x509 import loading
from signer.authorities.state import CASecretData

# The text of an unforeseen exception may quote what it choked on, and that may be a key.
UNFORESEEN = InvalidAuthority("InvalidKey", "tls.key", "the CA could not be read")
_KEY_LABEL = b"PRIVATE KEY-----"
_CREATE = "kubectl create secret tls NAME --cert=FILE --key=FILE"


def load_ca(data: CASecretData, *, now: datetime) -> Authority | InvalidAuthority:
    """Load the CA that a Secret's data is; what is wrong with it is told with what to do.

    What the library makes of anybody's certificate is not foreseen: whoever calls takes anything else that is raised for
    UNFORESEEN. Takes some 40 ms for an RSA key: off the loop.
    """
    try:
        return load_authority(data.tls_crt, data.tls_key, data.ca_crt or None, now=now)
    except InvalidAuthority as error:
        return with_remedy(error, data)


def with_remedy(defect: InvalidAuthority, data: CASecretData) -> InvalidAuthority:
    """Add to a defect what its author most likely has to do; the reason and the field stay."""
    remedy = _remedy(defect, data)
    if not remedy:
        return defect
    message = str(defect).removeprefix(f"{defect.field}: ")
    return InvalidAuthority(defect.reason, defect.field, f"{message}; {remedy}")


def _remedy(defect: InvalidAuthority, data: CASecretData) -> str:
    if not data.tls_crt and data.ca_crt:
        return f"there is a ca.crt: the CA's certificate and key belong under tls.crt and tls.key ({_CREATE})"
    if not data.tls_crt or not data.tls_key:
        return f"certificate and key of a CA are tls.crt and tls.key of its Secret ({_CREATE})"
    if _KEY_LABEL in data.tls_crt and b"-----BEGIN CERTIFICATE-----" in data.tls_key:
        return "tls.crt and tls.key are swapped: the certificate belongs under tls.crt, the key under tls.key"
    if _KEY_LABEL in data.tls_crt and defect.field == "tls.crt":
        return "the private key belongs under tls.key alone"
    if defect.reason == "KeyMismatch" and _own_comes_later(data):
        return "another certificate there is: put that one first, and what is above it behind it, the root last or in ca.crt"
    return ""


def _own_comes_later(data: CASecretData) -> bool:
    """Tell whether tls.key is the key of a certificate in tls.crt behind the first."""
    try:
        key = load_key(data.tls_key).public_key()
        own = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        behind = loading.certificates(data.tls_crt)[1:]
        return any(
            one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == own for one in behind
        )
    except Exception:  # noqa: BLE001 - what the library makes of anybody's certificate is not foreseen
        return False
