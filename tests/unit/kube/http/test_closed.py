"""A closed client leaves no connection behind, whatever was under way and however the server behaves."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signer.kube.access.config import ConnectionConfig
from signer.kube.client import ApiClient
from tests.pki import ANY_TIME, CA

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n1\r\n{\r\n"


class SilentServer:
    """A TLS server that begins an answer (or nothing, without `head`), and then neither reads nor says farewell."""

    def __init__(self, folder: Path, head: bytes) -> None:
        ca = CA("API server", now=ANY_TIME)
        pem = folder / "server.pem"
        pem.write_bytes(ca.key_pem + ca.pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._head = head
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.config = ConnectionConfig(host=f"https://127.0.0.1:{self._listener.getsockname()[1]}", verify=False)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            try:
                tls = self._context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
            except OSError:  # the client went in the handshake
                raw.close()
                continue
            self.accepted.append(tls)
            with contextlib.suppress(OSError):
                tls.recv(65536)
                if self._head:
                    tls.sendall(self._head)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for one in self.accepted:
            one.close()


@pytest.fixture(params=[HEAD, b""], ids=["in the answer", "before the answer"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SilentServer]:
    """Both a server that hangs before its answer and one that hangs in it."""
    one = SilentServer(tmp_path, request.param)
    yield one
    one.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """All sockets that the loop makes to connect: not the pair that it wakes itself with, nor those of the server's thread."""
    sockets: list[socket.socket] = []
    make, loops = socket.socket.__init__, threading.current_thread()

    def kept(self: socket.socket, *args: Any, **more: Any) -> None:
        make(self, *args, **more)
        if len(args) < 4 and "fileno" not in more and threading.current_thread() is loops:
            sockets.append(self)

    monkeypatch.setattr(socket.socket, "__init__", kept)
    return sockets


def closed(sockets: list[socket.socket]) -> bool:
    return sockets != [] and {one.fileno() for one in sockets} == {-1}


async def given_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def watch(client: ApiClient) -> None:
    async with client.stream("/api/v1/things") as chunks:
        async for _ in chunks:
            pass


async def request(client: ApiClient) -> None:
    await client.request("GET", "/api/v1/things")


@pytest.mark.parametrize("work", [watch, request])
class TestClosed:
    """Nothing is open once the client is closed: neither does the process lose descriptors nor do tests warn."""

    async def test_given_up(self, server: SilentServer, made: list[socket.socket], work: Any) -> None:
        """A watch or a request that is cancelled while the server is silent is gone when the client is."""
        async with ApiClient(server.config) as client:
            task = asyncio.create_task(work(client))
            while not made or not server.accepted:  # noqa: ASYNC110 - another thread's list
                await asyncio.sleep(0.01)
            await given_up(task)
        assert closed(made)

    async def test_under_way(self, server: SilentServer, made: list[socket.socket], work: Any) -> None:
        """So is one that is still waited for."""
        async with ApiClient(server.config) as client:
            task = asyncio.create_task(work(client))
            while not made or not server.accepted:  # noqa: ASYNC110 - another thread's list
                await asyncio.sleep(0.01)
        assert closed(made)
        with pytest.raises(Exception, match="GET /api/v1/things: "):
            await task

    @pytest.mark.heavy
    @pytest.mark.parametrize("turns", range(8))
    async def test_on_its_way(self, server: SilentServer, made: list[socket.socket], work: Any, turns: int) -> None:
        """Whenever connecting is cancelled, between the socket and the end of the handshake, nothing stays open."""
        async with ApiClient(server.config) as client:
            task = asyncio.create_task(work(client))
            while not made:  # noqa: ASYNC110 - turns of the loop are what is counted here
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            await given_up(task)
        assert closed(made)
