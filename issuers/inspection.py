"""Reads a certificate back into its fields, strictly: a CA's before it may sign, and every one that we made.

It shares no code with what builds certificates except the reader of DER. Pure functions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from issuers.x509 import der, extensions

_VERSION_3 = b"\xa0\x03\x02\x01\x02"
_EXTENSIONS = 0xA3


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """The fields of one certificate (RFC 5280, 4.1) as bytes and plain values. Times are UTC."""

    der: bytes
    tbs: bytes
    serial: int
    algorithm: bytes
    issuer: bytes
    not_before: datetime
    not_after: datetime
    subject: bytes
    spki: bytes
    extensions: extensions.Extensions
    signature: bytes


def read_certificate(data: bytes) -> CertificateFields:
    """Read a certificate of version 3. Raises der.DerError for anything else, with a message that names the field."""
    start, end = der.only(data, 0, len(data), der.SEQUENCE)
    pos, tbs_end = der.expect(data, start, end, der.SEQUENCE)
    tbs = data[start:tbs_end]
    _, after = der.expect(data, tbs_end, end, der.SEQUENCE)
    outer_algorithm = data[tbs_end:after]
    inner, stop = der.only(data, after, end, der.BIT_STRING)
    if data[inner : inner + 1] != b"\x00":
        raise der.DerError("signature: not whole bytes")
    signature = data[inner + 1 : stop]

    if data[pos : pos + 5] != _VERSION_3:
        raise der.DerError("version: it is not 3")
    inner, pos = der.expect(data, pos + 5, tbs_end, der.INTEGER)
    if data[inner : inner + 1] > b"\x7f":
        raise der.DerError("its serial number is negative")
    serial = der.unsigned(data, inner, pos)
    _, after = der.expect(data, pos, tbs_end, der.SEQUENCE)
    if data[pos:after] != outer_algorithm:
        raise der.DerError("signatureAlgorithm: inside and outside differ")
    pos = after
    _, after = der.expect(data, pos, tbs_end, der.SEQUENCE)
    issuer = data[pos:after]
    inner, after = der.expect(data, after, tbs_end, der.SEQUENCE)
    not_before, inner = _read_time(data, inner, after)
    not_after, inner = _read_time(data, inner, after)
    if inner != after:
        raise der.DerError("validity: trailing data")
    pos = after
    _, after = der.expect(data, pos, tbs_end, der.SEQUENCE)
    subject = data[pos:after]
    pos = after
    _, after = der.expect(data, pos, tbs_end, der.SEQUENCE)
    spki = data[pos:after]
    found: extensions.Extensions = {}
    if after != tbs_end:
        inner, stop = der.only(data, after, tbs_end, _EXTENSIONS)
        inner, stop = der.only(data, inner, stop, der.SEQUENCE)
        found = extensions.read_extensions(data, inner, stop)
    return CertificateFields(
        data, tbs, serial, outer_algorithm, issuer, not_before, not_after, subject, spki, found, signature
    )


def _read_time(data: bytes, pos: int, end: int) -> tuple[datetime, int]:
    """Read a Time (RFC 5280, 4.1.2.5): UTCTime until 2049, GeneralizedTime from 2050, both to the second and with Z."""
    tag, start, stop = der.element(data, pos, end)
    text = data[start:stop]
    if tag == der.UTC_TIME and len(text) == 13:
        century = 2000 if text[:2] < b"50" else 1900
        digits = text[2:12]
        year = text[:2]
    elif tag == der.GENERALIZED_TIME and len(text) == 15:
        century = 0
        year = text[:4]
        digits = text[4:14]
    else:
        raise der.DerError("validity: not a time")
    if text[-1:] != b"Z" or not year.isdigit() or not digits.isdigit():
        raise der.DerError("validity: not a time")
    month, day, hour, minute, second = (int(digits[i : i + 2]) for i in range(0, 10, 2))
    try:
        return datetime(century + int(year), month, day, hour, minute, second, tzinfo=UTC), stop
    except ValueError:
        raise der.DerError("validity: not a time") from None
