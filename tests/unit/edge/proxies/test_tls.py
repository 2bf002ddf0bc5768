"""Looks at the certificate that a gateway's Pod shows: which one it is, or what kept it from being seen."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from signer.edge.gateways.placeholder import placeholder
from signer.edge.host import Host
from signer.edge.proxies import dial
from signer.edge.proxies.tls import shown
from signer.edge.proxies.values import GatewayAddress

HOST = Host("shop.example.com")
NOW = datetime(2026, 9, 1, tzinfo=UTC)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def pod(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[GatewayAddress]:
    served: set[asyncio.Task[None]] = set()
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())  # type: ignore[arg-type]  # there is one
        with contextlib.suppress(OSError):
            if not over.is_set():  # a client may have gone before the server is told that it came
                await serve(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield GatewayAddress("127.0.0.1", {443: server.sockets[0].getsockname()[1]})
        over.set()
        await asyncio.gather(*served)


async def until_gone(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await reader.read()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a gateway without a certificate does."""
    writer.close()


async def another(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak something that is not TLS."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def context_of(folder: Path) -> ssl.SSLContext:
    """A server with two certificates for one host: 11 has an RSA key, 22 an ECDSA one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys: dict[int, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
        11: rsa.generate_private_key(65537, 2048),
        22: ec.generate_private_key(ec.SECP256R1()),
    }
    for serial, key in keys.items():
        made = placeholder([HOST], key, now=NOW, serial=serial)  # type: ignore[arg-type]  # any key signs
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert x509.load_pem_x509_certificate(made).serial_number == serial
        (folder / f"{serial}.pem").write_bytes(pem + made)
        context.load_cert_chain(folder / f"{serial}.pem")
    return context


@pytest.mark.parametrize(("algorithm", "serial"), [("RSA", 11), ("ECDSA", 22)])
async def test_the_one_that_is_asked_for(tmp_path: Path, algorithm: str, serial: int) -> None:
    """Of a gateway with two certificates the one with this kind of key is seen, though nobody would trust it."""
    async with pod(until_gone, context_of(tmp_path)) as address:
        sight = await shown(HOST, address, algorithm)
        assert (sight.serial, sight.error) == (serial, "")
        assert (await shown(HOST, address)).serial in {11, 22}


@pytest.mark.parametrize(("serve", "error"), [(hang_up, "reset"), (another, "tls")], ids=["hang up", "another"])
async def test_none(serve: Serve, error: str) -> None:
    """A Pod that shows none says by how it fails what is the matter."""
    async with pod(serve) as address:
        assert (await shown(HOST, address)).error == error


async def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pod that takes the connection and says nothing holds the look up for its time only."""
    monkeypatch.setattr(dial, "_SECONDS", 0.2)
    async with pod(until_gone) as address:
        assert (await shown(HOST, address)).error == "timeout"


async def test_nobody_there() -> None:
    """A Pod that listens nowhere is told as such."""
    async with pod(hang_up) as address:
        pass
    assert (await shown(HOST, address)).error == "refused"
