"""Reads one HTTP/1.1 answer out of the bytes as they come: strictly, bounded, and only what API servers send.

For `wire`. No network, one reader for each answer. What is not plain HTTP/1.1 with a length or in chunks is Malformed: a connection
whose framing is in doubt must not carry another request. Source: RFC 9112 sections 4, 5, 6 and 7.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import CIMultiDict

LONGEST_HEAD = 16 * 1024
# Of a refusal's body nobody wants more, so it is cut instead of refused; the rest is not waited for.
LARGEST_ERROR = 64 * 1024

_MOST_INTERIM = 8
_LONGEST_SIZE_LINE = 256
# A head without its last line end. A line without a name, a folded one, and one with a bare CR, LF or NUL are what request
# smuggling is made of. One expression for all the lines, since it is run for every certificate; it never goes back.
_LINES = rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\0\r\n]*+)*+"
_HEAD = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: [^\0\r\n]*+)?+(" + _LINES + rb")")
_TRAILERS = re.compile(_LINES)
_WANTED = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|retry-after|content-type):([^\r]*)", re.IGNORECASE
)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\0\r\n]*)?")


class Malformed(Exception):
    """This is no answer that we read; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        status: the final code, 200 to 599.
        headers: Content-Type, Content-Length, Transfer-Encoding, Connection and Retry-After only; case-insensitive.
        body: at most what was allowed; cut at LARGEST_ERROR when the status is 400 or more.
        reusable: the connection may carry another request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    reusable: bool


class AnswerReader:
    """Takes bytes until the answer is whole. `largest`: bytes that the body of an answer below 400 may have."""

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_close",
        "_end",
        "_headers",
        "_interim",
        "_largest",
        "_position",
        "_scanned",
        "_status",
    )

    def __init__(self, largest: int) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self._position = 0  # all before it is dealt with
        self._scanned = 0  # no end of a head or of trailers begins before it
        self._interim = 0
        self._status = 0  # 0 until the head is read
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._chunked = False
        self._close = False
        self._end = 0  # where the body ends, when its length is known
        self._body = bytearray()  # joined chunks

    def feed(self, data: bytes) -> Answer | None:
        """Take more bytes; gives the answer once it is whole.

        Raises:
            Malformed: not HTTP/1.1, too large, or more bytes than the answer has. The reader is of no use afterwards.
        """
        self._buffer += data
        while not self._status:
            if not self._read_head():
                return None
        if self._chunked:
            return self._read_chunks()
        return self._read_length()

    def _read_head(self) -> bool:
        """Read one head, an interim one's too; False when it is not all there."""
        start = self._position
        end = self._buffer.find(b"\r\n\r\n", max(start, self._scanned))
        if (len(self._buffer) if end < 0 else end) - start > LONGEST_HEAD:
            raise Malformed("the answer's head is too long")
        if end < 0:
            self._scanned = max(start, len(self._buffer) - 3)
            return False
        found = _HEAD.fullmatch(bytes(self._buffer[start:end]))
        self._position = self._scanned = end + 4
        if found is None:
            raise Malformed("the answer does not begin with an HTTP/1.1 status line and header lines")
        status = int(found[1])
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > _MOST_INTERIM:
                raise Malformed("the answer is an upgrade, or interim answers without end")
            return True
        values = _wanted_fields(found[2])
        self._frame(status, values)
        self._headers = CIMultiDict([(name.decode(), value.decode("latin-1")) for name, value in values.items()])
        self._status = status
        return True

    def _frame(self, status: int, values: dict[bytes, bytes]) -> None:
        """Find out where the body ends (RFC 9112 section 6.3)."""
        connection = values.get(b"connection")
        self._close = connection is not None and b"close" in {t.strip() for t in connection.lower().split(b",")}
        coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
        if status in {204, 304}:
            self._end = self._position
        elif coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise Malformed("the answer's Transfer-Encoding is not chunked alone")
            self._chunked = True
        elif length is None or not _LENGTH.fullmatch(length):
            # A body that ends with the connection could be half of one without anybody noticing.
            raise Malformed("the answer has no usable Content-Length")
        else:
            size = int(length)
            if status < 400 and size > self._largest:
                raise self._too_large()
            self._end = self._position + size

    def _read_length(self) -> Answer | None:
        got, start = len(self._buffer), self._position
        if self._status >= 400 and self._end - start > LARGEST_ERROR <= got - start:
            return self._cut(self._buffer[start : start + LARGEST_ERROR])
        if got < self._end:
            return None
        return self._whole(bytes(self._buffer[start : self._end]), self._end)

    def _read_chunks(self) -> Answer | None:
        buffer = self._buffer
        limit = self._largest if self._status < 400 else LARGEST_ERROR
        # Framing may cost what the body does, but not without end: one-byte chunks with long extensions.
        if len(buffer) > 2 * limit + 2 * LONGEST_HEAD:
            raise Malformed("the answer's chunks are too small")
        while True:
            line_end = buffer.find(b"\r\n", self._position, self._position + _LONGEST_SIZE_LINE)
            if line_end < 0:
                if len(buffer) - self._position >= _LONGEST_SIZE_LINE:
                    raise Malformed("a chunk's size line is too long")
                return None
            found = _CHUNK_SIZE.fullmatch(buffer, self._position, line_end)
            if found is None:
                raise Malformed("a chunk's size is not a number")
            size = int(found[1], 16)
            if size == 0:
                return self._read_trailers(line_end)
            start, end = line_end + 2, line_end + 2 + size
            if len(self._body) + size > limit:
                if self._status < 400:
                    raise self._too_large()
                missing = limit - len(self._body)
                if len(buffer) - start < missing:
                    return None
                return self._cut(self._body + buffer[start : start + missing])
            if len(buffer) < end + 2:
                return None
            if buffer[end : end + 2] != b"\r\n":
                raise Malformed("a chunk does not end where it says")
            self._body += buffer[start:end]
            self._position = end + 2

    def _read_trailers(self, start: int) -> Answer | None:
        """Pass over the trailer fields; `start` is the line end of the last chunk's size."""
        end = self._buffer.find(b"\r\n\r\n", max(start, self._scanned))
        if (len(self._buffer) if end < 0 else end) - start > LONGEST_HEAD:
            raise Malformed("the answer's trailers are too long")
        if end < 0:
            self._scanned = max(start, len(self._buffer) - 3)
            return None
        if not _TRAILERS.fullmatch(self._buffer, start, end):
            raise Malformed("the answer's trailers are no header lines")
        return self._whole(bytes(self._body), end + 4)

    def _whole(self, body: bytes, end: int) -> Answer:
        if len(self._buffer) > end:
            raise Malformed("there is more than one answer")
        return Answer(self._status, self._headers, body, not self._close)

    def _cut(self, body: bytearray) -> Answer:
        return Answer(self._status, self._headers, bytes(body), reusable=False)

    def _too_large(self) -> Malformed:
        return Malformed(f"the answer is larger than {self._largest} bytes")


def _wanted_fields(lines: bytes) -> dict[bytes, bytes]:
    """The header fields that matter, names in lower case, repeated ones joined as lists (RFC 9110 section 5.3)."""
    values: dict[bytes, bytes] = {}
    for found in _WANTED.finditer(lines):
        name, value = found[1].lower(), found[2].strip(b" \t")
        values[name] = values[name] + b"," + value if name in values else value
    return values
