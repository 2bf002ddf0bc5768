"""The pool of connections, over real sockets, on asyncio's loop and on uvloop's."""

import asyncio
import contextlib
from typing import Any

import pytest

from signer.kube.errors import Unreachable
from signer.kube.http.connections import Pool, Retired
from signer.kube.http.dial import Origin
from tests.unit.kube.http.servers import Server, Speak, both_loops, until

REQUEST = b"PUT /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def answering(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await server.request(reader)
        writer.write(GOOD)


async def held(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when the test lets it."""
    while True:
        await server.request(reader)
        await server.release.wait()
        writer.write(GOOD)


def saying(answer: bytes, *, stay: bool = False) -> Speak:
    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer)
        if stay:
            await server.release.wait()

    return speak


def request(name: str) -> bytes:
    return REQUEST.replace(b"/x", name.encode())


@contextlib.asynccontextmanager
async def scene(speak: Speak, limit: int = 4, **more: Any) -> Any:
    async with Server(speak) as server:
        pool = Pool(Origin("127.0.0.1", server.port), limit, **more)
        try:
            yield server, pool
        finally:
            await pool.close()
            assert not pool.open


async def send(pool: Pool, name: str = "/x", timeout: float = 10.0, largest: int = 1000) -> bytes:  # noqa: ASYNC109
    return (await pool.exchange(request(name), timeout=timeout, largest=largest)).body


@both_loops
async def test_reuse() -> None:
    """Requests that follow each other share one connection."""
    async with scene(answering) as (server, pool):
        for _ in range(5):
            assert await send(pool) == b"{}"
        assert (server.connections, len(server.requests)) == (1, 5)


@both_loops
async def test_limit_and_order() -> None:
    """There are never more connections than allowed, and who waits longest is next."""
    async with scene(held, limit=2) as (server, pool):
        sent = [asyncio.create_task(send(pool, f"/{n}")) for n in range(10)]
        await until(lambda: len(server.requests) == 2)
        server.release.set()
        assert await asyncio.gather(*sent) == [b"{}"] * 10
        assert server.connections == 2
        order = [int(path[1:]) for path in server.requests]
        # Two connections are served by two tasks of the server, which may overtake each other by one.
        assert all(abs(place - number) <= 1 for place, number in enumerate(order))


@both_loops
async def test_byte_by_byte() -> None:
    """An answer that comes in single bytes, after an interim one and in chunks, is whole."""
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"

    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            for byte in answer:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with scene(speak) as (server, pool):
        assert [await send(pool), await send(pool)] == [b"abcd", b"abcd"]
        assert server.connections == 1


@both_loops
async def test_connection_close() -> None:
    """A connection that the server wants closed is not used again."""
    async with scene(saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", stay=True)) as (
        server,
        pool,
    ):
        assert [await send(pool), await send(pool)] == [b"{}", b"{}"]
        assert server.connections == 2


@both_loops
async def test_idle_connection_closed_by_the_server() -> None:
    """A connection that is known to be closed, or that spoke unasked, is not used; the request takes another."""
    for unasked in (b"", b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"):

        async def speak(
            server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unasked: bytes = unasked
        ) -> None:
            await server.request(reader)
            writer.write(GOOD)
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(unasked)

        async with scene(speak) as (server, pool):
            await send(pool)
            while pool.open:  # noqa: ASYNC110 - as in until
                await asyncio.sleep(0.001)
            assert await send(pool) == b"{}"
            assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"\xff" * 40_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        GOOD + GOOD,
    ],
    ids=["nothing", "garbage", "noise", "half", "half a chunk", "too large", "two answers"],
)
async def test_no_answer(answer: bytes) -> None:
    """What is not a whole answer is Unreachable, the request is sent once, and the next one gets a new connection."""
    async with scene(saying(answer)) as (server, pool):
        with pytest.raises(Unreachable):
            await send(pool)
        assert len(server.requests) == 1
        with pytest.raises(Unreachable):
            await send(pool)
        assert (server.connections, len(server.requests)) == (2, 2)


@both_loops
async def test_timeouts() -> None:
    """A request ends when its time is up, waiting for an answer or for a connection; the silent connection is closed."""
    async with scene(held, limit=1) as (server, pool):
        first = asyncio.create_task(send(pool, "/first", timeout=3.0))
        await until(lambda: len(server.requests) == 1)
        with pytest.raises(Unreachable, match="no answer in time"):
            await send(pool, "/waiting", timeout=0.1)
        with pytest.raises(Unreachable, match="no answer in time"):
            await first
        server.release.set()
        assert await send(pool, "/next") == b"{}"
        assert (server.connections, server.requests) == (2, [b"/first", b"/next"])


@both_loops
async def test_cancellation() -> None:
    """A cancelled request's connection is closed, one that waited is never sent, and the others go on."""
    async with scene(held, limit=1) as (server, pool):
        sent = [asyncio.create_task(send(pool, f"/{n}")) for n in range(3)]
        await until(lambda: len(server.requests) == 1)
        sent[1].cancel()
        await asyncio.sleep(0)
        sent[0].cancel()
        await until(lambda: len(server.requests) == 2)
        server.release.set()
        assert await sent[2] == b"{}"
        assert [task.cancelled() for task in sent] == [True, True, False]
        assert (server.connections, server.requests) == (2, [b"/0", b"/2"])


@both_loops
async def test_nobody_there() -> None:
    """Where nobody listens each of many requests is told so, with the address."""
    async with Server(answering) as server:
        port = server.port
    pool = Pool(Origin("127.0.0.1", port), 3)
    results = await asyncio.gather(*(send(pool) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(e, Unreachable) and f"127.0.0.1:{port}" in str(e) for e in results)
    await pool.close()


@pytest.mark.parametrize("host", ["x" * 300, "a..b", "\udcff"])
async def test_impossible_hosts(host: str) -> None:
    """A host name that cannot be one is Unreachable."""
    pool = Pool(Origin(host, 1), 3)
    with pytest.raises(Unreachable):
        await send(pool)
    await pool.close()


@both_loops
async def test_idle_connections_grow_old() -> None:
    """A connection that nobody used for long is closed by itself."""
    async with scene(answering, longest_idle=0.05) as (_, pool):
        await send(pool)
        assert pool.open
        await until(lambda: not pool.open)
        assert await send(pool) == b"{}"


@both_loops
async def test_retire() -> None:
    """A retired pool finishes what was sent, tells those that wait that they were not, and closes its connections."""
    async with scene(held, limit=1) as (server, pool):
        sent = [asyncio.create_task(send(pool, f"/{n}")) for n in range(2)]
        await until(lambda: len(server.requests) == 1)
        pool.retire()
        with pytest.raises(Retired):
            await sent[1]
        with pytest.raises(Retired):
            await send(pool)
        server.release.set()
        assert await sent[0] == b"{}"
        await until(lambda: not pool.open)
        assert server.requests == [b"/0"]


@both_loops
async def test_an_answer_before_the_end_of_the_request() -> None:
    """A refusal that comes while the request is still being sent is the answer; the connection is closed."""

    async def speak(_server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with scene(speak) as (_, pool):
        head = b"PUT /x HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n"
        answer = await pool.exchange(head + bytes(50_000_000), timeout=10.0, largest=1000)
        assert (answer.status, answer.body) == (413, b"no")
        await until(lambda: not pool.open)
