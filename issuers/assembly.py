"""Puts the bytes of a certificate together from a template, as Go's x509.CreateCertificate does.

Not pyca's builder, for two reasons: it writes a subject anew instead of carrying its bytes, and it costs 25 us where
joining ready parts costs a third. The order and criticality of the extensions are Go's (crypto/x509
buildCertExtensions); the names come last, since cert-manager hands them over as an extra extension. Pure functions.
"""

import functools
import hashlib
from collections.abc import Sequence
from datetime import datetime

from issuers.template import CertificateTemplate
from issuers.x509 import der, extensions
from issuers.x509.usages import encode_extended_key_usage, encode_key_usage, split_usages

_VERSION_3 = b"\xa0\x03\x02\x01\x02"
_EXTENSIONS = 0xA3
_URI = 0x86
_OCSP = bytes.fromhex("06082b06010505073001")
_CA_ISSUERS = bytes.fromhex("06082b06010505073002")


def to_be_signed(
    template: CertificateTemplate,
    *,
    issuer: bytes,
    authority_key_id: bytes | None,
    algorithm: bytes,
    serial: int,
) -> bytes:
    """Write the TBSCertificate (RFC 5280, 4.1). `issuer` and `algorithm` are DER, `authority_key_id` a ready extension."""
    return der.sequence(
        _VERSION_3,
        der.integer(serial),
        algorithm,
        issuer,
        der.sequence(encode_time(template.not_before), encode_time(template.not_after)),
        template.subject_der,
        template.spki,
        der.tlv(_EXTENSIONS, der.sequence(*_extensions(template, authority_key_id))),
    )


def _extensions(template: CertificateTemplate, authority_key_id: bytes | None) -> list[bytes]:
    parts = [
        _usage_extensions(template.usages, template.unknown_extended_key_usages),
        _basic_constraints(template.is_ca, template.path_length),
    ]
    if template.is_ca or template.names_key:
        value = der.tlv(der.OCTET_STRING, subject_key_id(template.spki))
        parts.append(extensions.encode_extension(extensions.SUBJECT_KEY_IDENTIFIER, value, critical=False))
    if authority_key_id is not None:
        parts.append(authority_key_id)
    if template.ocsp_servers or template.issuing_certificate_urls:
        parts.append(_information_access(template.ocsp_servers, template.issuing_certificate_urls))
    if template.name_constraints_der is not None:
        critical = template.name_constraints_critical
        parts.append(
            extensions.encode_extension(extensions.NAME_CONSTRAINTS, template.name_constraints_der, critical=critical)
        )
    if template.crl_distribution_points:
        parts.append(_distribution_points(template.crl_distribution_points))
    if template.san_der is not None:
        parts.append(
            extensions.encode_extension(extensions.SUBJECT_ALT_NAME, template.san_der, critical=template.san_critical)
        )
    return parts


@functools.lru_cache(maxsize=256)  # within a second, all certificates of one lifetime have the same two times
def encode_time(moment: datetime) -> bytes:
    """Write a UTC time: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5)."""
    if 1950 <= moment.year < 2050:
        return der.tlv(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    # %Y does not pad years below 1000 everywhere; there are none here, but the width must not depend on the platform.
    return der.tlv(der.GENERALIZED_TIME, f"{moment.year:04}{moment:%m%d%H%M%S}Z".encode("ascii"))


@functools.lru_cache(maxsize=1024)
def _usage_extensions(usages: tuple[str, ...], unknown: tuple[str, ...]) -> bytes:
    bits, extended = split_usages(usages)
    content = b""
    if bits:
        content += extensions.encode_extension(extensions.KEY_USAGE, encode_key_usage(bits), critical=True)
    if extended or unknown:
        value = encode_extended_key_usage(extended, unknown)
        content += extensions.encode_extension(extensions.EXTENDED_KEY_USAGE, value, critical=False)
    return content


@functools.lru_cache(maxsize=64)
def _basic_constraints(is_ca: bool, path_length: int | None) -> bytes:
    value = extensions.encode_basic_constraints(is_ca=is_ca, path_length=path_length)
    return extensions.encode_extension(extensions.BASIC_CONSTRAINTS, value, critical=True)


def subject_key_id(spki: bytes) -> bytes:
    """Identify a key by the first 160 bits of the SHA-256 of its BIT STRING (RFC 7093, 2, method 1), as Go 1.25 does."""
    pos, end = der.only(spki, 0, len(spki), der.SEQUENCE)
    _, pos = der.expect(spki, pos, end, der.SEQUENCE)
    start, stop = der.only(spki, pos, end, der.BIT_STRING)
    return hashlib.sha256(spki[start + 1 : stop]).digest()[:20]


@functools.lru_cache(maxsize=64)
def authority_key_extension(key_id: bytes) -> bytes:
    """Write the AuthorityKeyIdentifier extension that names a CA's key."""
    return extensions.encode_extension(
        extensions.AUTHORITY_KEY_IDENTIFIER, der.sequence(der.tlv(0x80, key_id)), critical=False
    )


@functools.lru_cache(maxsize=256)
def _information_access(ocsp_servers: Sequence[str], issuing_certificate_urls: Sequence[str]) -> bytes:
    entries = [der.sequence(_OCSP, _uri(url)) for url in ocsp_servers]
    entries += [der.sequence(_CA_ISSUERS, _uri(url)) for url in issuing_certificate_urls]
    return extensions.encode_extension(extensions.AUTHORITY_INFORMATION_ACCESS, der.sequence(*entries), critical=False)


@functools.lru_cache(maxsize=256)
def _distribution_points(urls: Sequence[str]) -> bytes:
    points = [der.sequence(der.tlv(0xA0, der.tlv(0xA0, _uri(url)))) for url in urls]
    return extensions.encode_extension(extensions.CRL_DISTRIBUTION_POINTS, der.sequence(*points), critical=False)


def _uri(url: str) -> bytes:
    return der.tlv(_URI, url.encode("ascii"))
