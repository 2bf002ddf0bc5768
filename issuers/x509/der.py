"""A strict reader and a small writer for DER (ITU-T X.690).

Why not the library's parser: a CSR is read twice, by Go (API server, istiod) and by us, and an attacker lives where
the two differ. pyca/cryptography takes Microsoft's extension attribute for the PKCS#9 one, and gives a name rebuilt
instead of the bytes that cert-manager copies. So CSRs are walked here, where only one reading exists, and the bytes
that were read are the bytes that are signed. Cost: about half a microsecond an element.

Positions are offsets into one bytes object; nothing is copied until it is kept. Pure functions.
"""

import functools

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
NUMERIC_STRING = 0x12
PRINTABLE_STRING = 0x13
T61_STRING = 0x14
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
BMP_STRING = 0x1E
SEQUENCE = 0x30
SET = 0x31

_MAX_LENGTH_BYTES = 3  # 16 MiB: far above every limit on what is read here
_MAX_DEPTH = 16
_MAX_IDENTIFIER_BYTES = 64  # the longest in use have 20; what is read is cached


class DerError(ValueError):
    """Not DER, or not what is expected at this place. The message says what, without the place."""


def element(buf: bytes, pos: int, end: int) -> tuple[int, int, int]:
    """Read the header of the element at `pos`: (tag, start, stop) of its content, which ends at or before `end`."""
    start = pos + 2
    if start > end:
        raise DerError("truncated")
    tag = buf[pos]
    if tag & 0x1F == 0x1F:
        raise DerError("a tag of more than one byte")
    length = buf[pos + 1]
    if length > 0x7F:
        count = length & 0x7F
        if not 0 < count <= _MAX_LENGTH_BYTES:
            raise DerError("a length that is indefinite or too long")
        if start + count > end:
            raise DerError("truncated")
        length = int.from_bytes(buf[start : start + count], "big")
        if length <= 0x7F or not buf[start]:
            raise DerError("a length that is longer than needed")
        start += count
    stop = start + length
    if stop > end:
        raise DerError("truncated")
    return tag, start, stop


def expect(buf: bytes, pos: int, end: int, tag: int) -> tuple[int, int]:
    """Read the header of the element at `pos`, which must have this tag: (start, stop) of its content."""
    found, start, stop = element(buf, pos, end)
    if found != tag:
        raise DerError(f"tag 0x{found:02x} where 0x{tag:02x} is expected")
    return start, stop


def only(buf: bytes, pos: int, end: int, tag: int) -> tuple[int, int]:
    """As `expect`, and the element must fill everything up to `end`."""
    start, stop = expect(buf, pos, end, tag)
    if stop != end:
        raise DerError("trailing data")
    return start, stop


def check_depth(buf: bytes, pos: int, end: int, depth: int = 0) -> None:
    """Check that [pos, end) is a row of well-formed elements all the way down. For content that is only carried."""
    if depth > _MAX_DEPTH:
        raise DerError("nested too deeply")
    while pos < end:
        tag, start, stop = element(buf, pos, end)
        if tag & 0x20:
            check_depth(buf, start, stop, depth + 1)
        pos = stop


def check_integer(buf: bytes, start: int, stop: int) -> None:
    """Check that the content is an INTEGER in its shortest form (X.690, 8.3.2)."""
    if start == stop:
        raise DerError("an empty INTEGER")
    if stop - start > 1 and (
        (buf[start] == 0x00 and buf[start + 1] < 0x80) or (buf[start] == 0xFF and buf[start + 1] >= 0x80)
    ):
        raise DerError("an INTEGER that is longer than needed")


def unsigned(buf: bytes, start: int, stop: int) -> int:
    """Read an INTEGER's content that must not be negative."""
    check_integer(buf, start, stop)
    if buf[start] & 0x80:
        raise DerError("a negative INTEGER")
    return int.from_bytes(buf[start:stop], "big")


def boolean(buf: bytes, start: int, stop: int) -> bool:
    """Read a BOOLEAN's content: in DER FALSE is 0x00 and TRUE is 0xFF (X.690, 11.1)."""
    content = buf[start:stop]
    if content == b"\xff":
        return True
    if content == b"\x00":
        return False
    raise DerError("a BOOLEAN that is neither 0x00 nor 0xff")


@functools.lru_cache(maxsize=512)
def object_identifier(content: bytes) -> str:
    """Read an OBJECT IDENTIFIER's content as dotted text."""
    if not content or content[-1] & 0x80:
        raise DerError("a broken OBJECT IDENTIFIER")
    if len(content) > _MAX_IDENTIFIER_BYTES:
        raise DerError(f"an OBJECT IDENTIFIER of more than {_MAX_IDENTIFIER_BYTES} bytes")
    arcs: list[int] = []
    value = 0
    fresh = True
    for byte in content:
        if fresh and byte == 0x80:
            raise DerError("an OBJECT IDENTIFIER with a padded arc")
        value = value << 7 | byte & 0x7F
        fresh = not byte & 0x80
        if fresh:
            # 2**31 is Go's limit too: a larger arc is read there as an error.
            if value > 0x7FFFFFFF:
                raise DerError("an OBJECT IDENTIFIER with an arc above 2^31")
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


@functools.lru_cache(maxsize=256)
def encode_object_identifier(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER, with its header. Raises DerError when the text is not one."""
    parts = dotted.split(".")
    # Ten digits hold every arc that is taken; Python makes no number of thousands of them.
    if len(parts) < 2 or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise DerError(f"{dotted[:64]!r} is not an object identifier")
    arcs = [int(part) for part in parts]
    if arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39) or any(arc > 0x7FFFFFFF for arc in arcs):
        raise DerError(f"{dotted!r} is not an object identifier")
    content = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        rest = arc >> 7
        while rest:
            groups.append(rest & 0x7F | 0x80)
            rest >>= 7
        content += bytes(reversed(groups))
    return tlv(OBJECT_IDENTIFIER, bytes(content))


def tlv(tag: int, content: bytes) -> bytes:
    """Write one element."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    if length < 0x100:
        return bytes((tag, 0x81, length)) + content
    if length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF)) + content
    return bytes((tag, 0x83, length >> 16, length >> 8 & 0xFF, length & 0xFF)) + content


def sequence(*parts: bytes) -> bytes:
    """Write a SEQUENCE of ready elements."""
    return tlv(SEQUENCE, b"".join(parts))


def set_of(parts: list[bytes]) -> bytes:
    """Write a SET OF, sorted as DER wants it (X.690, 11.6)."""
    return tlv(SET, b"".join(sorted(parts)))


def integer(value: int) -> bytes:
    """Write an INTEGER that is not negative."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(content: bytes) -> bytes:
    """Write a BIT STRING of whole bytes."""
    return tlv(BIT_STRING, b"\x00" + content)
