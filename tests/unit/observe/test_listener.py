"""The bounded listener over real sockets: whoever asks and goes is served, whatever others hold on to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from signer.observe import listener as module
from signer.observe.listener import MAX_HEAD, Listener, answer, request_line

REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"x" * (1 << 20)


def respond(head: bytes) -> bytes:
    asked = request_line(head)
    if asked is None:
        return answer("400 Bad Request", "text/plain", b"")
    return answer("200 OK", "text/plain", LARGE if asked[1] == "/large" else asked[1].encode())


@pytest.fixture
async def server() -> AsyncIterator[Listener]:
    async with Listener("127.0.0.1:0", respond, connections=8) as found:
        yield found


async def ask(server: Listener, request: bytes = REQUEST) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


class Holding:
    """Connections that say something, and then nothing."""

    def __init__(self, server: Listener, said: bytes) -> None:
        self._server = server
        self._said = said
        self.open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def more(self, count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            writer.write(self._said)
            await writer.drain()
            self.open.append((reader, writer))

    async def ended(self, index: int) -> bool:
        """Wait for the end of one; its answer, if there was one, is read."""
        try:
            return await asyncio.wait_for(self.open[index][0].read(), 60) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        for _, writer in self.open:
            writer.transport.abort()


@pytest.fixture
async def holding(server: Listener) -> AsyncIterator[Holding]:
    found = Holding(server, b"GET / HT")
    yield found
    found.close()


async def test_answered(server: Listener) -> None:
    """One request on a connection, which is closed after the answer."""
    head, _, body = (await ask(server)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close" in head
    assert body == b"/x"


async def test_in_pieces(server: Listener) -> None:
    """A request that comes byte by byte is one request; what follows it is not read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for byte in REQUEST:
        writer.write(bytes((byte,)))
        await writer.drain()
    assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"\r\n\r\n/x")
    writer.transport.abort()
    assert (await ask(server, REQUEST + REQUEST)).count(b"HTTP/1.1") == 1


async def test_half_closed(server: Listener) -> None:
    """Who shuts his own side down after the request still gets the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)
    writer.write_eof()
    assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"/x")
    writer.transport.abort()


async def test_the_oldest_gives_way(server: Listener, holding: Holding) -> None:
    """When all connections are taken, the oldest ends and the newest is served."""
    await holding.more(8)
    assert (await ask(server)).endswith(b"/x")
    assert await holding.ended(0)


async def test_a_flood_of_half_requests(server: Listener, holding: Holding) -> None:
    """However many are held open, there are never more than so many, and each honest request is answered."""
    for _ in range(10):
        await holding.more(20)
        assert (await ask(server)).endswith(b"/x")
        assert len(server._open) <= 8


async def test_too_large(server: Listener) -> None:
    """A head that does not end is cut off."""
    assert await ask(server, b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * MAX_HEAD)) == b""
    assert (await ask(server)).endswith(b"/x")


async def test_too_slow(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and does not ask is put out when the time is over."""
    monkeypatch.setattr(module, "SECONDS", 0.05)
    assert await ask(server, b"GET / HT") == b""


async def test_unread_answers(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large answers that nobody reads are dropped, the oldest first, and whoever reads has his."""
    monkeypatch.setattr(module, "MAX_UNREAD", len(LARGE))
    slow = Holding(server, b"GET /large HTTP/1.1\r\n\r\n")
    for _ in range(30):
        await slow.more(1)
        assert sum(one.unread for one in server._open) <= 2 * len(LARGE)
    assert (await ask(server, b"GET /large HTTP/1.1\r\n\r\n")).endswith(LARGE)
    slow.close()


async def test_ends_while_asked() -> None:
    """Its end does not wait for anybody."""
    async with Listener("127.0.0.1:0", respond) as running:
        own = Holding(running, b"GET")
        await own.more(3)
    assert await own.ended(0)
    assert not running._open
    own.close()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/x?y")),
        (b"GET /x HTTP/1.0\r\n\r\n", ("GET", "/x")),
        (b"GET /x\r\n\r\n", None),
        (b" /x HTTP/1.1\r\n\r\n", None),
        (b"GET  /x HTTP/1.1\r\n\r\n", None),
        (b"GET /x HTTPS\r\n\r\n", None),
        (b"\r\n\r\n", None),
    ],
)
def test_request_line(head: bytes, expected: tuple[str, str] | None) -> None:
    """A request line has three parts; anything else is malformed."""
    assert request_line(head) == expected
