"""Certificates that nobody foresaw, made by hand: each part with whatever a parser takes there, or should not take.

certificate()                                       # an honest root of KEY's
certificate(subject=NAMES["not UTF-8"])             # with another part
TABLE                                               # each part's odd values, one at a time
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors import craft

KEY = craft.p256()
SPIFFE = "spiffe://cluster.local/ns/foo/sa/default"
IAN, SKI, AKI, CRL, POLICIES = "2.5.29.18", "2.5.29.14", "2.5.29.35", "2.5.29.31", "2.5.29.32"
AIA, ADMISSIONS = "1.3.6.1.5.5.7.1.1", "1.3.36.8.3.3"
CA = craft.extension(craft.BC, craft.seq(craft.TRUE), craft.TRUE)
SIGNS = craft.extension(craft.KU, craft.bits(b"\x86", 1), craft.TRUE)
NAMED = craft.extension(craft.SAN, craft.seq(craft.dns("leaf.example"), craft.uri(SPIFFE)))
CLIENT = craft.extension(craft.EKU, craft.seq(craft.oid("1.3.6.1.5.5.7.3.2")))
X400, EDI = bytes.fromhex("a300"), bytes.fromhex("a500")


def _name(tag: int, content: bytes) -> bytes:
    return craft.seq(craft.rdn((craft.CN, craft.tlv(tag, content))))


def _utc(text: bytes) -> bytes:
    return craft.tlv(0x17, text)


def _long(text: bytes) -> bytes:
    return craft.tlv(0x18, text)


BEGIN, END = _utc(b"261121120000Z"), _utc(b"271121120000Z")
ROOT = _name(0x0C, b"root")

NAMES = {
    "empty": craft.seq(),
    "not UTF-8": _name(0x0C, b"\xff\xfe"),
    "IA5 with a high bit": _name(0x16, b"\xff"),
    "T61": _name(0x14, b"\xff"),
    "BMP": _name(0x1E, "root".encode("utf-16-be")),
    "half a BMP character": _name(0x1E, b"\0ab"),
    "a lone surrogate": _name(0x1E, b"\xd8\x00"),
    "UniversalString": _name(0x1C, b"\0\0\0a"),
    "a bit string": _name(0x03, b"\0a"),
    "a bit string for an x500UniqueIdentifier": craft.seq(craft.rdn(("2.5.4.45", craft.bits(b"a")))),
    "a number": _name(0x02, b"\5"),
    "a sequence": _name(0x30, b""),
    "a NULL": _name(0x05, b""),
    "of another class": _name(0x80, b"a"),
    "an empty set": craft.seq(craft.tlv(0x31)),
    "no text": _name(0x0C, b""),
    "a NUL": _name(0x0C, b"a\0b"),
    "lines": _name(0x0C, b"a\r\nb"),
    "right to left": _name(0x0C, "\u202eroot".encode()),
    "a country of three letters": craft.seq(craft.rdn(("2.5.4.6", craft.tlv(0x13, b"DEU")))),
    "60 kB": _name(0x0C, b"x" * 60_000),
    "2,000 parts": craft.seq(craft.rdn((craft.CN, craft.utf8("a"))) * 2000),
    "a placeholder's": craft.seq(craft.rdn((craft.ORGANIZATION, craft.utf8("mesh-signer placeholder")))),
    "a temporary one's": _name(0x13, b"cert-manager.local"),
}
TIMES = {
    "the last second of all": (BEGIN, _long(b"99991231235959Z")),
    "nothing but the last second": (_long(b"99991231235959Z"), _long(b"99991231235959Z")),
    "the year 0": (_long(b"00000101000000Z"), END),
    "until the year 0": (BEGIN, _long(b"00000101000000Z")),
    "the year 1": (_long(b"00010101000000Z"), END),
    "the year 1 and no more": (_long(b"00010101000000Z"), _long(b"00010101000000Z")),
    "1950": (_utc(b"500101000000Z"), END),
    "backwards": (_long(b"99991231235959Z"), _long(b"00010101000000Z")),
    "the 30th of February": (BEGIN, _utc(b"270230120000Z")),
    "a leap second": (BEGIN, _utc(b"270228235960Z")),
    "fractions": (BEGIN, _long(b"20270228235959.5Z")),
    "another zone": (BEGIN, _utc(b"270228235959+0100")),
}
SERIALS = {
    "0": craft.integer(0),
    "-1": craft.integer(-1),
    "of 171 bits": craft.integer(1 << 170),
    "of 5,000 bytes": craft.integer(1 << 40_000),
    "of 5,000 bytes, negative": craft.integer(-(1 << 40_000)),
    "padded": b"\x02\x02\x00\x01",
    "empty": b"\x02\x00",
}


def _ec(parameters: bytes, point: bytes) -> bytes:
    return craft.seq(craft.seq(craft.oid("1.2.840.10045.2.1"), parameters), craft.bits(point))


def _other(algorithm: str, key: bytes, parameters: bytes = b"") -> bytes:
    return craft.seq(craft.seq(craft.oid(algorithm), parameters), craft.bits(key))


_P256 = craft.oid("1.2.840.10045.3.1.7")
_POINT = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
_PRIME = (1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1
# P-256, written out (SEC 1, C.2).
_WRITTEN_OUT = craft.seq(
    craft.integer(1),
    craft.seq(craft.oid("1.2.840.10045.1.1"), craft.integer(_PRIME)),
    craft.seq(
        craft.tlv(4, (_PRIME - 3).to_bytes(32, "big")),
        craft.tlv(4, bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")),
    ),
    craft.tlv(
        4,
        bytes.fromhex(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        ),
    ),
    craft.integer(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    craft.integer(1),
)


def _spki(key: dsa.DSAPublicKey | ed448.Ed448PublicKey | x25519.X25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


KEYS = {
    "DSA": _spki(dsa.generate_private_key(1024).public_key()),
    "Ed448": _spki(ed448.Ed448PrivateKey.generate().public_key()),
    "X25519": _spki(x25519.X25519PrivateKey.generate().public_key()),
    "a curve written out": _ec(_WRITTEN_OUT, _POINT),
    "half a curve": _ec(craft.seq(craft.integer(1)), _POINT),
    "compressed": _ec(_P256, KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
    "not on its curve": _ec(_P256, b"\4" + b"\1" * 64),
    "at infinity": _ec(_P256, b"\0"),
    "of a curve that nobody knows": _ec(craft.oid("1.3.36.3.3.2.8.1.1.99"), _POINT),
    "secp256k1": _ec(craft.oid("1.3.132.0.10"), _POINT),
    "of no curve": _ec(b"", _POINT),
    "not whole bytes": craft.seq(craft.seq(craft.oid("1.2.840.10045.2.1"), _P256), craft.bits(_POINT, 3)),
    "of a kind that nobody knows": _other("1.2.3.4", b"x"),
    "GOST": _other("1.2.643.7.1.1.1.1", b"x" * 66, craft.seq()),
    "half of Ed25519": _other("1.3.101.112", b"x" * 16),
    "RSA of 0": craft.rsa_spki(0, 0),
    "negative RSA": craft.rsa_spki(-(1 << 2047), 3),
    "even RSA": craft.rsa_spki(1 << 2047, 2),
    "tiny RSA": craft.rsa_spki(15, 3),
    "RSA-PSS": _other("1.2.840.113549.1.1.10", craft.seq(craft.integer((1 << 2047) + 1), craft.integer(65537))),
}

_GENERAL = {
    "an x400Address": craft.seq(X400),
    "an x400Address beside a name": craft.seq(craft.dns("leaf.example"), craft.uri(SPIFFE), X400),
    "an ediPartyName": craft.seq(EDI),
    "a broken registeredID": craft.seq(craft.tlv(0x88, b"\x01\xff")),
    "a DNS name that is not ASCII": craft.seq(craft.dns(b"\xff\xfe")),
    "a DNS name with a space": craft.seq(craft.dns("leaf .example")),
    "an address of three bytes": craft.seq(craft.ip(b"123")),
    "a directory name that is no text": craft.seq(craft.tlv(0xA4, NAMES["not UTF-8"])),
    "a directory name of bits": craft.seq(craft.tlv(0xA4, NAMES["a bit string"])),
    "no name": craft.seq(),
    "5,000 names": craft.seq(craft.dns("leaf.example") * 5000),
}
_VALUES = {
    "a string": craft.tlv(4, b"x"),
    "nothing": b"",
    "an empty sequence": craft.seq(),
    "a large number": craft.seq(craft.integer(1 << 70)),
    "a negative number": craft.seq(craft.integer(-1)),
    # The library has a table of TLS features, and raises KeyError for what is not in it.
    "a number that stands for nothing": craft.seq(craft.integer(0x61)),
    "no bits": craft.bits(b""),
    "a deep nest": craft.seq(craft.seq(craft.seq(craft.seq(craft.seq())))),
}
# What the library has a reader of its own for.
_READ_BY_THE_LIBRARY = (
    *(craft.SAN, IAN, SKI, AKI, CRL, POLICIES, AIA, ADMISSIONS, craft.KU, craft.EKU, craft.BC, craft.NC),
    *("2.5.29.9", "2.5.29.16", "2.5.29.36", "2.5.29.46", "2.5.29.54", "1.3.6.1.5.5.7.1.11", "1.3.6.1.5.5.7.1.24"),
    *("1.3.6.1.4.1.11129.2.4.2", "1.3.6.1.4.1.311.21.7"),
)
EXTENSIONS: dict[str, Sequence[bytes]] = {
    "none": (),
    "a CA's twice": (CA, CA),
    "an unknown one twice": (CA, NAMED, craft.extension("1.2.3.4", b"x"), craft.extension("1.2.3.4", b"x")),
    "an unknown critical one": (CA, NAMED, craft.extension("1.2.3.4", b"x", craft.TRUE)),
    "one that is spelt out as not critical": (craft.extension(craft.BC, craft.seq(craft.TRUE), b"\x01\x01\x00"),),
    "no CA, spelt out": (craft.extension(craft.BC, craft.seq(b"\x01\x01\x00")), NAMED, CLIENT),
    "a CA by another truth": (craft.extension(craft.BC, craft.seq(b"\x01\x01\x01")), NAMED),
    "a path length of 200 bits": (craft.extension(craft.BC, craft.seq(craft.TRUE, craft.integer(1 << 200))),),
    "a path length of no CA": (craft.extension(craft.BC, craft.seq(craft.integer(0))), NAMED, CLIENT),
    "an x400Address above": (
        CA,
        NAMED,
        CLIENT,
        craft.extension(AKI, craft.seq(craft.tlv(0x80, b"k"), craft.tlv(0xA1, X400), craft.tlv(0x82, b"\1"))),
    ),
    "an x400Address in name constraints": (CA, craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(X400))))),
    "an x400Address in CRL points": (
        CA,
        craft.extension(CRL, craft.seq(craft.seq(craft.tlv(0xA0, craft.tlv(0xA0, X400))))),
    ),
    **{
        f"{kind}: {what}": (CA, SIGNS, craft.extension(kind, value))
        for kind in (craft.SAN, IAN)
        for what, value in _GENERAL.items()
    },
    **{
        f"leaf, {kind}: {what}": (NAMED, CLIENT, craft.extension(kind, value))
        for kind in (IAN, POLICIES)
        for what, value in _GENERAL.items()
    },
    **{
        f"{kind}: {what}": (*(one for one in (CA, NAMED) if craft.oid(kind) not in one), craft.extension(kind, value))
        for kind in _READ_BY_THE_LIBRARY
        for what, value in _VALUES.items()
    },
}
VERSIONS = {
    "1": b"",
    "2": b"\xa0\x03\x02\x01\x01",
    "4": b"\xa0\x03\x02\x01\x03",
}
ALGORITHMS = {
    "SHA-1": craft.seq(craft.oid("1.2.840.10045.4.1")),
    "RSA-PSS without parameters": craft.seq(craft.oid("1.2.840.113549.1.1.10")),
    "RSA-PSS with broken ones": craft.seq(craft.oid("1.2.840.113549.1.1.10"), craft.seq(craft.seq())),
    "unknown": craft.seq(craft.oid("1.2.3.4"), craft.integer(4)),
}
PARTS: Mapping[str, Mapping[str, Any]] = {
    "subject": NAMES,
    "issuer": NAMES,
    "times": TIMES,
    "serial": SERIALS,
    "spki": KEYS,
    "extensions": EXTENSIONS,
    "version": VERSIONS,
    "algorithm": ALGORITHMS,
}


def certificate(
    *,
    version: bytes = b"\xa0\x03\x02\x01\x02",
    serial: bytes = craft.integer(5),
    algorithm: bytes = craft.SHA256_ECDSA,
    issuer: bytes = ROOT,
    times: tuple[bytes, bytes] = (BEGIN, END),
    subject: bytes = ROOT,
    spki: bytes = craft.spki(KEY),
    extensions: Sequence[bytes] = (CA, SIGNS, NAMED),
) -> bytes:
    """A certificate (DER) of these parts, each with its tag, signed with KEY."""
    row = craft.tlv(0xA3, craft.seq(*extensions)) if extensions else b""
    tbs = craft.seq(version, serial, algorithm, issuer, craft.seq(*times), subject, spki, row)
    return craft.seq(tbs, algorithm, craft.bits(KEY.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def pem(data: bytes) -> bytes:
    return craft.pem(data, "CERTIFICATE")


TABLE: dict[str, bytes] = {
    **{
        f"{part}: {what}": certificate(**{part: value})
        for part, values in PARTS.items()
        for what, value in values.items()
    },
    **{f"both names: {what}": certificate(subject=name, issuer=name) for what, name in NAMES.items()},
}
