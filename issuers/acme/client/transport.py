"""One https exchange with one CA: the only place of `issuers` that opens a connection.

The CA may be a stranger's. So: its one origin only, no redirects, no proxy, an address that the rule allows, at most
1 MiB, and 30 seconds for everything from the first connect to the last byte.

Used on one event loop. Any number of exchanges may be under way at once; how many is for the caller to bound.
"""

import asyncio
import functools
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from issuers.acme.errors import ForbiddenTarget, MalformedAnswer, Unreachable
from issuers.acme.targets import AddressRule, Origin, Origins, kinds, origin, same_origin

USER_AGENT = "mesh-signer (+https://mesh-signer.dev)"
MAX_BYTES = 1 << 20
SECONDS = 30.0
# So that an address that is dead leaves time for another try.
_CONNECT_SECONDS = 10.0
# A server closes an idle connection at some time; one that is older may close under our request.
_IDLE_SECONDS = 10.0
# As cert-manager counts what was not answered (pkg/acme/client/http.go).
NO_ANSWER = 999

action: ContextVar[str] = ContextVar("action", default="")
"""What the exchanges of a task are for, for `Server.observe`."""


class Exchange(NamedTuple):
    """One exchange that ended, well or not: `action` is what it was for, `status` NO_ANSWER when none came."""

    host: str
    action: str
    method: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Server:
    """A CA as an issuer names it.

    Attributes:
        directory: the https URL of its directory.
        addresses: which of its addresses may be dialled.
        ca_bundle: PEM of the roots to trust in place of the system's; None for the system's.
        verify: False trusts any certificate: for tests and ClusterIssuers with skipTLSVerify only.
        seconds: for one exchange.
        user_agent: who we are; RFC 8555, section 6.1, demands one.
        observe: told of each exchange; it must not raise.
        threads: where its name is looked up, which may take as long as a stranger's name server likes; None: with all else.
    """

    directory: str
    addresses: AddressRule = field(default_factory=AddressRule)
    ca_bundle: bytes | None = None
    verify: bool = True
    seconds: float = SECONDS
    user_agent: str = USER_AGENT
    observe: Callable[["Exchange"], None] | None = None
    threads: Executor | None = field(default=None, compare=False)

    def ssl_context(self) -> ssl.SSLContext:
        """How its certificate is checked. Raises ForbiddenTarget for a bundle that is none."""
        if self.ca_bundle is None:
            return _system_trust(verify=self.verify)
        try:
            context = ssl.create_default_context(cadata=self.ca_bundle.decode("ascii"))
        except (ValueError, ssl.SSLError):
            raise ForbiddenTarget("caBundle: not certificates in PEM") from None
        return context if self.verify else _unverified(context)


