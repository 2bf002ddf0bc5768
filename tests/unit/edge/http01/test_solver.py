"""The shared solver over real sockets: answers, bounds, and what a hostile client gets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from signer.edge.http01.solver_answers import answer_head, answers_of
from signer.observe import listener
from signer.observe.listener import MAX_HEAD, Listener
from tests.unit.edge.http01.test_routes import KEY, TOKEN
from tests.unit.edge.issuance import challenge

ANSWERS = answers_of([challenge(status={"presented": True})])
REQUEST = f"GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: a.example.com\r\n\r\n".encode()


@pytest.fixture
async def server() -> AsyncIterator[Listener]:
    async with Listener("127.0.0.1:0", lambda head: answer_head(ANSWERS, head)) as found:
        yield found


async def ask(server: Listener, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_answered(server: Listener) -> None:
    """The key authorization is the whole body, as plain text."""
    head, _, body = (await ask(server, REQUEST)).partition(b"\r\n\r\n")
    assert body == KEY.encode()
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert f"Content-Length: {len(KEY)}".encode() in head


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (REQUEST.replace(b"a.example", b"b.example"), b"404"),
        (REQUEST.replace(b"GET ", b"POST "), b"405"),
        (REQUEST.replace(b"Host", b"Most"), b"400"),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nHost: a.example.com\r\n\r\n"), b"400"),
        (REQUEST.replace(b" HTTP/1.1", b""), b"400"),
        (b"\r\n\r\n", b"400"),
        (b"\xff\xfe\x00 \xff HTTP/1.1\r\nHost: \xff\r\n\r\n", b"405"),
    ],
)
async def test_refused(server: Listener, request_: bytes, status: bytes) -> None:
    """All else gets a status and not one byte of an answer."""
    answer = await ask(server, request_)
    assert answer.split(b" ")[1] == status
    assert answer.endswith(b"\r\n\r\n")


async def test_too_large(server: Listener) -> None:
    """A head that does not end is cut off, and the next request is answered."""
    assert await ask(server, b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * MAX_HEAD)) == b""
    assert KEY.encode() in await ask(server, REQUEST)


async def test_too_slow(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and does not ask is put out."""
    monkeypatch.setattr(listener, "SECONDS", 0.05)
    assert await ask(server, b"GET / HT") == b""


async def test_too_many() -> None:
    """Connections have a limit: who asks and goes is answered all the same, and who holds on the longest is put out."""
    async with Listener("127.0.0.1:0", lambda head: answer_head(ANSWERS, head), connections=2) as server:
        held = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET")
            await writer.drain()
            held.append((reader, writer))
        assert KEY.encode() in await ask(server, REQUEST)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(held[0][0].read(), 30) == b""
        for _, writer in held:
            writer.transport.abort()
