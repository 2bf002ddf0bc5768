"""A small HTTP server whose cost has an end, whoever asks: for /metrics and the probes, and for answers to challenges.

Anyone who reaches the port may ask, so all is bounded: the connections, the size of a request's head, the time for a
request and its answer, the bytes of answers that wait for slow readers. There is one request on a connection, and no body
is read. When all connections are taken, the oldest gives way to the newest: whoever asks and goes is served, even while
others hold on to as many as they can. aiohttp's server, which we had, bounds none of this: 3,000 half-sent requests of
8 kB took some 80 MB more (tests/faults/test_listeners.py).
Used on the loop; each connection is one protocol object and one timer, and no task.
Sources: RFC 9112, 3 (request line), 5 (fields), 9.6 (Connection: close)
"""

import asyncio
from collections.abc import Callable
from typing import Self

MAX_CONNECTIONS = 256
"""More than twice as many as the loop accepts in one turn: a request that comes with its connection is read before that
connection could be the oldest."""
MAX_HEAD = 8192
"""Bytes of a request line and its fields; a gateway adds some of its own."""
SECONDS = 10.0
"""For one request and its answer, all in all."""
MAX_UNREAD = 8 << 20
"""Bytes of answers that slow readers have not taken yet; beyond it the oldest connections give way."""

_END = b"\r\n\r\n"

AnswerHead = Callable[[bytes], bytes]
"""From a request's head, all up to the empty line and with it, to the whole answer. Must not fail, nor wait."""


class Listener:
    """Listens on `bind` ("ADDRESS:PORT") while its block lasts; `port` is the real one once it is entered.

    An empty address means all of them, and IPv6 addresses stand in brackets. Entering raises OSError when the address
    cannot be had.
    """

    def __init__(self, bind: str, answer: AnswerHead, *, connections: int = MAX_CONNECTIONS) -> None:
        host, _, port = bind.rpartition(":")
        self.host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - `:9402` means all addresses, as everywhere
        self.port = int(port)
        self._answer = answer
        self._most = connections
        self._server: asyncio.Server | None = None
        self._open: dict[_Connection, None] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for one in tuple(self._open):
                one.abort()
            await self._server.wait_closed()
            while self._open:  # noqa: ASYNC110 - `abort` takes effect in the loop's next turn, and sets no event
                await asyncio.sleep(0)

    def _connection(self) -> "_Connection":
        return _Connection(self)

    def opened(self, one: "_Connection") -> None:
        """Count a connection, and let the oldest go where it is one too many."""
        self._open[one] = None
        if len(self._open) > self._most:
            self.closed(oldest := next(iter(self._open)))
            oldest.abort()

    def closed(self, one: "_Connection") -> None:
        """Forget a connection."""
        self._open.pop(one, None)

    def answer(self, head: bytes) -> bytes:
        """Answer one request."""
        return self._answer(head)

    def make_room(self) -> None:
        """Let the oldest go while more is unread than may be."""
        unread = sum(one.unread for one in self._open)
        for one in tuple(self._open):
            if unread <= MAX_UNREAD:
                return
            unread -= one.unread
            self.closed(one)
            one.abort()


class _Connection(asyncio.Protocol):
    """One request and its answer."""

    __slots__ = ("_answered", "_head", "_listener", "_timer", "_transport")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._head = b""
        self._answered = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def unread(self) -> int:
        """Bytes of the answer that wait for the reader."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # create_server makes no other kind
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self.abort)
        self._listener.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._answered or self._transport is None:
            return
        self._head += data
        end = self._head.find(_END)
        if end < 0 and len(self._head) > MAX_HEAD:
            self.abort()
        if end < 0:
            return
        self._answered = True
        head, self._head = self._head[: end + len(_END)], b""
        self._transport.write(self._listener.answer(head))
        self._transport.close()  # once the answer is on its way
        self._listener.make_room()

    def eof_received(self) -> bool:
        # Who only shuts his own side down still reads the answer, which closes the connection.
        return self._answered

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._listener.closed(self)

    def abort(self) -> None:
        """End it at once, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()


def request_line(head: bytes) -> tuple[str, str] | None:
    """Return method and target of a request's head, None where it is malformed."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[0] or not words[2].startswith("HTTP/1."):
        return None
    return words[0], words[1]


def answer(status: str, kind: str, body: bytes, *, fields: tuple[str, ...] = (), bodiless: bool = False) -> bytes:
    """Put an answer together.

    `status` is code and phrase ("200 OK"), `kind` the Content-Type, `fields` further lines. `bodiless`: to a HEAD.
    """
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *fields,
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(head).encode("ascii") + (b"" if bodiless else body)