# Reading the system's roots takes some 20 ms, which the loop should spend once.
@functools.cache
def _system_trust(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    return context if verify else _unverified(context)


def _unverified(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` is case-insensitive."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Transport:
    """Exchanges with the origin of one directory, and with those that it names (`origins`, once it was read)."""

    def __init__(self, server: Server) -> None:
        """Raises ForbiddenTarget when the directory's URL or the CA bundle cannot be used. Made on the loop."""
        self.origin: Origin = origin(server.directory)
        self.origins = Origins(self.origin)
        self._rule = _Rule(self.origin.host, server.addresses)
        self._server = server
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Judged(self._rule, server.threads),
                use_dns_cache=False,
                ssl=server.ssl_context(),
                keepalive_timeout=_IDLE_SECONDS,
                limit=0,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"User-Agent": server.user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def exchange(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer, whatever its status but a redirect. No POST is ever sent twice.

        Raises ForbiddenTarget before anything is sent, Unreachable, or MalformedAnswer.
        """
        at = origin(same_origin(url, self.origins, "the URL"))
        began, status = time.monotonic(), NO_ANSWER
        try:
            answer = await self._exchange(at, method, url, body, headers)
            status = answer.status
        finally:
            if self._server.observe is not None:
                seconds = time.monotonic() - began
                self._server.observe(Exchange(at.host, action.get(), method, status, seconds))
        if 300 <= answer.status < 400:
            raise MalformedAnswer(f"{at} answered with a redirect ({answer.status}); none is followed")
        return answer

    async def close(self) -> None:
        """Close its connections. Whoever still waits for an answer gets Unreachable."""
        await self._client.close()

    async def _exchange(
        self, at: Origin, method: str, url: str, body: bytes | None, headers: dict[str, str] | None
    ) -> Answer:
        if _literal(at.host):
            # The library asks a resolver for names only.
            self._rule.allowed(at.host, [at.host])
        try:
            async with (
                asyncio.timeout(self._server.seconds),
                self._client.request(
                    method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return Answer(response.status, response.headers, await self._read(at, method, response))
        except TimeoutError as error:
            slow = isinstance(error, aiohttp.ConnectionTimeoutError)
            told = "no connection" if slow else "no answer"
            seconds = _CONNECT_SECONDS if slow else self._server.seconds
            raise Unreachable(f"{at}: {told} within {seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{at}: {_cause(error)}") from None

    async def _read(self, at: Origin, method: str, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise MalformedAnswer(f"{at}: a compressed answer, none was asked for")
        chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if response.content_length is None and not chunked and method != "HEAD" and response.status not in (204, 304):
            raise MalformedAnswer(f"{at}: an answer without a length could be cut off unnoticed")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise MalformedAnswer(f"{at}: an answer of more than {MAX_BYTES} bytes")
        return b"".join(parts)


class _Judged(AbstractResolver):
    """Gives the addresses of a name that the rule allows: these, and no others, are dialled next.

    Nothing is kept: a name that resolves anew to an address of ours gains nothing.
    """

    def __init__(self, rule: "_Rule", threads: Executor | None) -> None:
        self._rule = rule
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look = functools.partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        except (socket.gaierror, UnicodeError):
            raise Unreachable(f"https://{host}: the name does not resolve") from None
        # A scope, as in fe80::1%eth0, stays with its address.
        addresses = {str(address[0]): kind for kind, _, _, _, address in found}
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=addresses[one], proto=0, flags=socket.AI_NUMERICHOST
            )
            for one in self._rule.allowed(host, list(addresses))
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Rule:
    """Which addresses of a host are dialled: of the directory's those that the server's rule allows; of another's, public ones.

    Others may be loopback, link-local or private as far as the directory is just that: it may name its own neighbours, and
    nobody else's.
    """

    def __init__(self, directory: str, addresses: AddressRule) -> None:
        self._directory = directory
        self._addresses = addresses
        self._kinds: frozenset[str] = frozenset()

    def allowed(self, host: str, addresses: list[str]) -> list[str]:
        """Those that are dialled. Raises ForbiddenTarget when there is none."""
        refused = {one: reason for one in addresses if (reason := self._refusal(host, one))}
        allowed = [one for one in addresses if one not in refused]
        if not allowed:
            told = ", ".join(f"{one} is {reason}" for one, reason in list(refused.items())[:5])
            raise ForbiddenTarget(f"https://{host} is not connected to: {told or 'it has no address'}")
        if host == self._directory:
            self._kinds = frozenset[str]().union(*map(kinds, allowed))
        return allowed

    def _refusal(self, host: str, address: str) -> str | None:
        if (reason := self._addresses.refusal(address)) is not None or host == self._directory:
            return reason
        beyond = sorted(kinds(address) - self._kinds)
        return f"a {beyond[0]} address, and the directory has none" if beyond else None


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cause(error: Exception) -> str:
    """What went wrong, without a word of the server's: the library's messages quote what it read."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        under = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.certificate_error
        return _cause(under)
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason or 'the connection was closed'}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case OSError():
            return os.strerror(error.errno) if error.errno else type(error).__name__
        case aiohttp.InvalidURL() | ValueError():
            return "not a host name that TLS takes"
        case _:
            return "not an answer of HTTP"
