"""Looks at gateways whose Pods are a tenant's: whatever they answer, a look ends in its time, and nothing else waits for it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from signer.edge.host import Host
from signer.edge.http01.check import Seen
from signer.edge.proxies.dial import Limit, addresses
from signer.edge.proxies.http import GatewayAddress, look

HOST = Host("shop.example.com")
KEY = "answer"
DRIP = 0.02


class Pod:
    """Answers each connection with `first`, then `again` without end, byte by byte."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first = first
        self._again = again
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
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
    return asyncio.run(look(HOST, "/x", KEY, pod, None, (), seconds=seconds))


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
    with Pod(b"HTTP/1.1 301 Moved\r\nLocation: http://shop.example.com/x\r\nContent-Length: 0\r\n\r\n", b"") as pod:
        assert asked(pod, 20).redirect == "elsewhere"


def test_the_answer() -> None:
    """An answer that is there is found, and the time is not used up."""
    with Pod(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer", b"") as pod:
        assert asked(pod, 20).matches


def test_over_before_it_began() -> None:
    """Who comes too late dials nobody."""
    with Limit(0.0) as limit, pytest.raises(TimeoutError):
        limit.connect("127.0.0.1", 9)


def test_threads_of_their_own() -> None:
    """While more looks hang than there are threads for them, other blocking work of ours is done at once."""

    async def crowd(pod: GatewayAddress) -> None:
        looks = [asyncio.create_task(look(HOST, "/x", KEY, pod, None, (), seconds=3.0)) for _ in range(40)]
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
        monkeypatch.setattr("signer.edge.proxies.dial.socket.getaddrinfo", hang)
        asked_for = [
            asyncio.create_task(addresses(f"h{number}.example", 80, socket.SOCK_STREAM, 0.2)) for number in range(40)
        ]
        await asyncio.sleep(0)
        assert await asyncio.to_thread(lambda: "done") == "done"
        found = await asyncio.gather(*asked_for, return_exceptions=True)
        assert {type(one) for one in found} == {TimeoutError}
        going_on.set()

    asyncio.run(ask())
