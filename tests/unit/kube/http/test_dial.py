"""How an API server is reached: its URL, its addresses, proxies, TLS, and what is said when it is not."""

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.access.config import ConnectionConfig
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable
from signer.kube.http import dial
from signer.kube.http.connections import Pool
from signer.kube.http.dial import Origin, read_url
from tests.pki import ANY_TIME, CA
from tests.unit.kube.http.servers import Server, Speak, both_loops

REQUEST = b"PUT /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
OPEN = b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "authority", "port", "path"),
    [
        ("https://a.example", "a.example", 443, ""),
        ("https://a.example:443/", "a.example", 443, ""),
        ("http://a.example", "a.example", 80, ""),
        ("http://a.example:443", "a.example:443", 443, ""),
        ("https://A.example:6443/k8s/clusters/c1/", "a.example:6443", 6443, "/k8s/clusters/c1"),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", 6443, ""),
        ("https://[fd00::1]", "[fd00::1]", 443, ""),
        ("https://b\u00fccher.example", "xn--bcher-kva.example", 443, ""),
    ],
)
def test_url(text: str, authority: str, port: int, path: str) -> None:
    """Host, port and path are found, the port that goes without saying is left out, names are in ASCII."""
    url = read_url(text)
    assert (url.authority, url.port, url.path, url.basic) == (authority, port, path, "")


def test_user_in_a_url() -> None:
    """User and password become basic authentication, and are shown nowhere."""
    url = read_url("https://me%40x:p%2Fw@a.example")
    assert url.basic == "Basic " + base64.b64encode(b"me@x:p/w").decode()
    assert (url.authority, "p/w" in repr(url), url.basic in repr(url)) == ("a.example", False, False)


@given(st.text(max_size=40))
def test_any_url(text: str) -> None:
    """Whatever is given is read or a ValueError that does not repeat it, and nothing gets out of its header."""
    for given_text in (text, f"https://{text}", f"http://u:{text}@h/{text}"):
        try:
            url = read_url(given_text)
        except ValueError as error:
            assert "URL does not name a host" in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert f"{url.authority}{url.path}{url.basic}".isascii()
            assert f"{url.authority}{url.path}{url.basic}".isprintable()
            assert " " not in url.authority + url.path


