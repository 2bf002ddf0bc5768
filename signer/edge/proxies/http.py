"""One look at a challenge's answer, as a CA would look: at a gateway's Pod, or where the host's name leads.

Who is asked may be a tenant's, and may answer byte by byte for hours, or as fast as it can without end: all of a look has one end,
and so do the bytes that are read. Neither aiohttp nor http.client bounds what comes before an answer (interim answers), and
six Pods that sent nothing else held the loop up for three seconds at a time with aiohttp; so the few lines of framing are
ours, and the fields are http.client's to read. Used on the loop. Nothing of an answer is kept but whether it is the right one.
Source: RFC 9112, 4, 6 and 7.1; RFC 8555, 8.3 (a CA follows redirects, to other hosts too)
"""

import asyncio
import errno
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http.client import HTTPException, HTTPMessage, parse_headers
from io import BytesIO
from urllib.parse import quote, urljoin, urlsplit

from signer.edge.proxies.dial import dialled
from signer.edge.proxies.values import MAX_BODY, Asked, GatewayAddress, Seen, may_follow

_SECONDS = 10.0
_MOST_HEADS = 8
_NO_WAY = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})\b")
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_IN_PATHS = "/%:@!$&'()*+,;=~"
_NO_ANSWER = (OSError, ValueError, HTTPException, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


Elsewhere = Callable[[str], Awaitable[GatewayAddress | None]]
"""Where another host is asked, to which an answer leads; None where it must not be, or has no address."""


async def nowhere_else(_host: str) -> GatewayAddress | None:
    """Follow no redirect to another host: a gateway's Pod answers for itself."""
    return None


async def look(
    asked: Asked, gateway: GatewayAddress, *, elsewhere: Elsewhere = nowhere_else, seconds: float = _SECONDS
) -> Seen:
    """Ask at one address for the answer, following redirects as a CA does."""
    try:
        async with asyncio.timeout(seconds):
            return await _follow(asked, gateway, elsewhere)
    except TimeoutError:
        return Seen(error="timeout")


async def _follow(asked: Asked, gateway: GatewayAddress, elsewhere: Elsewhere) -> Seen:
    host, scheme, path, followed = str(asked.host), "http", asked.path, 0
    while True:
        seen = Seen(through_https=scheme == "https")
        try:
            status, location, body = await _ask(host, path, gateway, secure=scheme == "https")
        except _NO_ANSWER as error:
            return replace(seen, error=_cause(error))
        if not location:
            matches = body[:MAX_BODY].strip() == asked.key.encode()
            return replace(seen, status=status, matches=matches, overlong=len(body) > MAX_BODY)
        led = replace(seen, status=status, redirect="elsewhere")
        try:
            parts = urlsplit(location)
            port, name = parts.port, (parts.hostname or host).lower()
        except ValueError:
            return led
        if not may_follow(parts.scheme or scheme, port, followed):
            return led
        if name != host:
            found = await elsewhere(name) if not _is_address(name) else None
            if found is None:
                return led
            host, gateway = name, found
        scheme = {80: "http", 443: "https"}.get(port or 0, parts.scheme or scheme)
        path, followed = urljoin(path, parts.path or "/"), followed + 1


def _is_address(host: str) -> bool:
    """CAs follow redirects to names alone."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def _ask(host: str, path: str, gateway: GatewayAddress, *, secure: bool) -> tuple[int, str, bytes]:
    """Return the status; of a redirect its location, of an answer with status 200 the first bytes of its body."""
    fields = f"Host: {host}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
    path = quote(path, safe=_IN_PATHS)
    async with dialled(gateway, 443 if secure else 80, host if secure else None) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("ascii"))
        status, headers = await _head(reader)
        if status in _REDIRECTS and (location := headers.get("Location")):
            return status, location, b""
        return status, "", await _body(reader, headers) if status == 200 else b""


async def _head(reader: asyncio.StreamReader) -> tuple[int, HTTPMessage]:
    """Read status and fields, past a few interim answers."""
    for _ in range(_MOST_HEADS):
        lines = BytesIO(await reader.readuntil(b"\r\n\r\n"))
        found = _STATUS.match(lines.readline())
        if found is None:
            break
        if (status := int(found[1])) >= 200:
            return status, parse_headers(lines)
    raise ValueError("this is no answer in HTTP/1.1")


async def _body(reader: asyncio.StreamReader, headers: HTTPMessage) -> bytes:
    """Read one byte more than an answer may have, at most; one that ends before its end is an IncompleteReadError."""
    most = MAX_BODY + 1
    body = b""
    if headers.get("Transfer-Encoding") is not None:
        while len(body) < most and (size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)):
            body += await reader.readexactly(min(size, most - len(body)))
            if len(body) < most:
                await reader.readexactly(2)
    elif (length := headers.get("Content-Length")) is not None:
        body = await reader.readexactly(min(int(length), most))
    else:
        while len(body) < most and (more := await reader.read(most - len(body))):
            body += more
    return body


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return "tls"
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return "unreachable"
    return "reset"
