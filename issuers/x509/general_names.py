"""Subject alternative names: read strictly, written as cert-manager writes them.

The bytes of the request's extension are what is signed (so otherName survives, as with cert-manager); what is read
here is what is judged. So a name that could be read in two ways is refused: control characters, NUL, spaces, bytes
that are not ASCII, an empty name, a URI that Go does not parse. Pure functions.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from issuers.x509 import der, subject

OTHER_NAME = 0xA0
EMAIL = 0x81
DNS = 0x82
DIRECTORY_NAME = 0xA4
URI = 0x86
IP = 0x87
REGISTERED_ID = 0x88

# 64 KiB hold 16,000 short names; Let's Encrypt takes 100, cert-manager and Go name no number.
MAX_NAMES = 1000

_VISIBLE = re.compile(rb"[\x21-\x7e]+")
# RFC 3986 with a scheme (RFC 5280, 4.2.1.6), and a host of labels as Go wants it (crypto/x509 domainNameValid).
# No repetition within a repetition: a hostile URI must not cost more than its length.
_PLAIN = rb"A-Za-z0-9\-._~!$&'()*+,;="
_HOST = rb"[A-Za-z0-9\-_~!$&'()*+,;=]++(?:\.[A-Za-z0-9\-_~!$&'()*+,;=]++)*+"
_ABSOLUTE_URI = re.compile(
    rb"[A-Za-z][A-Za-z0-9+\-.]*+:"
    rb"(?://(?:[" + _PLAIN + rb":%]*+@)?(?:" + _HOST + rb"(?::[0-9]++)?)?(?=[/?#]|\Z)|(?!//))"
    rb"[" + _PLAIN + rb":@/%]*+(?:\?[" + _PLAIN + rb":@/?%]*+)?(?:#[" + _PLAIN + rb":@/?%]*+)?"
)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class GeneralNames:
    """The names of one extension, by kind, in order. `others` counts otherName, directoryName and registeredID."""

    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    email_addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    others: int = 0


def read_general_names(value: bytes) -> GeneralNames:
    """Read the value of a subjectAltName extension. Raises der.DerError; an empty list is refused (RFC 5280: 1..MAX)."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    if pos == end:
        raise der.DerError("an empty list of names")
    dns: list[str] = []
    addresses: list[str] = []
    emails: list[str] = []
    uris: list[str] = []
    others = 0
    count = 0
    while pos < end:
        count += 1
        if count > MAX_NAMES:
            raise der.DerError(f"more than {MAX_NAMES} names")
        tag, start, pos = der.element(value, pos, end)
        content = value[start:pos]
        if tag == URI:
            if not _ABSOLUTE_URI.fullmatch(content) or _BROKEN_ESCAPE.search(content):
                raise der.DerError(f"URI {_show(content)} is not an absolute URI in plain ASCII")
            uris.append(content.decode("ascii"))
        elif tag == DNS:
            dns.append(_visible("DNS name", content))
        elif tag == IP:
            if len(content) not in (4, 16):
                raise der.DerError(f"an IP address of {len(content)} bytes")
            addresses.append(str(ipaddress.ip_address(content)))
        elif tag == EMAIL:
            emails.append(_visible("email address", content))
        else:
            _check_other(tag, value, start, pos)
            others += 1
    return GeneralNames(tuple(dns), tuple(addresses), tuple(emails), tuple(uris), others)


def _visible(kind: str, content: bytes) -> str:
    if not _VISIBLE.fullmatch(content):
        raise der.DerError(f"{kind} {_show(content)} is not visible ASCII")
    return content.decode("ascii")


def _show(content: bytes) -> str:
    return ascii(content[:64].decode("latin-1"))


def _check_other(tag: int, value: bytes, start: int, stop: int) -> None:
    if tag == OTHER_NAME:
        inner, after = der.expect(value, start, stop, der.OBJECT_IDENTIFIER)
        der.object_identifier(value[inner:after])
        inner, after = der.only(value, after, stop, 0xA0)
        _, _, end = der.element(value, inner, after)
        if end != after:
            raise der.DerError("an otherName with two values")
        der.check_depth(value, inner, after)
    elif tag == DIRECTORY_NAME:
        subject.read_name(value, start, stop)
    elif tag == REGISTERED_ID:
        der.object_identifier(value[start:stop])
    else:
        raise der.DerError(f"a name of kind 0x{tag:02x}, which is not supported")


def encode_general_names(
    *,
    dns_names: Sequence[str] = (),
    email_addresses: Sequence[str] = (),
    ip_addresses: Sequence[str] = (),
    uris: Sequence[str] = (),
    other_names: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Write the extension's value in cert-manager's order (pkg/util/pki MarshalSANs).

    `other_names` are (dotted identifier, UTF-8 text). Raises ValueError for an IP address that is none, a text that
    is not ASCII, an identifier that is none.
    """
    names = [der.tlv(DNS, name.encode("ascii")) for name in dns_names]
    names += [der.tlv(EMAIL, name.encode("ascii")) for name in email_addresses]
    names += [der.tlv(IP, _packed(address)) for address in ip_addresses]
    names += [der.tlv(URI, name.encode("ascii")) for name in uris]
    for oid, text in other_names:
        value = der.tlv(der.UTF8_STRING, text.encode("utf-8"))
        names.append(der.tlv(OTHER_NAME, der.encode_object_identifier(oid) + der.tlv(0xA0, value)))
    return der.sequence(*names)


def _packed(address: str) -> bytes:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            raise ValueError(f"IP address {address!r} has a zone")
        if parsed.ipv4_mapped is not None:
            return parsed.ipv4_mapped.packed
    return parsed.packed
