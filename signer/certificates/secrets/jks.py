"""Writes Java's keystores of type JKS, which cert-manager offers beside PKCS#12.

Own code: pyjks, the one library that writes them, had its last release in 2020 and brings four packages along (twofish and
pycryptodomex in C); the format is SHA-1 and a dozen lengths, and has not changed since 1998. Java's own keytool, and the
library that cert-manager writes with, read it in tests. The format protects little: who needs more takes PKCS#12.

Pure. Source: OpenJDK, sun.security.provider.JavaKeyStore and KeyProtector.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from issuers.x509 import der

_MAGIC = bytes.fromhex("feedfeed")
_VERSION = 2
_KEY_ENTRY = 1
_TRUSTED_ENTRY = 2
# Sun's own way to hide a key: 1.3.6.1.4.1.42.2.17.1.1, without parameters.
_PROTECTOR = der.sequence(der.encode_object_identifier("1.3.6.1.4.1.42.2.17.1.1"), b"\x05\x00")
_WHITENER = b"Mighty Aphrodite"
SALT_BYTES = 20


def write_jks(
    password: str,
    *,
    key: tuple[str, bytes, Sequence[bytes]] | None,
    trusted: Sequence[tuple[str, bytes]],
    made: datetime,
    salt: bytes,
) -> bytes:
    """Write a keystore: `key` is (alias, PKCS#8 in DER, chain in DER, leaf first), `trusted` are (alias, DER).

    Aliases are written in small letters, as Java looks them up. `made` is noted with each entry; `salt` has SALT_BYTES of
    chance. Raises ValueError for a
    text that is too long for the format (65,535 bytes).
    """
    secret = password.encode("utf-16-be", "surrogatepass")
    stamp = int(made.timestamp() * 1000).to_bytes(8, "big", signed=True)  # a certificate may begin before 1970
    entries = []
    if key is not None:
        alias, private, chain = key
        protected = _protect(secret, private, salt)
        entries.append(
            _number(_KEY_ENTRY)
            + _text(alias.lower())
            + stamp
            + _number(len(protected))
            + protected
            + _number(len(chain))
            + b"".join(map(_certificate, chain))
        )
    for alias, data in trusted:
        entries.append(_number(_TRUSTED_ENTRY) + _text(alias.lower()) + stamp + _certificate(data))
    body = _MAGIC + _number(_VERSION) + _number(len(entries)) + b"".join(entries)
    return body + hashlib.sha1(secret + _WHITENER + body, usedforsecurity=False).digest()


def _protect(secret: bytes, private: bytes, salt: bytes) -> bytes:
    """Hide a key as Sun does: a stream of SHA-1 over password and salt, and a checksum behind it."""
    stream, last = bytearray(), salt
    while len(stream) < len(private):
        last = hashlib.sha1(secret + last, usedforsecurity=False).digest()
        stream += last
    hidden = bytes(one ^ other for one, other in zip(private, stream, strict=False))
    check = hashlib.sha1(secret + private, usedforsecurity=False).digest()
    return der.sequence(_PROTECTOR, der.tlv(der.OCTET_STRING, salt + hidden + check))


def _certificate(data: bytes) -> bytes:
    return _text("X.509") + _number(len(data)) + data


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _text(text: str) -> bytes:
    """Java's modified UTF-8: NUL has two bytes, and what is beyond 16 bits is two surrogates of three bytes each."""
    data = bytearray()
    units = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(units), 2):
        unit = units[index] << 8 | units[index + 1]
        data += b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass")
    if len(data) > 0xFFFF:
        raise ValueError(f"{len(data)} bytes are too many for a name in a keystore")
    return len(data).to_bytes(2, "big") + bytes(data)