def tls_of(folder: Path) -> ssl.SSLContext:
    """A server's context; its certificate is one that nobody trusts."""
    ca = CA("a server", now=ANY_TIME)
    pem = folder / "server.pem"
    pem.write_bytes(ca.key_pem + ca.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def answering(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await server.request(reader)
        writer.write(GOOD)


def proxying(answer: bytes, port: Callable[[], int], heads: list[bytes]) -> Speak:
    """A proxy: takes CONNECT, says its answer, and passes everything on to a port of this machine."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def speak(_server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if answer is OPEN:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port())
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(pump(reader, inner_writer))
                    tasks.create_task(pump(inner_reader, writer))
            finally:
                inner_writer.close()

    return speak


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_through_a_proxy(tmp_path: Path, loop: str, *, proxy_tls: bool) -> None:
    """A proxy opens the connection, and TLS is with the server behind it, whose name only the proxy knows."""
    heads: list[bytes] = []
    context = tls_of(tmp_path)

    async def run() -> None:
        async with Server(answering, context) as server:
            speak = proxying(OPEN, lambda: server.port, heads)
            async with Server(speak, context if proxy_tls else None) as proxy:
                scheme = "https" if proxy_tls else "http"
                config = ConnectionConfig(
                    host="https://cluster.invalid:6443",
                    verify=False,
                    proxy=f"{scheme}://me:secret@127.0.0.1:{proxy.port}",
                )
                async with ApiClient(config) as client:
                    for _ in range(2):
                        answer = await client.request("PUT", "/x", body=b"body")
                        assert answer.body == b"{}"
                assert (server.connections, proxy.connections) == (1, 1)

    both_loops(run)(loop)
    (head,) = heads
    assert head.startswith(b"CONNECT cluster.invalid:6443 HTTP/1.1\r\nHost: cluster.invalid:6443\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:secret") in head


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "the proxy answers 407"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "the proxy does not answer in HTTP"),
        (b"nonsense\r\n\r\n", "the proxy does not answer in HTTP"),
        (b"x" * 20_000, "the proxy does not answer in HTTP"),
        (b"", "the proxy closed the connection"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy closed the connection"),
    ],
)
async def test_a_proxy_that_does_not(answer: bytes, why: str) -> None:
    """A proxy that refuses, or is none, is Unreachable, with its address and the reason."""
    heads: list[bytes] = []
    async with Server(proxying(answer, lambda: 0, heads)) as proxy:
        url = read_url(f"http://127.0.0.1:{proxy.port}")
        pool = Pool(Origin("cluster.invalid", 443, trusting(), "cluster.invalid", url), 1)
        with pytest.raises(Unreachable, match=f"cannot connect to 127.0.0.1:{proxy.port}: {why}"):
            await pool.exchange(REQUEST, timeout=10.0, largest=100)
        await pool.close()
    assert len(heads) == 1


@both_loops
async def test_addresses_in_turn() -> None:
    """Of several addresses the next is tried where one is dead; the one that answered is asked first from then on."""
    async with Server(answering) as server:
        pool = Pool(Origin("cluster.invalid", server.port), 1)
        asked: list[str] = []
        loop = asyncio.get_running_loop()
        create = loop.create_connection

        async def addresses(host: str, port: int) -> list[str]:
            assert (host, port) == ("cluster.invalid", server.port)
            return ["127.0.0.2", "127.0.0.3", "127.0.0.1"]

        class Noting:
            def __getattr__(self, name: str) -> Any:
                return getattr(loop, name)

            async def create_connection(self, make: Any, host: str, port: int, **more: Any) -> Any:
                asked.append(host)
                return await create(make, host, port, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dial, "_addresses", addresses)
            patch.setattr(asyncio, "get_running_loop", Noting)
            for _ in range(2):
                await pool.exchange(REQUEST, timeout=10.0, largest=100)
                pool._idle[0].close()
        assert asked == ["127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.1"]
        await pool.close()


async def test_an_address_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that takes no connection costs its part of the time, and no more."""
    monkeypatch.setattr(dial, "CONNECT_TIMEOUT", 5.0)
    full = socket.create_server(("127.0.0.2", 0), backlog=0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(4):  # what the kernel takes for a listener that accepts nothing
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(("127.0.0.2", port))
        fillers.append(filler)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(GOOD)
        writer.close()

    async def addresses(_host: str, _port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    monkeypatch.setattr(dial, "_addresses", addresses)
    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        async with server:
            pool = Pool(Origin("cluster.invalid", port), 1)
            assert (await pool.exchange(REQUEST, timeout=10.0, largest=100)).body == b"{}"
            await pool.close()
    finally:
        for one in (full, *fillers):
            one.close()


async def test_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is said in the system's words, with the address, and none of Python's."""

    async def why(host: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        pool = Pool(Origin(host, port, tls, "localhost"), 1)
        try:
            with pytest.raises(Unreachable) as caught:
                await pool.exchange(REQUEST, timeout=10.0, largest=100)
        finally:
            await pool.close()
        return str(caught.value)

    async def nothing(host: str, *_: object, **__: object) -> Any:
        raise socket.gaierror(-2, f"{host}: Name or service not known")

    async def plainly(_server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async def silent(_server: Server, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with Server(answering, tls_of(tmp_path)) as server:
        place = f"cannot connect to 127.0.0.1:{server.port}: "
        assert await why("127.0.0.1", server.port, ssl.create_default_context()) == place + "self-signed certificate"
    async with Server(plainly) as plain:
        said = await why("127.0.0.1", plain.port, trusting())
        assert said.startswith(f"cannot connect to 127.0.0.1:{plain.port}: TLS: ")
    assert await why("127.0.0.1", server.port) == place + "connection refused"
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nothing)
    assert await why("cluster.invalid", 443) == "the name cluster.invalid cannot be resolved"
    monkeypatch.setattr(dial, "CONNECT_TIMEOUT", 0.1)
    async with Server(silent) as hanging:
        assert (
            await why("127.0.0.1", hanging.port, trusting())
            == f"cannot connect to 127.0.0.1:{hanging.port}: no answer in time"
        )
