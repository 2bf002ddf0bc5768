"""Long answers, over real sockets, on asyncio's loop and on uvloop's."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.kube.errors import Unreachable
from signer.kube.http.answer import LARGEST_ERROR, Answer, AnswerReader
from signer.kube.http.connections import Pool, Retired
from signer.kube.http.dial import Origin
from signer.kube.http.stream import MOST_WAITING, SilentConnection, Stream
from tests.examples import examples
from tests.unit.kube.http.servers import Server, Speak, both_loops, until

GET = b"GET /w HTTP/1.1\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def saying(*steps: bytes | None) -> Speak:
    """Answers each request in these steps; None waits for the test."""

    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            for step in steps:
                if step is None:
                    await server.release.wait()
                else:
                    writer.write(step)
                    await writer.drain()

    return speak


class Scene:
    """A server, a pool with room for one short request, and a stream."""

    def __init__(self, speak: Speak, **more: Any) -> None:
        self.server = Server(speak)
        self._more = more

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        self.pool = Pool(Origin("127.0.0.1", self.server.port), 1, **self._more)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()
        await self.server.__aexit__()
        assert not self.pool.open

    async def open(self, inactivity: float = 10.0) -> Stream:
        stream = Stream(GET, inactivity, "GET /w")
        assert await self.pool.stream(stream) is None
        return stream

    async def send(self) -> bytes:
        return (await self.pool.exchange(GET, timeout=10.0, largest=1000)).body


async def whole(stream: Stream) -> bytes:
    return b"".join([piece async for piece in stream])


@both_loops
async def test_bytes() -> None:
    """The bytes of the chunks come as they were sent, and the stream ends where the answer ends."""
    async with Scene(saying(CHUNKED, chunk(b"one"), None, chunk(b"two"), END)) as scene:
        stream = await scene.open()
        assert stream.date == "today"
        assert await anext(stream) == b"one"
        scene.server.release.set()
        assert await whole(stream) == b"two"


@both_loops
async def test_part_of_a_chunk() -> None:
    """What has come of a chunk is given before all of it is there: an event may be in its beginning."""
    async with Scene(saying(CHUNKED + b"6\r\none", None, b"two\r\n" + END)) as scene:
        stream = await scene.open()
        assert await anext(stream) == b"one"
        scene.server.release.set()
        assert await whole(stream) == b"two"


@both_loops
async def test_with_a_length() -> None:
    """An answer with a length is a stream too."""
    async with Scene(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none", None, b"two")) as scene:
        stream = await scene.open()
        assert await anext(stream) == b"one"
        scene.server.release.set()
        assert await whole(stream) == b"two"


@both_loops
async def test_refusal() -> None:
    """An answer of 300 or more is given whole, and its connection goes on."""
    refusal = b"HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nold"
    async with Scene(saying(refusal)) as scene:
        for _ in range(2):
            stream = Stream(GET, 10.0, "GET /w")
            answer = await scene.pool.stream(stream)
            assert answer is not None
            assert (answer.status, answer.body) == (410, b"old")
        assert scene.server.connections == 1


@both_loops
async def test_beside_short_requests() -> None:
    """A stream takes no connection from short requests; one that just became free it takes over, and gives back at its end."""
    async with Scene(saying(CHUNKED + chunk(b"x"), None, END)) as scene:
        first = await scene.open()
        second = await scene.open()
        scene.server.release.set()
        assert [await whole(first), await whole(second)] == [b"x", b"x"]
        assert await scene.send() == b"x"
        assert await whole(await scene.open()) == b"x"
        assert scene.server.connections == 2  # the pool keeps one


@both_loops
async def test_not_on_an_old_connection() -> None:
    """A connection that was idle for a while may have died unseen: a stream dials."""
    async with Scene(saying(CHUNKED + END)) as scene:
        await scene.send()
        (idle,) = scene.pool._idle
        idle.idle_since -= 2.0
        await whole(await scene.open())
        assert scene.server.connections == 2


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        chunk(b"half")[:6],
        chunk(b"half")[:-2],
        b"nonsense\r\n",
        b"0\r\nno field\r\n\r\n",
    ],
    ids=["between chunks", "in a chunk", "before a line end", "no size", "no trailers"],
)
async def test_broken(rest: bytes) -> None:
    """A stream that breaks off is Unreachable, after the bytes that came; that is no end."""

    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(CHUNKED + chunk(b"one"))
        await server.release.wait()
        writer.write(rest)

    lost: list[Unreachable] = []
    async with Scene(speak) as scene:
        stream = await scene.open()
        stream.on_lost = lost.append
        assert await anext(stream) == b"one"
        scene.server.release.set()
        with pytest.raises(Unreachable, match="GET /w: ") as caught:
            await whole(stream)
        assert lost == [caught.value]
        assert not isinstance(caught.value, SilentConnection)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 410 Gone\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_never_opened(answer: bytes) -> None:
    """No head, one that says nothing of the body, and half a refusal are Unreachable."""

    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer)

    async with Scene(speak) as scene:
        with pytest.raises(Unreachable):
            await scene.open()


@both_loops
async def test_silence() -> None:
    """Silence before the head, or after it, ends a stream as a SilentConnection."""
    async with Scene(saying(None)) as scene:
        with pytest.raises(SilentConnection):
            await scene.open(inactivity=0.05)
    async with Scene(saying(CHUNKED, None)) as scene:
        stream = await scene.open(inactivity=0.05)
        with pytest.raises(SilentConnection):
            await whole(stream)


@both_loops
async def test_slow_taker() -> None:
    """Of what nobody takes no more is read than has room, and waiting for the taker is not silence."""
    sent = 0

    async def speak(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await server.request(reader)
        writer.write(CHUNKED)
        for _ in range(400):
            writer.write(chunk(b"x" * 65536))
            await writer.drain()
            sent += 65536
        writer.write(END)

    async with Scene(speak) as scene:
        stream = await scene.open(inactivity=0.2)
        before = -1
        while before != sent or stream._waiting < MOST_WAITING:
            before = sent
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        assert sent < 400 * 65536  # the rest waits at the server
        assert stream._waiting <= MOST_WAITING + 512 * 1024
        assert len(await whole(stream)) == 400 * 65536


@both_loops
async def test_given_up() -> None:
    """Who closes a stream, or is cancelled while it opens, closes its connection."""
    async with Scene(saying(CHUNKED, None)) as scene:
        stream = await scene.open()
        stream.close()
        await until(lambda: not scene.pool.open)
        with pytest.raises(Unreachable):  # no end of the answer
            await whole(stream)
    async with Scene(saying(None)) as scene:
        opening = asyncio.create_task(scene.open())
        await until(lambda: scene.server.requests != [])
        opening.cancel()
        await asyncio.wait((opening,))
        await until(lambda: not scene.pool.open)


@both_loops
async def test_retired() -> None:
    """A pool that is retired opens no stream any more; one that is open goes on until its end."""
    async with Scene(saying(CHUNKED, None, chunk(b"x") + END)) as scene:
        stream = await scene.open()
        scene.pool.retire()
        with pytest.raises(Retired):
            await scene.open()
        assert scene.pool.open
        scene.server.release.set()
        assert await whole(stream) == b"x"
        await until(lambda: not scene.pool.open)


class _Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""

    def opened(self, status: int, headers: object) -> None:  # noqa: ARG002 - a Sink's
        self.status = status

    def piece(self, data: bytes) -> None:
        assert data
        assert self.status
        self.body += data


def _fed(reader: AnswerReader, data: bytes, cuts: Sequence[int]) -> Answer:
    edges = [0, *sorted(cuts), len(data)]
    answer = None
    for start, end in itertools.pairwise(edges):
        assert answer is None
        if start < end:
            answer = reader.feed(data[start:end])
    assert answer is not None
    return answer


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.booleans(),
    st.sampled_from([200, 201, 404]),
    st.lists(st.floats(0, 1), max_size=12),
)
def test_read_as_whole_or_in_pieces(chunks: list[bytes], chunked: bool, status: int, cuts: list[float]) -> None:
    """However an answer comes, its body is the same read whole and piece by piece; a refusal is always read whole."""
    body = b"".join(chunks)
    data = b"HTTP/1.1 %d OK\r\n" % status
    if chunked:
        data += b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, chunks)) + END
    else:
        data += b"Content-Length: %d\r\n\r\n" % len(body) + body
    places = [int(cut * (len(data) - 1)) for cut in cuts]
    sink = _Kept()
    once = _fed(AnswerReader(LARGEST_ERROR), data, places)
    piecewise = _fed(AnswerReader(0, sink), data, places)
    assert once.body == body
    assert (sink.status, sink.body, piecewise.body) == ((status, body, b"") if status < 300 else (0, b"", body))
