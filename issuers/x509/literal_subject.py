"""A Certificate's literalSubject, as "CN=foo,OU=bar,O=baz", becomes the name that cert-manager writes for it.

Own code: the library's reader of RFC 4514 knows other names, refuses what cert-manager takes (spaces, ";" between parts)
and gives a name that it would write otherwise. Here the text is read as github.com/go-ldap/ldap/v3 does (ParseDN), which
cert-manager calls; the differential test holds the two against each other. Pure functions.
"""

import binascii
import re

from issuers.x509 import der
from issuers.x509.subject import (
    COMMON_NAME,
    COUNTRY,
    LOCALITY,
    ORGANIZATION,
    ORGANIZATIONAL_UNIT,
    PROVINCE,
    SERIAL_NUMBER,
    STREET_ADDRESS,
    RelativeName,
    encode_name,
)

MAX_LITERAL_BYTES = 16 * 1024
"""A request may have 64 KiB; a name of people or machines has a few hundred bytes."""

_TYPES = {
    "C": COUNTRY,
    "O": ORGANIZATION,
    "OU": ORGANIZATIONAL_UNIT,
    "CN": COMMON_NAME,
    "SERIALNUMBER": SERIAL_NUMBER,
    "L": LOCALITY,
    "ST": PROVINCE,
    "STREET": STREET_ADDRESS,
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
}
_ESCAPED = frozenset(' "#+,;<=>\\')
_AFTER_BACKSLASH = 'after a backslash comes one of , + " \\ < > ; = # or two hex digits'
_HEX = re.compile(r"[0-9A-Fa-f]{2}", re.ASCII)
_SPACES = " \t\n\v\f\r\x85\xa0"
_MAX_SHOWN = 64


def read_literal_subject(text: str) -> tuple[RelativeName, ...]:
    """Read the text into relative names as they stand in a certificate: the text's last part first (RFC 4514, 2.1).

    Types are the ten names of cert-manager (C, O, OU, CN, SERIALNUMBER, L, ST, STREET, DC, UID, in capitals) or object
    identifiers. Raises ValueError, with a message for people, for what cert-manager refuses, and for a value in hex
    (#...) that is not one text.
    """
    if len(text.encode("utf-8", "replace")) > MAX_LITERAL_BYTES:
        raise ValueError(f"more than {MAX_LITERAL_BYTES} bytes")
    if not text.strip(_SPACES):
        return ()
    names: list[RelativeName] = []
    pairs: list[tuple[str, str]] = []
    kind, start, escaping = "", 0, False
    for position, char in enumerate(text):
        if escaping:
            escaping = False
        elif char == "\\":
            escaping = True
        elif char == "=" and not kind:
            kind, start = _unescaped(text[start:position]), position + 1
        elif char in ",+;":
            if not kind:
                raise ValueError(
                    f"{text[start:position][:_MAX_SHOWN]!r} is not a pair of type and value, such as CN=name"
                )
            pairs.append((_type(kind), _value(text[start:position])))
            kind, start = "", position + 1
            if char != "+":
                names.append(tuple(pairs))
                pairs = []
    if not kind:
        raise ValueError(
            f"it ends with {text[start:][:_MAX_SHOWN]!r}, which is not a pair of type and value, such as CN=name"
        )
    pairs.append((_type(kind), _value(text[start:])))
    names.append(tuple(pairs))
    return tuple(reversed(names))


def encode_literal_subject(text: str) -> bytes:
    """Write the name (DER) that the text stands for. Raises ValueError."""
    return encode_name(read_literal_subject(text))


def common_name_of(names: tuple[RelativeName, ...]) -> str:
    """The first common name, "" when there is none."""
    return next((text for pairs in names for kind, text in pairs if kind == COMMON_NAME), "")


def _type(kind: str) -> str:
    if kind in _TYPES:
        return _TYPES[kind]
    try:
        # Go reads each arc with a sign and zeros in front of it.
        dotted = ".".join(str(int(part)) for part in kind.split(".") if re.fullmatch(r"\+?[0-9]{1,20}", part, re.ASCII))
        if dotted.count(".") == kind.count("."):
            der.encode_object_identifier(dotted)
            return dotted
    except ValueError:
        pass
    known = ", ".join(_TYPES)
    raise ValueError(f"{kind[:_MAX_SHOWN]!r} is not a type that is known: {known}, or an object identifier")


def _value(text: str) -> str:
    return _decoded(text[1:]) if text.startswith("#") else _unescaped(text)


def _decoded(text: str) -> str:
    """Read a value that is given as the hex of its BER encoding (RFC 4514, 2.4): the text in it."""
    try:
        data = bytes.fromhex(text) if re.fullmatch(r"[0-9A-Fa-f]*", text, re.ASCII) else b""
        tag, start, stop = der.element(data, 0, len(data))
        if stop == len(data) and tag in (der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING):
            return data[start:stop].decode("utf-8")
    except ValueError:
        pass
    raise ValueError(f"#{text[:_MAX_SHOWN]} is not the hex of one text")


def _unescaped(text: str) -> str:
    """Take spaces off both ends, and the escapes out: a special character, or two hex digits for one byte."""
    stripped = text.strip(" ")
    if stripped.endswith("\\") and text.endswith(" "):
        stripped += " "  # the space was escaped
    found = bytearray()
    position = 0
    while position < len(stripped):
        char = stripped[position]
        if char != "\\":
            found += char.encode("utf-8", "surrogatepass")
            position += 1
            continue
        following = stripped[position + 1 : position + 2]
        if following and following in _ESCAPED:
            found += following.encode()
            position += 2
        elif _HEX.fullmatch(stripped[position + 1 : position + 3]):
            found += binascii.unhexlify(stripped[position + 1 : position + 3])
            position += 3
        else:
            raise ValueError(
                f'{stripped[position : position + 3]!r}: a backslash stands before , + " \\ < > ; = # or two hex digits'
            )
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{stripped[:_MAX_SHOWN]!r} is not UTF-8") from None
