"""A closed client leaves no connection behind, whatever was under way and however the server behaves."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.kube.client import ApiClient
from signer.kube.config import ConnectionConfig
from signer.kube.http.sockets import Sockets
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
    """All sockets that a client makes."""
    sockets: list[socket.socket] = []
    make = Sockets.make

    def kept(self: Sockets, address: tuple[object, ...]) -> socket.socket:
        sockets.append(make(self, address))
        return sockets[-1]

    monkeypatch.setattr(Sockets, "make", kept)
    return sockets


class TestClosed:
    """Nothing is open once the client is closed: neither does the process lose descriptors nor do tests warn."""

    async def test_a_watch_that_was_given_up(self, server: SilentServer, made: list[socket.socket]) -> None:
        """A watch that is cancelled while the server is silent is gone when the client is."""

        async def watch(client: ApiClient) -> None:
            async with client.stream("/api/v1/things") as chunks:
                async for _ in chunks:
                    pass

        async with ApiClient(server.config) as client:
            task = asyncio.create_task(watch(client))
            while not made or not server.accepted:  # noqa: ASYNC110 - another thread's list
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert [one.fileno() for one in made] == [-1]

    async def test_a_request_that_was_given_up(self, server: SilentServer, made: list[socket.socket]) -> None:
        """So is a request."""
        async with ApiClient(server.config) as client:
            task = asyncio.create_task(client.request("GET", "/api/v1/things"))
            while not made or not server.accepted:  # noqa: ASYNC110 - another thread's list
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert [one.fileno() for one in made] == [-1]

    @pytest.mark.parametrize("turns", range(8))
    async def test_a_connection_on_its_way(self, server: SilentServer, made: list[socket.socket], turns: int) -> None:
        """Whenever connecting is cancelled, between the socket and the end of the handshake, nothing stays open."""
        async with ApiClient(server.config) as client:
            task = asyncio.create_task(client.request("GET", "/api/v1/things"))
            while not made:  # noqa: ASYNC110 - turns of the loop are what is counted here
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert [one.fileno() for one in made] == [-1]
