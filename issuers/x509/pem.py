"""PEM (RFC 7468), strictly for what strangers send and as far as needed for what admins store.

Two PEM readers disagree about which block of a hostile text is the first one: Go wants BEGIN at the start of a line,
others take it anywhere. So a request must be exactly one block, from its first byte on. Pure functions.
"""

import binascii
import re

from issuers.x509.not_pem import instead_of_pem

_REQUEST = "CERTIFICATE REQUEST"
_BEGIN_REQUEST = b"-----BEGIN CERTIFICATE REQUEST-----"
_END_REQUEST = b"-----END CERTIFICATE REQUEST-----"
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9. ]{1,64})-----[ \t]*\r?\n")
_OTHER_LABEL = re.compile(rb"(-----(?:BEGIN|END) )X\.?509 (CERTIFICATE-----)")
_GO_BEGIN = b"-----BEGIN "
_GO_END = b"\n-----END "
_DASHES = b"-----"
REQUEST_LABELS = (b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")
_END_OF_LINE = re.compile(rb"[ \t]*(?:\r?\n|\Z)")
_LINE = 64


class PemError(ValueError):
    """Text that is not the PEM it should be. The message is for people."""


def read_request(pem: bytes) -> bytes:
    """Give the DER of a text that is one `CERTIFICATE REQUEST` block and nothing else.

    The API server accepts this label only (k8s.io/kubernetes pkg/apis/certificates/v1 ParseCSR). BEGIN stands at
    byte 0; base64 is canonical, its lines end with LF or CRLF; after END there is only white space.
    Raises PemError.
    """
    if not pem.startswith(_BEGIN_REQUEST):
        raise PemError(_wrong_start(pem))
    end = pem.find(b"-----", len(_BEGIN_REQUEST))
    if end < 0 or not pem.startswith(_END_REQUEST, end):
        raise PemError("the PEM block has no matching END line")
    rest = pem[end + len(_END_REQUEST) :]
    if rest and not rest.isspace():
        if b"-----BEGIN " in rest:
            raise PemError("two PEM blocks, one is expected")
        raise PemError("data after the PEM block")
    text = pem[len(_BEGIN_REQUEST) : end]
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if b":" in text:
        raise PemError("PEM headers are not accepted")
    if not text.startswith(b"\n") or not text.endswith(b"\n") or b"\n\n" in text:
        raise PemError("the PEM block has empty or unfinished lines")
    if not _END_OF_LINE.match(rest):
        raise PemError("data after the PEM block")
    return _base64(text.replace(b"\n", b""))


def find_request(text: bytes) -> bytes:
    """Give the DER of the first PEM block of a text as Go finds it, which must be a request's. For signers outside a mesh.

    So what common tools write is taken: text before and after the block (openssl req -text), the label NEW CERTIFICATE
    REQUEST (keytool), headers, and white space in the base64. Who reads the same text with Go finds the same block: this
    follows encoding/pem Decode step by step. Takes time linear in the length. Raises PemError.
    """
    found = _first_block(text)
    if found is None:
        raise PemError(_no_request(text))
    label, data = found
    if label not in REQUEST_LABELS:
        raise PemError(f"the first PEM block is a {label.decode('ascii', 'replace')[:_LINE]}, not a {_REQUEST}")
    if not data:
        raise PemError("the PEM block is empty")
    return data


def _first_block(text: bytes) -> tuple[bytes, bytes] | None:
    """Find (label, content) of the first block that Go takes for one."""
    place = 0
    while (end := text.find(_GO_END, place)) >= 0:
        trailer = end + len(_GO_END)
        begin = text.rfind(_GO_BEGIN, place, end)
        if begin < 0 or (begin > place and text[begin - 1] != 0x0A):
            place = trailer
            continue
        line, body = _line(text, begin + len(_GO_BEGIN))
        if not line.endswith(_DASHES):
            place = max(trailer, body)
            continue
        label, headers = line[: -len(_DASHES)], False
        while True:
            if body >= len(text):
                return None
            line, following = _line(text, body)
            if b":" not in line:
                break
            headers, body = True, following
        place = max(trailer, body)
        rest, _ = _line(text, trailer + len(label) + len(_DASHES))
        if (headers and end < body) or text[trailer : trailer + len(label) + len(_DASHES)] != label + _DASHES or rest:
            continue
        data = _go_base64(text[body:end]) if end > body else b""
        if data is not None:
            return label, data
    return None


def _line(text: bytes, start: int) -> tuple[bytes, int]:
    """Give the line at `start` without its end and the blanks before it, and where the next one begins."""
    end = text.find(b"\n", start)
    stop, following = (len(text), len(text)) if end < 0 else (end, end + 1)
    if end >= 0 and end > start and text[end - 1] == 0x0D:
        stop -= 1
    return text[start:stop].rstrip(b" \t"), following


def _go_base64(body: bytes) -> bytes | None:
    """Decode as Go does: blanks and line ends are passed over, stray bits at the end count for nothing."""
    text = body.translate(None, b" \t\r\n")
    if len(text) % 4:
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        return None


def _wrong_start(pem: bytes) -> str:
    if _BEGIN_REQUEST in pem:
        return f"data before the PEM block: BEGIN {_REQUEST} must be the first thing"
    if b"-----BEGIN " in pem:
        return f"the PEM block is not a {_REQUEST}"
    return _no_request(pem)


def _no_request(text: bytes) -> str:
    if not text:
        return "it is empty"
    instead = instead_of_pem(text)
    return f"there is no PEM block {_REQUEST}" + (f": {instead}" if instead else "")


def _base64(text: bytes) -> bytes:
    if not text:
        raise PemError("the PEM block is empty")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        data = b""
    # strict_mode lets stray bits in the last character pass, and in some versions padding: other spellings of the
    # same bytes.
    if binascii.b2a_base64(data, newline=False) != text:
        raise PemError("the PEM block is not canonical base64")
    return data


def read_blocks(text: bytes) -> list[tuple[str, bytes]]:
    """Give (label, content) of every block, in order; text between blocks is passed over: tools write comments there.

    For what an admin or a tenant stored (tls.crt, tls.key, ca.crt). Takes time linear in the length. Raises PemError
    for a block without end, with headers, or whose base64 is broken.
    """
    blocks = []
    pos = 0
    while (begin := text.find(b"-----BEGIN ", pos)) >= 0:
        found = _BEGIN.match(text, begin)
        if found is None or (begin and text[begin - 1] != 0x0A):
            raise PemError("a PEM block with a broken BEGIN line")
        label = found[1]
        end = text.find(b"-----END %b-----" % label, found.end())
        # Go wants END at the start of a line, as BEGIN.
        if end < 0 or text[end - 1] != 0x0A or b"-----" in text[found.end() : end]:
            raise PemError("a PEM block without its END line")
        body = text[found.end() : end]
        if b":" in body:
            raise PemError(
                "a PEM block with headers: it is encrypted" if b"ENCRYPTED" in body else "a PEM block with headers"
            )
        # The white space that Go passes over, and no other.
        blocks.append((label.decode("ascii"), _base64(body.translate(None, b" \t\r\n"))))
        pos = end + len(label) + 14
        if not _END_OF_LINE.match(text, pos):
            # Go takes no such line for the end, and would read another block here, or none.
            raise PemError("a PEM block with more on its END line")
    return blocks


def usual_labels(text: bytes) -> bytes:
    """The text with the label CERTIFICATE where tools write X509 or X.509 before it, which mean the same (RFC 7468, 5.1).

    Whoever reads certificates that an admin or a tenant stored reads this, so that all find the same ones: issuers/authority.py, and
    issuers/x509/loading.py for all others. What is handed on as it stands to programs in Go keeps the text: they know neither.
    """
    return _OTHER_LABEL.sub(rb"\1\2", text) if b"509 CERTIFICATE-----" in text else text


def encode(label: str, data: bytes) -> bytes:
    """Write one block, lines of 64 characters, ending with a newline."""
    text = binascii.b2a_base64(data, newline=False)
    lines = b"\n".join([text[i : i + _LINE] for i in range(0, len(text), _LINE)])
    name = label.encode("ascii")
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (name, lines, name)
