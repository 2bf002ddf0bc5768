"""Looks at gateways whose Pods are a tenant's: whatever they answer, a look ends in its time, and nothing else waits for it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from signer.edge.host import Host
from signer.edge.proxies.http import look, nowhere_else
from signer.edge.proxies.resolve import addresses
from signer.edge.proxies.values import Asked, GatewayAddress, Seen

HOST = Host("shop.example.com")
ASKED = Asked(HOST, "/x", "answer")
REDIRECT = b"HTTP/1.1 301 Moved\r\nLocation: http://shop.example.com/x\r\nContent-Length: 0\r\n\r\n"
DRIP = 0.02


class Pod:
    """Answers each connection with `first`, then `again` without end, byte by byte."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first = first
        self._again = again
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.dialled = 0
        self.address = GatewayAddress("127.0.0.1", {80: self._listening.getsockname()[1]})

    def __enter__(self) -> GatewayAddress:
        self._threads[0].start()
        return self.address

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._threads:
            one.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                self.dialled += 1
                self._threads.append(threading.Thread(target=self._answer, args=(peer,), daemon=True))
                self._threads[-1].start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.sendall(self._first)
            for byte in self._forever():
                if self._ended.wait(DRIP):
                    return
                peer.sendall(byte)

    def _forever(self) -> Iterator[bytes]:
        while self._again:
            yield from (self._again[at : at + 1] for at in range(len(self._again)))
        while not self._ended.wait(DRIP):
            pass


def asked(pod: GatewayAddress, seconds: float = 0.5) -> Seen:
    """What a look finds."""
    return asyncio.run(look(ASKED, pod, seconds=seconds))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "status", "headers", "body", "chunks", "continue"],
)
def test_answers_without_end(first: bytes, again: bytes) -> None:
    """A Pod that answers byte by byte, or not at all, holds a look no longer than a look may last."""
    started = time.monotonic()
    with Pod(first, again) as pod:
        seen = asked(pod)
        assert (seen.error, seen.matches) == ("timeout", False)
        assert time.monotonic() - started < 10


def test_redirects_without_end() -> None:
    """A Pod that leads in a circle is followed a few times only."""
    with Pod(REDIRECT, b"") as pod:
        assert asked(pod, 20).redirect == "elsewhere"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nan\r\n4\r\nswer\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanswer\n",
    ],
    ids=["length", "chunks", "interim"],
)
def test_the_answer(answer: bytes) -> None:
    """An answer that is there is found, and the time is not used up."""
    with Pod(answer, b"") as pod:
        assert asked(pod, 20).matches


@pytest.mark.parametrize("location", ["", "http://shop.example.com:80/y", "https://127.0.0.2/y", "//127.0.0.2/y"])
def test_names_that_point_inside(location: str) -> None:
    """A host that resolves to an address inside, or is redirected to one, makes a look dial nothing there."""
    answer = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    if location:
        answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with Pod(answer, b"") as pod, socket.create_server(("127.0.0.2", pod.ports[80])) as inside:
        asked = Asked(HOST, "/x", "answer")
        asyncio.run(look(asked, pod, seconds=5))
        inside.setblocking(False)
        with pytest.raises(BlockingIOError):
            inside.accept()


@pytest.mark.parametrize("fields", ["Content-Length: 2000", "Transfer-Encoding: chunked"])
def test_too_long(fields: str) -> None:
    """A body is read a little further than an answer can go, and what is longer is told."""
    size = b"7d0\r\n" if "chunked" in fields else b""
    with Pod(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + size + b"a" * 1025, b"") as pod:
        assert asked(pod, 20) == Seen(status=200, overlong=True)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
    ids=["interim", "fields", "another", "negative", "letters", "chunk"],
)
def test_no_answer(answer: bytes) -> None:
    """What is no answer, or has no end before it begins, is none at once: it is not read on for all of the time."""
    with Pod(answer, b"") as pod:
        assert asked(pod, 20) == Seen(error="reset")


def test_nobody_there() -> None:
    """A Pod that listens nowhere is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert asked(GatewayAddress("127.0.0.1", {80: port}), 20).error == "refused"


@pytest.mark.heavy
def test_over_before_it_began() -> None:
    """Who comes too late dials nobody: a redirect that is complete after the time is not followed."""
    pod = Pod(b"", REDIRECT)
    with pod as address:
        assert asked(address).error == "timeout"
        time.sleep(len(REDIRECT) * DRIP)
    assert pod.dialled == 1


def test_half_an_answer() -> None:
    """An answer that ends before its end does not count, right as it looks."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nanswer")
        writer.close()

    async def see() -> Seen:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            return await look(ASKED, GatewayAddress("127.0.0.1", {80: server.sockets[0].getsockname()[1]}))

    seen = asyncio.run(see())
    assert (seen.error, seen.matches) == ("reset", False)


ELSEWHERE = [
    ("http://www.example.com/x", True),
    ("http://WWW.example.com:80/x", True),
    ("//www.example.com/x", True),
    ("http://www.example.com:8080/x", False),
    ("http://other.example.com/x", False),
    ("http://127.0.0.1/x", False),
    ("http://[::1]/x", False),
    ("ftp://www.example.com/x", False),
]


@pytest.mark.parametrize(("location", "followed"), ELSEWHERE, ids=[row[0] for row in ELSEWHERE])
@pytest.mark.parametrize("public", [False, True], ids=["at a Pod", "where the name leads"])
def test_redirects_to_other_hosts(location: str, followed: bool, public: bool) -> None:
    """Where the name leads a redirect to another name is followed as a CA does, and to no address; at a Pod to none."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"

    async def see(www: GatewayAddress, first: GatewayAddress) -> Seen:
        async def elsewhere(name: str) -> GatewayAddress | None:
            return www if name == "www.example.com" else None

        return await look(ASKED, first, elsewhere=elsewhere if public else nowhere_else, seconds=20)

    moved = f"HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with Pod(answer, b"") as www, Pod(moved, b"") as first:
        seen = asyncio.run(see(www, first))
    right = Seen(status=200, matches=True)
    assert seen == (right if followed and public else Seen(status=301, redirect="elsewhere"))


@pytest.mark.heavy
def test_looks_in_nobodys_way() -> None:
    """While many looks hang, other work of ours, blocking and not, is done at once."""

    async def crowd(pod: GatewayAddress) -> None:
        looks = [asyncio.create_task(look(ASKED, pod, seconds=6.0)) for _ in range(40)]
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(lambda: "done") == "done"
        assert not any(one.done() for one in looks)
        assert {seen.error for seen in await asyncio.gather(*looks)} == {"timeout"}

    with Pod(b"", b"") as pod:
        asyncio.run(crowd(pod))


def test_names_whose_servers_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs is as good as no answer, and keeps no thread from other work of ours."""
    going_on = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        going_on.wait(20)
        return []

    async def ask() -> None:
        monkeypatch.setattr("signer.edge.proxies.resolve.socket.getaddrinfo", hang)
        asked_for = [
            asyncio.create_task(addresses(f"h{number}.example", 80, socket.SOCK_STREAM, 0.2)) for number in range(40)
        ]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 10) == "done"
        found = await asyncio.gather(*asked_for, return_exceptions=True)
        assert {type(one) for one in found} == {TimeoutError}
        going_on.set()

    asyncio.run(ask())
