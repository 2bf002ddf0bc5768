"""What the certificate in a Secret was issued for, as a mark on the Secret: a short hash of what the spec wished, and of the certificate.

A CertificateRequest says the same, but it is cleaned up, and no backup should have it. Of the certificate alone the names can be
read, and not all of them as they were wished (an issuer may move or drop some), nor usages, lifetime, CA flag or subject. The
mark counts for just this certificate: whoever puts another one into the Secret takes nothing over from it.

Pure. What makes no other certificate is no part of the wish: order and spelling, the Secret's form, when it is renewed.
"""

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from signer.api.certificate import CertificateSpec, Subject
from signer.api.duration import InvalidDuration, parse_duration_ns
from signer.api.notes import text_note
from signer.api.secret import Secret
from signer.certificates.renewal import DEFAULT_DURATION
from signer.certificates.spec.matching import addresses
from signer.certificates.well_known import ISSUED_FOR

_DIGITS = 16
# What is meant where the spec does not say.
_DEFAULT_NANOSECONDS = DEFAULT_DURATION // timedelta(microseconds=1) * 1000


def wish_of(spec: CertificateSpec) -> str:
    """Hash what a spec asks an issuer for: equal for two specs that ask for the same, in whatever words."""
    subject = msgspec.to_builtins(spec.subject or Subject())
    parts = {
        "issuer": spec.issuer_ref.normal(),
        "commonName": spec.common_name,
        "literalSubject": spec.literal_subject,
        "subject": _without_order(subject),
        "dns": sorted(spec.dns_names),
        "ip": addresses(spec.ip_addresses),
        "uri": sorted(spec.uris),
        "email": sorted(spec.email_addresses),
        "other": sorted([other.oid, other.utf8_value] for other in spec.other_names),
        "isCA": spec.is_ca,
        "usages": sorted(set(spec.usages)),
        "duration": _nanoseconds(spec.duration) if spec.duration else _DEFAULT_NANOSECONDS,
        "nameConstraints": _without_order(msgspec.to_builtins(spec.name_constraints)),
    }
    return _short(msgspec.json.encode(parts, order="deterministic"))


def mark_of(spec: CertificateSpec, leaf: x509.Certificate) -> str:
    """Write the mark of a certificate that was issued for this spec."""
    return f"{wish_of(spec)}.{_short(leaf.public_bytes(Encoding.DER))}"


def noted(secret: Secret, leaf: x509.Certificate | None) -> str:
    """The wish (as `wish_of`) that the mark on a Secret says of this certificate; "" where it says nothing of it."""
    wish, _, certificate = text_note(secret.metadata.annotations, ISSUED_FOR).partition(".")
    if leaf is None or certificate != _short(leaf.public_bytes(Encoding.DER)):
        return ""
    return wish


def _without_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_order(inner) for key, inner in value.items()}
    return sorted(value) if isinstance(value, list | tuple) else value


def _nanoseconds(text: str) -> int | str:
    try:
        return parse_duration_ns(text)
    except InvalidDuration:
        return text


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
