"""Parts of a certificate that somebody else made, read one by one from its bytes: what is odd about one part hides no other.

The library reads names, keys and extensions when they are asked for, all extensions at once, and raises whatever an odd one
trips: for a general name of a kind that it does not know no ValueError, for a bit string in a name a TypeError. So nobody asks
it for them, and one certificate that nobody foresaw ends no loop over many (ADR 67). Pure.
"""

from dataclasses import dataclass

from cryptography import x509

from issuers.x509 import der, extensions
from issuers.x509.general_names import GeneralNames, read_general_names
from issuers.x509.subject import RelativeName, name_text, read_name

_VERSION = 0xA0
_EXTENSIONS = 0xA3
# Before the key: serial number, algorithm, issuer, validity, subject (RFC 5280, 4.1).
_ISSUER, _SUBJECT, _KEY = 2, 4, 5


@dataclass(frozen=True, slots=True)
class Parts:
    """Issuer and subject (Name), SubjectPublicKeyInfo and Extensions, each DER as it stands; Extensions may be empty."""

    issuer: bytes
    subject: bytes
    spki: bytes
    extensions: bytes


def parts_of(certificate: x509.Certificate) -> Parts:
    """Take a certificate apart. Raises der.DerError, for none that issuers/x509/loading.py has read."""
    tbs = certificate.tbs_certificate_bytes
    pos, end = der.only(tbs, 0, len(tbs), der.SEQUENCE)
    found: list[tuple[int, int, int, int]] = []
    while pos < end:
        tag, start, stop = der.element(tbs, pos, end)
        if tag != _VERSION:
            found.append((tag, pos, start, stop))
        pos = stop
    if len(found) <= _KEY:
        raise der.DerError("truncated")
    issuer, subject, key = (tbs[found[at][1] : found[at][3]] for at in (_ISSUER, _SUBJECT, _KEY))
    last, _, start, stop = found[-1]
    return Parts(issuer, subject, key, tbs[start:stop] if last == _EXTENSIONS else b"")


def names_in(name: bytes) -> tuple[RelativeName, ...] | None:
    """Read a Name (DER); None where it has what is no text."""
    try:
        return read_name(name, 0, len(name))
    except der.DerError:
        return None


def subject_text(certificate: x509.Certificate) -> str:
    """Show a certificate's subject on one line (RFC 4514); "" where it is empty or has what is no text."""
    return name_text(names_in(parts_of(certificate).subject) or ())


def extension(certificate: x509.Certificate, identifier: bytes) -> bytes | None:
    """Return the value of an extension, None where there is none. Raises der.DerError where the list of them is broken."""
    found = parts_of(certificate).extensions
    if not found:
        return None
    pos, end = der.only(found, 0, len(found), der.SEQUENCE)
    there = extensions.read_extensions(found, pos, end).get(identifier)
    return there[1] if there is not None else None


def alt_names(certificate: x509.Certificate) -> GeneralNames | None:
    """Read the subject alternative names: by our own reader, and where that is too strict, by the library; None where nobody can."""
    try:
        value = extension(certificate, extensions.SUBJECT_ALT_NAME)
        return read_general_names(value) if value is not None else GeneralNames()
    except der.DerError:
        pass
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - see above
        return None
    return GeneralNames(
        dns_names=tuple(found.get_values_for_type(x509.DNSName)),
        ip_addresses=tuple(map(str, found.get_values_for_type(x509.IPAddress))),
        email_addresses=tuple(found.get_values_for_type(x509.RFC822Name)),
        uris=tuple(found.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def is_ca(certificate: x509.Certificate) -> bool | None:
    """Tell whether a certificate says that it is a CA's (RFC 5280, 4.2.1.9); None where nobody can say what it says.

    Who hands out keys and room takes None for a CA, who hands out trust does not.
    """
    try:
        value = extension(certificate, extensions.BASIC_CONSTRAINTS)
        return value is not None and extensions.decode_basic_constraints(value)[0]
    except der.DerError:
        return None
