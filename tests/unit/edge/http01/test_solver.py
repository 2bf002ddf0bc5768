"""The shared solver over real sockets: answers, bounds, and what a hostile client gets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from signer.edge.http01 import solver as solver_server
from signer.edge.http01.solver import MAX_HEAD, SolverServer
from signer.edge.http01.solver_answers import answers_of
from tests.unit.edge.http01.test_routes import KEY, TOKEN
from tests.unit.edge.issuance import challenge

ANSWERS = answers_of([challenge(status={"presented": True})])
REQUEST = f"GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: a.example.com\r\n\r\n".encode()


@pytest.fixture
async def server() -> AsyncIterator[SolverServer]:
    async with SolverServer("127.0.0.1:0", lambda: ANSWERS) as found:
        yield found


async def ask(server: SolverServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_answered(server: SolverServer) -> None:
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
async def test_refused(server: SolverServer, request_: bytes, status: bytes) -> None:
    """All else gets a status and not one byte of an answer."""
    answer = await ask(server, request_)
    assert answer.split(b" ")[1] == status
    assert answer.endswith(b"\r\n\r\n")


async def test_too_large(server: SolverServer) -> None:
    """A head that does not end is cut off, and the next request is answered."""
    assert await ask(server, b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * MAX_HEAD)) == b""
    assert KEY.encode() in await ask(server, REQUEST)


async def test_too_slow(server: SolverServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and does not ask is put out."""
    monkeypatch.setattr(solver_server, "SECONDS", 0.05)
    assert await ask(server, b"GET / HT") == b""


async def test_too_many(server: SolverServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections have a limit; when one ends, the next is served."""
    monkeypatch.setattr(solver_server, "MAX_CONNECTIONS", 1)
    _, holding = await asyncio.open_connection("127.0.0.1", server.port)
    holding.write(b"GET")
    await holding.drain()
    async with asyncio.timeout(60):
        while await ask(server, REQUEST):  # noqa: ASYNC110 - the other side of a socket sets no event
            await asyncio.sleep(0.01)
        holding.transport.abort()
        while KEY.encode() not in await ask(server, REQUEST):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
