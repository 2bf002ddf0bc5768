"""Opens connections to one API server: its addresses in turn, through a proxy where there is one, TLS done.

Concurrency: one event loop; calls run side by side. Names are resolved in a thread, which ends by itself.
A name with several addresses is dialled as Go's programs do: one after the other, each for its part of the time. Which of them
answered last is asked first, so that an address that is dead costs its part of the time only once.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from base64 import b64encode
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from signer.kube.errors import Unreachable

CONNECT_TIMEOUT = 10.0

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[!-~]+")
_PATH = re.compile(r"[!-~]*")
_LONGEST_HEAD = 16 * 1024
# A proxy may well speak HTTP/1.0 here: what follows is not HTTP anyway.
_TUNNEL = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\0\r\n]*)?(?:\r\n[^\0\r\n]*)*\r\n\r\n")


class Url(msgspec.Struct, frozen=True):
    """The parts of an http(s) URL that a connection needs.

    Attributes:
        tls: whether it is https.
        host: a name or an address, without brackets.
        port: the one that is named, or that of the scheme.
        path: without a slash at its end.
        basic: the Authorization header for the user and password in it, "" without. Never shown.
    """

    tls: bool
    host: str
    port: int
    path: str
    basic: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: without the port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Url({self.authority}{self.path})"


def read_url(text: str) -> Url:
    """Read an http(s) URL. Raises ValueError, which quotes no password."""
    try:
        found = urlsplit(text)
        port, host = found.port, found.hostname or ""
    except ValueError as error:
        raise ValueError("the URL does not name a host and port") from error
    with contextlib.suppress(UnicodeError):  # one that cannot be a name is refused below, or by the resolver
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    if found.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0 or not _PATH.fullmatch(found.path):
        raise ValueError("the URL does not name a host and port, and a path of plain characters")
    basic = ""
    if found.username is not None:
        pair = f"{unquote(found.username)}:{unquote(found.password or '')}"
        basic = "Basic " + b64encode(pair.encode()).decode("ascii")
    return Url(found.scheme == "https", host, port or _PORTS[found.scheme], found.path.rstrip("/"), basic)


class Origin(msgspec.Struct, frozen=True):
    """Where to connect.

    Attributes:
        host: a name or an address.
        port: its port.
        tls: how to speak TLS with it, None for not at all.
        server_name: what the server's certificate must name; unused without `tls`.
        proxy: through which its connections are opened (CONNECT); only with `tls`.
        proxy_tls: how to speak TLS with the proxy, None for not at all.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: Url | None = None
    proxy_tls: ssl.SSLContext | None = None


class Dialer:
    """Opens connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._good = ""

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Give `protocol` a connection, within CONNECT_TIMEOUT.

        Raises:
            Unreachable: there is none; the message says whom it was to reach, and why not.
        """
        origin, proxy = self._origin, self._origin.proxy
        host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if proxy is None:
                    await self._reach(host, port, protocol, origin.tls, origin.server_name)
                else:
                    await self._through(proxy, protocol)
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            raise Unreachable(f"cannot connect to {host}:{port}: {_why(error)}") from error

    async def _reach(
        self, host: str, port: int, protocol: asyncio.Protocol, tls: ssl.SSLContext | None, name: str | None
    ) -> asyncio.BaseTransport:
        """Try one address after the other. Raises the first one's error."""
        loop = asyncio.get_running_loop()
        end = loop.time() + CONNECT_TIMEOUT
        addresses = await _addresses(host, port)
        addresses.sort(key=lambda address: address != self._good)
        first: OSError | None = None
        for number, address in enumerate(addresses):
            try:
                async with asyncio.timeout((end - loop.time()) / (len(addresses) - number)):
                    transport, _ = await loop.create_connection(
                        lambda: protocol, address, port, ssl=tls, server_hostname=name if tls is not None else None
                    )
            except OSError as error:
                first = first or error
            else:
                self._good = address
                return transport
        raise first or OSError("it has no address")

    async def _through(self, proxy: Url, protocol: asyncio.Protocol) -> None:
        """Have the proxy connect us, and begin TLS with the server there. Source: RFC 9110 section 9.3.6."""
        origin, tunnel = self._origin, _Tunnel()
        assert origin.tls is not None  # noqa: S101 - for the type checker: see Origin
        transport: Any = await self._reach(proxy.host, proxy.port, tunnel, self._origin.proxy_tls, proxy.host)
        try:
            host = f"[{origin.host}]" if ":" in origin.host else origin.host
            fields = f"Proxy-Authorization: {proxy.basic}\r\n" if proxy.basic else ""
            head = f"CONNECT {host}:{origin.port} HTTP/1.1\r\nHost: {host}:{origin.port}\r\n{fields}\r\n"
            transport.write(head.encode("ascii"))
            await tunnel.open
            inner = await asyncio.get_running_loop().start_tls(
                transport, protocol, origin.tls, server_hostname=origin.server_name
            )
            if inner is None:
                raise ConnectionError("closed at once")  # noqa: TRY301 - cleaned up as the others
        except BaseException:
            transport.abort()
            raise
        protocol.connection_made(inner)


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" not in self._head and len(self._head) <= _LONGEST_HEAD:
            return
        found = _TUNNEL.fullmatch(self._head) if len(self._head) <= _LONGEST_HEAD else None
        if found is None:
            self._fail("the proxy does not answer in HTTP")
        elif not found[1].startswith(b"2"):
            self._fail(f"the proxy answers {found[1].decode()}")
        elif not self.open.done():
            self.open.set_result(None)

    def eof_received(self) -> None:
        self._fail("the proxy closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._fail("the proxy closed the connection")

    def _fail(self, why: str) -> None:
        if not self.open.done():
            self.open.set_exception(ConnectionError(why))
            self.open.exception()  # who waited for it may be gone


async def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, in the resolver's order."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [host]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreachable(f"the name {host} cannot be resolved") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _why(error: Exception) -> str:
    """The system's own words for an error, without what Python and asyncio put around them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
