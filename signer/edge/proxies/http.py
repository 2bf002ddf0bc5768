"""One look at a challenge's answer through a gateway, as a CA would look; and whether the host is in DNS.

Only addresses of the gateway's own Pods are dialled, whatever the host resolves to, so that nobody is reached by writing
a DNS record. Blocking parts run in threads. Nothing of an answer is kept but whether it is the right one.
"""

import http.client
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from signer.edge.host import Host
from signer.edge.proxies.dial import Limit, addresses, in_thread

MAX_BODY = 1024
"""Bytes that are read of an answer; a key authorization has fewer than 200."""
MAX_REDIRECTS = 10
_PORTS = {"http": 80, "https": 443}

_SECONDS = 5.0
_LOOK_SECONDS = 10.0
Resolve = Callable[[str], Awaitable[tuple[str, ...] | None]]
"""The addresses of a host; () when there is none, None when DNS is not asked."""


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """One Pod of a gateway: its address, and where it listens for the public ports 80 and 443."""

    address: str
    ports: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one self check saw.

    `resolved`: the host's public addresses, None if DNS was not asked. `gateways`: the gateway's own addresses. `error`:
    what kept it from an answer ("reset", "refused", "timeout", "tls"; "" for none). `redirect`: a location that must not
    be followed. `matches`: the body is the key authorization; `overlong`: it was longer than MAX_BODY.
    """

    resolved: tuple[str, ...] | None
    gateways: tuple[str, ...]
    error: str = ""
    through_https: bool = False
    status: int = 0
    redirect: str = ""
    matches: bool = False
    overlong: bool = False


async def system_resolver(host: str) -> tuple[str, ...] | None:
    """Ask as any program here would; a resolver that cannot be asked now is as good as no answer."""
    try:
        return await addresses(f"{host}.", 80, socket.SOCK_STREAM, _SECONDS)
    except OSError:  # TimeoutError is one
        return ()


async def no_resolver(_host: str) -> tuple[str, ...] | None:
    """Leave DNS to the CA."""
    return None


async def look(
    host: Host,
    path: str,
    key: str,
    gateway: GatewayAddress,
    resolved: tuple[str, ...] | None,
    public: tuple[str, ...],
    *,
    seconds: float = _LOOK_SECONDS,
) -> Seen:
    """Ask one Pod of a gateway for the answer, following redirects as a CA does. `public`: its Service's addresses."""
    return await in_thread(lambda: _look(host, path, key, gateway, resolved, public, Limit(seconds)))


def _look(
    host: Host,
    path: str,
    key: str,
    gateway: GatewayAddress,
    resolved: tuple[str, ...] | None,
    public: tuple[str, ...],
    limit: Limit,
) -> Seen:
    with limit:
        return _follow(host, path, key, gateway, resolved, public, limit)


def _follow(
    host: Host,
    path: str,
    key: str,
    gateway: GatewayAddress,
    resolved: tuple[str, ...] | None,
    public: tuple[str, ...],
    limit: Limit,
) -> Seen:
    scheme, target, followed, secure = "http", path, 0, False

    def seen(**what: object) -> Seen:
        return Seen(resolved, public, through_https=secure, **what)  # type: ignore[arg-type]  # the fields of Seen

    while True:
        secure = scheme == "https"
        try:
            status, location, body = _ask(str(host), target, scheme, gateway, limit)
        except (OSError, http.client.HTTPException) as error:
            return seen(error="timeout" if limit.over else _cause(error))
        if limit.over:
            return seen(error="timeout")  # it may have ended in a half answer
        if status in (301, 302, 303, 307, 308) and location:
            try:
                parts = urlsplit(location)
                port = parts.port
            except ValueError:
                return seen(status=status, redirect="elsewhere")
            same = not parts.netloc or (parts.hostname or "").lower() == str(host)
            if not same or not may_follow(parts.scheme or scheme, port, followed):
                return seen(status=status, redirect="elsewhere")
            scheme = {80: "http", 443: "https"}.get(port or 0, parts.scheme or scheme)
            target, followed = parts.path or "/", followed + 1
            continue
        matches = body[:MAX_BODY].strip() == key.encode()
        return seen(status=status, matches=matches, overlong=len(body) > MAX_BODY)


def _ask(host: str, path: str, scheme: str, gateway: GatewayAddress, limit: Limit) -> tuple[int, str, bytes]:
    public = 443 if scheme == "https" else 80
    sock = limit.connect(gateway.address, gateway.ports.get(public, public))
    try:
        if scheme == "https":
            # As a CA does on the way of a redirect: whatever certificate is there will do (RFC 8555, 8.3).
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, public)
        connection.sock = sock
        connection.request("GET", path, headers={"Host": host, "Connection": "close", "Accept": "*/*"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or "", answer.read(MAX_BODY + 1)
    finally:
        sock.close()


def _cause(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return "tls"
    return "reset"


def may_follow(scheme: str, port: int | None, followed: int) -> bool:
    """Tell whether a redirect is followed: as CAs do, to ports 80 and 443 only, and so many at most (RFC 8555, 8.3)."""
    return followed < MAX_REDIRECTS and scheme in _PORTS and (port is None or port in _PORTS.values())
