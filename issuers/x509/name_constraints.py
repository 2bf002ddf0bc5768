"""Name constraints: read, and written again in the one form that Go writes.

cert-manager copies them from a CSR by way of Go's template, which sorts them by kind and masks addresses; so the
bytes that are signed are these and not the request's. Pure functions.
"""

import ipaddress
import re

from issuers.x509 import der

_DNS = 0x82
_EMAIL = 0x81
_IP = 0x87
_URI = 0x86
# Go's order within permitted and excluded (crypto/x509 buildCertExtensions).
_ORDER = (_DNS, _IP, _EMAIL, _URI)

_LABEL = rb"[\x21-\x2d\x2f-\x7e]++"
_DOMAIN = re.compile(rb"(?:\.?" + _LABEL + rb"(?:\." + _LABEL + rb")*+)?")
_MAILBOX = re.compile(
    rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*@[A-Za-z0-9\-_]+(?:\.[A-Za-z0-9\-_]+)*"
)


def normalize_name_constraints(value: bytes) -> bytes:
    """Read a NameConstraints extension's value (RFC 5280, 4.2.1.10) and write it in Go's form.

    DNS, email, IP and URI constraints only; anything else is refused, as is an empty extension, minimum and maximum.
    Raises der.DerError.
    """
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    parts = []
    for tag in (0xA0, 0xA1):
        if pos < end and value[pos] == tag:
            start, pos = der.expect(value, pos, end, tag)
            parts.append(der.tlv(tag, _subtrees(value, start, pos)))
    if pos != end:
        raise der.DerError("trailing data in name constraints")
    if not parts:
        raise der.DerError("empty name constraints")
    return der.sequence(*parts)


def _subtrees(value: bytes, pos: int, end: int) -> bytes:
    if pos == end:
        raise der.DerError("an empty list of name constraints")
    found: dict[int, list[bytes]] = {tag: [] for tag in _ORDER}
    while pos < end:
        start, pos = der.expect(value, pos, end, der.SEQUENCE)
        tag, inner, stop = der.element(value, start, pos)
        if stop != pos:
            raise der.DerError("a name constraint with minimum or maximum")
        if tag not in found:
            raise der.DerError(f"a name constraint of kind 0x{tag:02x}, which is not supported")
        found[tag].append(_constraint(tag, value[inner:stop]))
    return b"".join(der.sequence(der.tlv(tag, content)) for tag in _ORDER for content in found[tag])


def _constraint(tag: int, content: bytes) -> bytes:
    if tag == _IP:
        half = len(content) // 2
        if half not in (4, 16) or len(content) != 2 * half:
            raise der.DerError(f"an IP constraint of {len(content)} bytes")
        address, mask = int.from_bytes(content[:half], "big"), int.from_bytes(content[half:], "big")
        inverted = mask ^ ((1 << 8 * half) - 1)
        if inverted & (inverted + 1):
            raise der.DerError("an IP constraint with a broken mask")
        return (address & mask).to_bytes(half, "big") + content[half:]
    if tag == _EMAIL and b"@" in content:
        if not _MAILBOX.fullmatch(content):
            raise der.DerError("an email constraint that is not a mailbox")
    elif not _DOMAIN.fullmatch(content):
        raise der.DerError("a name constraint that is not a domain")
    if tag == _URI and _is_address(content):
        raise der.DerError("a URI constraint that is an IP address")
    return content


def _is_address(content: bytes) -> bool:
    try:
        ipaddress.ip_address(content.decode("ascii"))
    except ValueError:
        return False
    return True


def mailbox_text(content: bytes) -> str | None:
    """An email address that Go reads as a mailbox (RFC 2821), as text; None for another."""
    return content.decode("ascii") if _MAILBOX.fullmatch(content) else None


def encode_name_constraints(*, permitted: "Constraints | None", excluded: "Constraints | None") -> bytes | None:
    """Write the value for a Certificate's spec.nameConstraints; None when nothing is constrained.

    Each is {"dns": [...], "ip": ["10.0.0.0/8"], "email": [...], "uri": [...]}. Raises ValueError for a range that is
    none or a text that is not ASCII.
    """
    parts = []
    for tag, constraints in ((0xA0, permitted), (0xA1, excluded)):
        content = _encode_subtrees(constraints or {})
        if content:
            parts.append(der.tlv(tag, content))
    return der.sequence(*parts) if parts else None


Constraints = dict[str, list[str]]


def _encode_subtrees(constraints: Constraints) -> bytes:
    names = [(_DNS, text.encode("ascii")) for text in constraints.get("dns", ())]
    for text in constraints.get("ip", ()):
        network = ipaddress.ip_network(text, strict=False)
        names.append((_IP, network.network_address.packed + network.netmask.packed))
    names += [(_EMAIL, text.encode("ascii")) for text in constraints.get("email", ())]
    names += [(_URI, text.encode("ascii")) for text in constraints.get("uri", ())]
    return b"".join(der.sequence(der.tlv(tag, content)) for tag, content in names)
