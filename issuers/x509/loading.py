"""Certificates and requests as the library's values: the one place that calls the library's readers of them.

Whoever may write a Secret, an object or an answer chooses the keys in it, and some cost seconds: an RSA exponent as long as
its modulus makes each check of a signature dear. So a text is measured before it is read, and every key by its bytes before
the library sees it; what comes out has dates, and may be compared and verified with as it is. Its names and extensions are read
by issuers/x509/parts.py, not by the library, which raises what it likes. Keys are judged by their cost here, not by
their strength: the old roots that clients trust are taken. Private keys are loaded in issuers/private_key.py, a CA's own
certificates and requests to be signed by the strict readers beside it. A rule of ruff's keeps others from the library's
readers (pyproject.toml, banned-api). Pure.
"""

import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

from issuers.x509 import der, keys, parts, pem

# The library warns of what our strict readers take, as Go and OpenSSL do: a serial number 0, and texts in names that are longer or
# shorter than RFC 5280's upper bounds. What there is to be said of such a CA is said of it (issuers/line.py). For the whole
# process, since warnings.catch_warnings() is no matter of one thread.
warnings.filterwarnings("ignore", "Parsed a serial number which wasn't positive", CryptographyDeprecationWarning)
warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)

MAX_TEXT = 256 * 1024
"""Bytes of PEM that are read, a hundred certificates and more: a Secret may hold a MiB."""
MAX_REQUEST = 64 * 1024
# InvalidVersion is no ValueError.
_LIBRARYS = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
_LABEL = b"-----BEGIN CERTIFICATE-----"


class Unreadable(ValueError):
    """What is no certificate or request, is too large, or has a key that would cost too much. For people."""


def certificates(text: bytes, *, largest: int = MAX_TEXT) -> list[x509.Certificate]:
    """Read all certificates of a PEM text, at least one. Raises Unreadable where one of them cannot be read."""
    if len(text) > largest:
        raise Unreadable(f"{len(text)} bytes are too many; {largest} at most")
    try:
        found = x509.load_pem_x509_certificates(pem.usual_labels(text))
    except _LIBRARYS:
        raise Unreadable("holds no PEM certificates, or one that cannot be read") from None
    for one in found:
        _check(one)
    return found


def readable_certificates(text: bytes, *, largest: int = MAX_TEXT) -> Iterator[x509.Certificate]:
    """Read each certificate of a PEM text that can be read; the others hide none of them. Never raises."""
    if len(text) > largest:
        return
    for block in pem.usual_labels(text).split(_LABEL)[1:]:
        try:
            yield from certificates(_LABEL + block)
        except Unreadable:
            continue


def certificate(data: bytes) -> x509.Certificate:
    """Read one certificate in DER. Raises Unreadable."""
    if len(data) > MAX_TEXT:
        raise Unreadable(f"{len(data)} bytes are too many; {MAX_TEXT} at most")
    try:
        found = x509.load_der_x509_certificate(data)
    except _LIBRARYS:
        raise Unreadable("no certificate") from None
    _check(found)
    return found


def request(data: bytes) -> x509.CertificateSigningRequest:
    """Read a certificate signing request, PEM or DER. Raises Unreadable. Its signature is not verified."""
    if len(data) > MAX_REQUEST:
        raise Unreadable(f"{len(data)} bytes are too many; {MAX_REQUEST} at most")
    read = x509.load_pem_x509_csr if data.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_csr
    try:
        found = read(data)
        keys.check_cost(_request_key(found.tbs_certrequest_bytes))
    except _LIBRARYS:
        raise Unreadable("no certificate signing request, or one with a key that is not taken") from None
    return found


def signed_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Tell whether a certificate names another as its issuer and was signed with its key; both were read here."""
    try:
        lower.verify_directly_issued_by(upper)
    except Exception:  # noqa: BLE001 - another name, another kind of key, another signature, or not readable
        return False
    return True


def _check(found: x509.Certificate) -> None:
    try:
        keys.check_cost(parts.parts_of(found).spki)
    except ValueError:
        raise Unreadable("holds a certificate with a key that is too large, or of an unknown form") from None
    try:
        _ = found.not_valid_before_utc, found.not_valid_after_utc
    except ValueError:  # the year 0, of which the library takes notice only now
        raise Unreadable("holds a certificate with a date that is none") from None


def _request_key(info: bytes) -> bytes:
    """The SubjectPublicKeyInfo within a CertificationRequestInfo (RFC 2986, 4.1): after version and subject."""
    pos, end = der.only(info, 0, len(info), der.SEQUENCE)
    for _ in range(2):
        _, _, pos = der.element(info, pos, end)
    _, stop = der.expect(info, pos, end, der.SEQUENCE)
    return info[pos:stop]
