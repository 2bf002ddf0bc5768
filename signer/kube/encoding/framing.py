"""Where one watch event ends and the next begins, for both encodings.

Concurrency: a framer holds the unfinished rest of one connection's bytes and belongs to that connection.
"""

from typing import Protocol

# etcd holds 1.5 MB for an object; JSON of it with escapes stays well below this.
LARGEST_FRAME = 32 * 1024 * 1024


class CodecError(ValueError):
    """A list or the framing of a watch cannot be read."""


class Framer(Protocol):
    """Cuts one connection's bytes into frames."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk, give the frames that are complete now; raises CodecError."""


class LineFramer:
    """JSON watches: one event on each line."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """See Framer."""
        first, newline, more = chunk.partition(b"\n")
        self._size += len(first)
        if self._size > LARGEST_FRAME:
            raise CodecError(f"a watch event is larger than {LARGEST_FRAME} bytes")
        self._rest.append(first)
        if not newline:
            return []
        frames = [b"".join(self._rest)]
        *lines, last = more.split(b"\n")
        frames.extend(lines)
        self._rest = [last]
        self._size = len(last)
        return [frame for frame in frames if frame.strip()]


class LengthFramer:
    """Protobuf watches: four bytes of length, big endian, before each event (apimachinery util/framer)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """See Framer."""
        buffer = self._buffer
        buffer += chunk
        frames = []
        pos, end = 0, len(buffer)
        while end - pos >= 4:
            size = int.from_bytes(buffer[pos : pos + 4], "big")
            if size > LARGEST_FRAME:
                raise CodecError(f"a watch event is larger than {LARGEST_FRAME} bytes")
            if end - pos - 4 < size:
                break
            frames.append(bytes(buffer[pos + 4 : pos + 4 + size]))
            pos += 4 + size
        del buffer[:pos]
        return frames
