"""Reads one HTTP/1.1 answer out of the bytes as they come: strictly, bounded, and only what API servers send.

No network, one reader for each answer. What is not plain HTTP/1.1 with a length or in chunks is Malformed: a connection whose
framing is in doubt must not carry another request. Source: RFC 9112 sections 4, 5, 6 and 7.1.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

import msgspec

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
    rb"\r\n(content-length|transfer-encoding|connection|retry-after|content-type|date):([^\r]*)", re.IGNORECASE
)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\0\r\n]*)?")


class Malformed(Exception):
    """This is no answer that we read; the message says why and quotes nothing of it."""


class TooLarge(Malformed):
    """The body is larger than what was allowed."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer.

    Attributes:
        status: the final code, 200 to 599.
        headers: Content-Type, Content-Length, Transfer-Encoding, Connection, Retry-After and Date only; names in lower case.
        body: at most what was allowed; cut at LARGEST_ERROR when the status is 400 or more; empty when a Sink has it.
        reusable: the connection may carry another request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    reusable: bool


class Sink(Protocol):
    """Takes an answer below 300 as it comes."""

    def opened(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head; called once, before any piece."""

    def piece(self, data: bytes) -> None:
        """Take the next bytes of the body, at least one."""


class _Next(Enum):
    """What comes next in a body of chunks."""

    SIZE = 0
    DATA = 1
    LINE_END = 2
    TRAILERS = 3


class AnswerReader:
    """Takes bytes until the answer is whole.

    Args:
        largest: bytes that the body of an answer below 400 may have; without meaning for what goes to a sink.
        sink: takes an answer below 300 piece by piece, so that none of it is kept here. Others are read whole all the same.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_close",
        "_framing",
        "_headers",
        "_interim",
        "_largest",
        "_left",
        "_next",
        "_position",
        "_scanned",
        "_sink",
        "_status",
    )

    def __init__(self, largest: int, sink: Sink | None = None) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self._sink = sink
        self._position = 0  # all before it is dealt with
        self._scanned = 0  # no end of a head or of trailers begins before it
        self._interim = 0
        self._status = 0  # 0 until the head is read
        self._headers: Mapping[str, str] = {}
        self._chunked = False
        self._close = False
        self._left = 0  # bytes that the body, or the chunk, still has
        self._next = _Next.SIZE
        self._framing = 0  # bytes of chunks' sizes
        self._body = bytearray()  # joined chunks

    def feed(self, data: bytes) -> Answer | None:
        """Take more bytes; gives the answer once it is whole.

        Raises:
            Malformed: not HTTP/1.1, too large (TooLarge), or more bytes than the answer has. The reader is of no use afterwards.
        """
        self._buffer += data
        while not self._status:
            if not self._read_head():
                return None
        if self._chunked:
            return self._read_chunks()
        if self._sink is not None:
            return self._pass_on()
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
        found = _HEAD.fullmatch(self._buffer, start, end)
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
        self._headers = {name.decode(): value.decode("latin-1") for name, value in values.items()}
        self._status = status
        if status >= 300:
            self._sink = None
        if self._sink is not None:
            self._sink.opened(status, self._headers)
        return True

    def _frame(self, status: int, values: dict[bytes, bytes]) -> None:
        """Find out where the body ends (RFC 9112 section 6.3)."""
        connection = values.get(b"connection")
        self._close = connection is not None and b"close" in {t.strip() for t in connection.lower().split(b",")}
        coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
        if status in {204, 304}:
            self._left = 0
        elif coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise Malformed("the answer's Transfer-Encoding is not chunked alone")
            self._chunked = True
        elif length is None or not _LENGTH.fullmatch(length):
            # A body that ends with the connection could be half of one without anybody noticing.
            raise Malformed("the answer has no usable Content-Length")
        else:
            self._left = int(length)
            if status < 400 and self._left > self._largest and (self._sink is None or status >= 300):
                raise self._too_large()

    def _read_length(self) -> Answer | None:
        got, start = len(self._buffer), self._position
        if self._status >= 400 and self._left > LARGEST_ERROR <= got - start:
            return self._cut(self._buffer[start : start + LARGEST_ERROR])
        if got - start < self._left:
            return None
        end = start + self._left
        with memoryview(self._buffer) as whole:
            body = bytes(whole[start:end])
        return self._whole(body, end)

    def _pass_on(self) -> Answer | None:
        """Give the sink what has come of a body with a length."""
        self._take(self._buffer[self._position : self._position + self._left])
        if not self._left:
            return self._whole(b"", self._position)
        self._forget()
        return None

    def _read_chunks(self) -> Answer | None:
        """Take what has come of a body in chunks; of a chunk that is not all there, the beginning."""
        while True:
            if self._next is _Next.TRAILERS:
                return self._read_trailers()
            if self._next is _Next.SIZE:
                if not self._read_size():
                    break
            elif self._next is _Next.DATA:
                piece = self._buffer[self._position : self._position + self._left]
                missing = LARGEST_ERROR - len(self._body)
                if self._status >= 400 and len(piece) >= missing and self._left > missing:
                    return self._cut(self._body + piece[:missing])
                self._take(piece)
                if self._left:
                    break
                self._next = _Next.LINE_END
            else:
                end = self._buffer[self._position : self._position + 2]
                if not b"\r\n".startswith(end):
                    raise Malformed("a chunk does not end where it says")
                if len(end) < 2:
                    break
                self._position += 2
                self._next = _Next.SIZE
        self._forget()
        return None

    def _read_size(self) -> bool:
        """Read the line with a chunk's size; False when it is not all there."""
        start = self._position
        end = self._buffer.find(b"\r\n", start, start + _LONGEST_SIZE_LINE)
        if end < 0:
            if len(self._buffer) - start >= _LONGEST_SIZE_LINE:
                raise Malformed("a chunk's size line is too long")
            return False
        found = _CHUNK_SIZE.fullmatch(self._buffer, start, end)
        if found is None:
            raise Malformed("a chunk's size is not a number")
        self._left = int(found[1], 16)
        if self._left == 0:
            self._position = end
            self._scanned = 0
            self._next = _Next.TRAILERS
            return True
        self._position = end + 2
        self._next = _Next.DATA
        if self._sink is None:
            if self._status < 400 and len(self._body) + self._left > self._largest:
                raise self._too_large()
            self._framing += self._position - start
            # Framing may cost what the body does, but not without end: one-byte chunks with long extensions.
            if self._framing > (self._largest if self._status < 400 else LARGEST_ERROR) + 2 * LONGEST_HEAD:
                raise Malformed("the answer's chunks are too small")
        return True

    def _read_trailers(self) -> Answer | None:
        """Pass over the trailer fields, from the end of the line with the last chunk's size on."""
        start = self._position
        end = self._buffer.find(b"\r\n\r\n", max(start, self._scanned))
        if (len(self._buffer) if end < 0 else end) - start > LONGEST_HEAD:
            raise Malformed("the answer's trailers are too long")
        if end < 0:
            self._scanned = max(start, len(self._buffer) - 3)
            return None
        if not _TRAILERS.fullmatch(self._buffer, start, end):
            raise Malformed("the answer's trailers are no header lines")
        return self._whole(bytes(self._body), end + 4)

    def _take(self, piece: bytearray) -> None:
        """Take the next bytes of the body."""
        self._position += len(piece)
        self._left -= len(piece)
        if self._sink is None:
            self._body += piece
        elif piece:
            self._sink.piece(bytes(piece))

    def _forget(self) -> None:
        """Keep nothing of what is dealt with."""
        del self._buffer[: self._position]
        self._position = self._scanned = 0

    def _whole(self, body: bytes, end: int) -> Answer:
        if len(self._buffer) > end:
            raise Malformed("there is more than one answer")
        return Answer(self._status, self._headers, body, not self._close)

    def _cut(self, body: bytearray) -> Answer:
        return Answer(self._status, self._headers, bytes(body), reusable=False)

    def _too_large(self) -> Malformed:
        return TooLarge(f"the answer is larger than {self._largest} bytes")


def _wanted_fields(lines: bytes) -> dict[bytes, bytes]:
    """The header fields that matter, names in lower case, repeated ones joined as lists (RFC 9110 section 5.3)."""
    values: dict[bytes, bytes] = {}
    for found in _WANTED.finditer(lines):
        name, value = found[1].lower(), found[2].strip(b" \t")
        values[name] = values[name] + b"," + value if name in values else value
    return values
