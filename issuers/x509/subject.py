"""Distinguished names: read strictly, written as Go writes them, carried as bytes in between.

The certificate's subject is the request's, byte for byte, as with cert-manager; reading is only for judging and
showing. Raw bytes also spare a detour: pyca's Name warns about or refuses lengths that Go and cert-manager sign
(a common name above 64 characters). Pure functions.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from issuers.x509 import der

EMPTY_NAME = b"\x30\x00"

COMMON_NAME = "2.5.4.3"
SERIAL_NUMBER = "2.5.4.5"
COUNTRY = "2.5.4.6"
LOCALITY = "2.5.4.7"
PROVINCE = "2.5.4.8"
STREET_ADDRESS = "2.5.4.9"
ORGANIZATION = "2.5.4.10"
ORGANIZATIONAL_UNIT = "2.5.4.11"
POSTAL_CODE = "2.5.4.17"

_SHORT = {
    COMMON_NAME: "CN",
    SERIAL_NUMBER: "SERIALNUMBER",
    COUNTRY: "C",
    LOCALITY: "L",
    PROVINCE: "ST",
    STREET_ADDRESS: "STREET",
    ORGANIZATION: "O",
    ORGANIZATIONAL_UNIT: "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

# Go takes the asterisk and the ampersand too (crypto/x509 isPrintable), and writes neither.
_PRINTABLE = re.compile(rb"[A-Za-z0-9 '()+,\-./:=?*&]*")
_WRITTEN_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPECIAL = re.compile(r'([,+"\\<>;=])')

# One relative distinguished name: (dotted type, text) pairs.
RelativeName = tuple[tuple[str, str], ...]


def read_name(buf: bytes, pos: int, end: int) -> tuple[RelativeName, ...]:
    """Read the Name at `pos`, which must end at `end`. Raises der.DerError.

    Texts are the string kinds that Go reads in certificates (crypto/x509 parseASN1String); control characters,
    NUL first of all, are refused: some readers end a text there.
    """
    pos, end = der.only(buf, pos, end, der.SEQUENCE)
    names: list[RelativeName] = []
    while pos < end:
        inner, pos = der.expect(buf, pos, end, der.SET)
        names.append(_relative_name(buf, inner, pos))
    return tuple(names)


def _relative_name(buf: bytes, pos: int, end: int) -> RelativeName:
    if pos == end:
        raise der.DerError("an empty relative distinguished name")
    pairs: list[tuple[str, str]] = []
    before = b""
    while pos < end:
        start, stop = der.expect(buf, pos, end, der.SEQUENCE)
        content, inner = der.expect(buf, start, stop, der.OBJECT_IDENTIFIER)
        kind = der.object_identifier(buf[content:inner])
        tag, content, after = der.element(buf, inner, stop)
        if after != stop:
            raise der.DerError("trailing data in an attribute")
        pairs.append((kind, _text(tag, buf[content:after])))
        if buf[pos:stop] <= before:
            raise der.DerError("attributes of a relative distinguished name out of order")
        before = buf[pos:stop]
        pos = stop
    return tuple(pairs)


def _text(tag: int, content: bytes) -> str:
    try:
        if tag == der.UTF8_STRING:
            text = content.decode("utf-8")
        elif tag == der.PRINTABLE_STRING:
            if not _PRINTABLE.fullmatch(content):
                raise der.DerError("a PrintableString with other characters")
            text = content.decode("ascii")
        elif tag in (der.IA5_STRING, der.NUMERIC_STRING):
            text = content.decode("ascii")
            if tag == der.NUMERIC_STRING and content.strip(b"0123456789 "):
                raise der.DerError("a NumericString with other characters")
        elif tag == der.T61_STRING:
            text = content.decode("latin-1")
        elif tag == der.BMP_STRING:
            text = content.decode("utf-16-be")
            # UCS-2 has no pairs of surrogates; Go refuses these reserved points too.
            if any(ord(char) > 0xFFFD or 0xFDD0 <= ord(char) <= 0xFDEF for char in text):
                raise der.DerError("a BMPString with reserved characters")
        else:
            raise der.DerError(f"an attribute of kind 0x{tag:02x}, which is not text")
    except UnicodeDecodeError:
        raise der.DerError("an attribute with a broken text") from None
    if _CONTROL.search(text):
        raise der.DerError("an attribute with control characters")
    return text


@functools.lru_cache(maxsize=256)
def same_name(one: bytes, other: bytes) -> bool:
    """Whether two Names (DER) are one to verifiers, which look at neither case nor spaces (RFC 5280, 7.1)."""
    return one == other or _folded(one) == _folded(other)


def _folded(name: bytes) -> list[list[tuple[str, str]]]:
    return [
        [(kind, " ".join(text.split()).casefold()) for kind, text in pairs] for pairs in read_name(name, 0, len(name))
    ]


def name_text(names: Sequence[RelativeName]) -> str:
    """Show a name on one line as RFC 4514 does, last part first; empty for an empty name."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escape(text)}" for kind, text in pairs) for pairs in reversed(names)
    )


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a Certificate as cert-manager's API has it (spec.commonName and spec.subject)."""

    common_name: str = ""
    countries: tuple[str, ...] = ()
    provinces: tuple[str, ...] = ()
    localities: tuple[str, ...] = ()
    street_addresses: tuple[str, ...] = ()
    postal_codes: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    organizational_units: tuple[str, ...] = ()
    serial_number: str = ""

    def encode(self) -> bytes:
        """Write the name as Go's crypto/x509/pkix Name does: its order, one SET a kind, PrintableString if it fits.

        Raises ValueError for a text that cannot be UTF-8.
        """
        kinds = (
            (COUNTRY, self.countries),
            (PROVINCE, self.provinces),
            (LOCALITY, self.localities),
            (STREET_ADDRESS, self.street_addresses),
            (POSTAL_CODE, self.postal_codes),
            (ORGANIZATION, self.organizations),
            (ORGANIZATIONAL_UNIT, self.organizational_units),
            (COMMON_NAME, (self.common_name,) if self.common_name else ()),
            (SERIAL_NUMBER, (self.serial_number,) if self.serial_number else ()),
        )
        return der.sequence(
            *[der.set_of([_attribute(kind, text) for text in texts]) for kind, texts in kinds if texts],
        )


def encode_name(names: Sequence[RelativeName]) -> bytes:
    """Write relative names in the order given, as Go does. Raises ValueError for a text that cannot be UTF-8."""
    return der.sequence(*[der.set_of([_attribute(kind, text) for kind, text in pairs]) for pairs in names])


def _attribute(kind: str, text: str) -> bytes:
    tag = der.PRINTABLE_STRING if _WRITTEN_PRINTABLE.fullmatch(text) else der.UTF8_STRING
    return der.sequence(der.encode_object_identifier(kind), der.tlv(tag, text.encode("utf-8")))
