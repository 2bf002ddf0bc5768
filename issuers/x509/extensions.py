"""Extensions of X.509: read them from CSRs and certificates, write them into certificates.

Values stay bytes; what each means is read by the module that needs it. Pure functions.
"""

from dataclasses import dataclass

from issuers.x509 import der

SUBJECT_KEY_IDENTIFIER = bytes.fromhex("0603551d0e")
KEY_USAGE = bytes.fromhex("0603551d0f")
SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
BASIC_CONSTRAINTS = bytes.fromhex("0603551d13")
NAME_CONSTRAINTS = bytes.fromhex("0603551d1e")
CRL_DISTRIBUTION_POINTS = bytes.fromhex("0603551d1f")
AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")
EXTENDED_KEY_USAGE = bytes.fromhex("0603551d25")
CERTIFICATE_POLICIES = bytes.fromhex("0603551d20")
POLICY_MAPPINGS = bytes.fromhex("0603551d21")
POLICY_CONSTRAINTS = bytes.fromhex("0603551d24")
INHIBIT_ANY_POLICY = bytes.fromhex("0603551d36")
AUTHORITY_INFORMATION_ACCESS = bytes.fromhex("06082b06010505070101")

_TRUE = bytes.fromhex("0101ff")

# (criticality, value) by the identifier's DER with its header.
Extensions = dict[bytes, tuple[bool, bytes]]


def read_extensions(buf: bytes, pos: int, end: int) -> Extensions:
    """Read the content of `Extensions` (RFC 5280, 4.1): a row of SEQUENCE {identifier, critical, OCTET STRING}.

    The order is kept. Raises der.DerError, also when one identifier appears twice.
    """
    found: Extensions = {}
    while pos < end:
        start, stop = der.expect(buf, pos, end, der.SEQUENCE)
        content, inner = der.expect(buf, start, stop, der.OBJECT_IDENTIFIER)
        identifier = buf[start:inner]
        dotted = der.object_identifier(buf[content:inner])
        tag, content, after = der.element(buf, inner, stop)
        critical = False
        if tag == der.BOOLEAN:
            # DER leaves a default out, so an encoded FALSE is a second spelling (X.690, 11.5).
            if not der.boolean(buf, content, after):
                raise der.DerError("an extension that spells out that it is not critical")
            critical = True
            tag, content, after = der.element(buf, after, stop)
        if tag != der.OCTET_STRING or after != stop:
            raise der.DerError("an extension that is not identifier, criticality and value")
        if identifier in found:
            raise der.DerError(f"extension {dotted} appears twice")
        found[identifier] = (critical, buf[content:after])
        pos = stop
    return found


def encode_extension(identifier: bytes, value: bytes, *, critical: bool) -> bytes:
    """Write one extension; `identifier` is one of the constants above."""
    return der.sequence(identifier, _TRUE if critical else b"", der.tlv(der.OCTET_STRING, value))


def decode_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    """Read BasicConstraints into (is a CA, path length). Raises der.DerError; a path length without CA is refused."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    if pos == end:
        return False, None
    start, pos = der.expect(value, pos, end, der.BOOLEAN)
    if not der.boolean(value, start, pos):
        raise der.DerError("BasicConstraints that spell out the default")
    if pos == end:
        return True, None
    start, stop = der.only(value, pos, end, der.INTEGER)
    return True, der.unsigned(value, start, stop)


def encode_basic_constraints(*, is_ca: bool, path_length: int | None) -> bytes:
    """Write BasicConstraints; a path length only makes sense for a CA."""
    if not is_ca:
        return der.sequence()
    return der.sequence(_TRUE, b"" if path_length is None else der.integer(path_length))


def decode_subject_key_id(value: bytes) -> bytes:
    """Read a SubjectKeyIdentifier. Raises der.DerError."""
    start, stop = der.only(value, 0, len(value), der.OCTET_STRING)
    return value[start:stop]


def decode_authority_key_id(value: bytes) -> bytes:
    """Read an AuthorityKeyIdentifier that holds a key identifier alone. Raises der.DerError."""
    start, stop = der.only(value, 0, len(value), der.SEQUENCE)
    start, stop = der.only(value, start, stop, 0x80)
    return value[start:stop]


@dataclass(frozen=True, slots=True)
class AuthorityKey:
    """What an AuthorityKeyIdentifier says of the certificate above: its key, or its serial number, or both."""

    key_id: bytes | None
    serial: int | None


def read_authority_key(value: bytes) -> AuthorityKey:
    """Read an AuthorityKeyIdentifier of any form (RFC 5280, 4.2.1.1). Raises der.DerError."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    key_id: bytes | None = None
    serial: int | None = None
    while pos < end:
        tag, start, pos = der.element(value, pos, end)
        if tag == 0x80:
            key_id = value[start:pos]
        elif tag == 0x82:
            serial = der.unsigned(value, start, pos)
        elif tag != 0xA1:
            raise der.DerError("an AuthorityKeyIdentifier with other parts")
    return AuthorityKey(key_id, serial)


def decode_explicit_policy(value: bytes) -> int | None:
    """Read requireExplicitPolicy of PolicyConstraints (RFC 5280, 4.2.1.11); None when absent. Raises der.DerError."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    if pos < end and value[pos] == 0x80:
        start, stop = der.expect(value, pos, end, 0x80)
        return der.unsigned(value, start, stop)
    return None


def decode_uris(value: bytes) -> tuple[bytes, ...]:
    """Collect every URI of a CRLDistributionPoints or AuthorityInfoAccess, in order. Raises der.DerError."""
    der.check_depth(value, 0, len(value))
    found: list[bytes] = []
    _collect_uris(value, 0, len(value), found)
    return tuple(found)


def _collect_uris(value: bytes, pos: int, end: int, found: list[bytes]) -> None:
    while pos < end:
        tag, start, pos = der.element(value, pos, end)
        if tag & 0x20:
            _collect_uris(value, start, pos, found)
        elif tag == 0x86:
            found.append(value[start:pos])
