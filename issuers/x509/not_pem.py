"""What bytes are that should be PEM and are not: told wherever PEM is read and refused, so that one sees what to do.

Pure; linear in the length of what is looked at. No message holds a byte of what was read: it may be a key.
"""

import base64
import binascii
import re

from issuers.x509 import der

_BEGIN = b"-----BEGIN "
# Beyond this nothing is decoded: what is told is told by how the text begins.
_LOOKED_AT = 256 * 1024
_INDENTED = re.compile(rb"^[ \t]+-----BEGIN ", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
_SEQUENCE, _INTEGER, _OBJECT_IDENTIFIER = 0x30, 0x02, 0x06
_PKCS7 = bytes.fromhex("2a864886f70d0107")  # 1.2.840.113549.1.7
_JKS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_MOST = 3


def instead_of_pem(text: bytes) -> str:
    """Say what a text without a PEM block is, and what its author has to do: "is base64 of PEM ..."; "" where nothing is known."""
    return _look(text[:_LOOKED_AT], _MOST)


def no_block(text: bytes) -> str:
    """Say that a text has no PEM block, and what it is instead."""
    if not text.strip():
        return "it is empty"
    instead = instead_of_pem(text)
    return f"there is no PEM block: {instead}" if instead else "there is no PEM block"


def broken(error: ValueError, text: bytes) -> str:
    """Say what is wrong with a text that looks like PEM, and why that may be."""
    instead = instead_of_pem(text)
    return f"{error}: {instead}" if instead else str(error)


def _look(text: bytes, depth: int) -> str:
    if text.startswith(_BOM):
        return "it begins with a byte order mark: save it as UTF-8 without BOM"
    if _BEGIN in text:
        return _lines(text)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or _BEGIN in text.replace(b"\0", b""):
        return "it is UTF-16: save it as plain ASCII text"
    if text.startswith(_JKS):
        return "it is a Java keystore: write its certificate and key as PEM (keytool, then openssl pkcs12)"
    if kind := _der(text):
        return kind
    return _base64(text, depth)


def _lines(text: bytes) -> str:
    """Say what is wrong with the lines of a text that has a BEGIN."""
    if b"\\n" in text:
        return "its line ends are the two characters \\ and n: write real line ends"
    if b"\n" not in text.strip():
        return "its line ends are gone: PEM has BEGIN and END on lines of their own"
    if _INDENTED.search(text):
        return "its lines are indented: each line of PEM begins at the start of the line"
    return ""


def _der(data: bytes) -> str:
    """Say which DER it is."""
    try:
        tag, start, stop = der.element(data, 0, len(data))
        first, begin, end = der.element(data, start, stop)
    except der.DerError:
        return ""
    if tag != _SEQUENCE or stop != len(data):
        return ""
    content = data[begin:end]
    if first == _OBJECT_IDENTIFIER and content.startswith(_PKCS7):
        return "it is PKCS#7 (.p7b): write its certificates as PEM (openssl pkcs7 -inform DER -print_certs)"
    if first == _INTEGER and content == b"\x03":
        return "it is PKCS#12 (.p12, .pfx): write its certificate and key as PEM (openssl pkcs12 -nodes)"
    if first == _INTEGER:
        return "it is DER of a private key: write it as PEM (openssl pkey -inform DER)"
    return "it is DER: write it as PEM (openssl x509 -inform DER, or openssl pkey -inform DER for a key)"


def _base64(text: bytes, depth: int) -> str:
    packed = text.translate(None, _BLANKS)
    if depth == 0 or len(packed) < 16:
        return ""
    try:
        inside = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if _BEGIN in inside:
        return "it is base64 of PEM: data of a Secret is encoded once (stringData takes PEM as it is)"
    if _der(inside):
        return "it is base64 without BEGIN and END lines: PEM has both"
    if _look(inside, depth - 1).startswith("it is base64"):
        return "it is base64 of base64: data of a Secret is encoded once (stringData takes PEM as it is)"
    return ""
