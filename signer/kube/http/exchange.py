"""What ApiClient sends, over `connections`, with the client's credentials: short requests, and streams.

Concurrency: as ApiClient, one event loop, calls side by side. A connection belongs to the credentials that it was opened with:
when they are read again, a new pool takes over and the old one's connections carry nothing more, but for streams, which go on.
"""

import asyncio
import re
import ssl
from collections.abc import Callable

import msgspec

from signer import __version__
from signer.kube.access.credentials import Credentials
from signer.kube.errors import TimedOut, TooMuch, Unreachable, error_from_response
from signer.kube.http.answer import Answer
from signer.kube.http.connections import Pool, Retired
from signer.kube.http.dial import Origin, Url, read_url
from signer.kube.http.stream import SilentConnection, Stream
from signer.kube.objects import Response

_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[ -~]*")


class Request(msgspec.Struct, frozen=True):
    """A request before it has its head.

    Attributes:
        method: HTTP method.
        path: begins with "/", escaped, with its query.
        accept: media type that we want.
        content_type: of the body; "" without one.
        body: sent as it is.
    """

    method: str
    path: str
    accept: str
    content_type: str = ""
    body: bytes | None = None

    @property
    def what(self) -> str:
        """How error messages name it."""
        return f"{self.method} {self.path.partition('?')[0]}"


class Exchanges:
    """Requests over connections of its own, at most `connections` of them, and one more for each stream.

    `on_date` is called with the Date of each answer, None where it has none.
    """

    def __init__(
        self,
        credentials: Credentials,
        connections: int,
        on_date: Callable[[str | None], object] = lambda _: None,
    ) -> None:
        self._credentials = credentials
        self._connections = connections
        self._on_date = on_date
        self._generation = -1
        self._pool: Pool | None = None
        self._old: list[Pool] = []
        self._closed = False
        self._fields: tuple[tuple[str, str], ...] = ()
        self._prefix = self._basic = ""
        self._heads: dict[tuple[str, str], str] = {}
        self._authorization: str | None = None

    async def close(self) -> None:
        """Close all connections."""
        pools = [*self._old, self._pool] if self._pool is not None else self._old
        self._pool, self._old, self._closed = None, [], True
        for pool in pools:
            await pool.close()

    async def send(self, request: Request, timeout: float, largest: int) -> Response:  # noqa: ASYNC109 - the pool's timer
        """Send one request; see ApiClient.request. Raises ApiError, Unreachable and TooMuch."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        last = False
        while True:
            headers: dict[str, str] = {}
            generation = await self._credentials.authorize(headers)
            # From here to the pool nothing waits, so that head, pool and credentials are of one generation.
            try:
                pool = self._pool_of(generation)
                whole = self._bytes(request, headers.get("Authorization"))
                answer = await pool.exchange(whole, timeout=max(0.0, deadline - loop.time()), largest=largest)
            except (Unreachable, ValueError) as error:
                if isinstance(error, Retired) and not self._closed:
                    continue  # was not sent: with the new credentials
                raise _about(request.what, error) from error
            if answer.status < 300:
                self._on_date(answer.headers.get("date"))
                self._credentials.answered(answer.status)
                return Response(answer.status, answer.headers, answer.body)
            await self._refused(request, answer, generation, last=last)
            last = True

    async def open(self, request: Request, inactivity: float) -> Stream:
        """Send one request for a long answer; see ApiClient.stream. Raises ApiError, Unreachable and SilentConnection."""
        last = False
        while True:
            headers: dict[str, str] = {}
            generation = await self._credentials.authorize(headers)
            try:
                pool = self._pool_of(generation)
                stream = Stream(self._bytes(request, headers.get("Authorization")), inactivity, request.what)
                answer = await pool.stream(stream)
            except (Unreachable, ValueError) as error:
                if isinstance(error, Retired) and not self._closed:
                    continue
                raise _about(request.what, error) from error
            if answer is None:
                self._on_date(stream.date)
                self._credentials.answered(200)
                return stream
            await self._refused(request, answer, generation, last=last)
            last = True

    async def _refused(self, request: Request, answer: Answer, generation: int, *, last: bool) -> None:
        """Raise what a refusal is, unless it is a 401 after which there are other credentials, and not the last one."""
        self._on_date(answer.headers.get("date"))
        self._credentials.answered(answer.status)
        if answer.status < 400:
            # API servers do not redirect; following one could carry our token elsewhere.
            raise Unreachable(f"{request.what}: unexpected redirect {answer.status}")
        if answer.status != 401 or last or not await self._credentials.reload(generation):
            raise error_from_response(answer.status, answer.headers, answer.body)

    def _pool_of(self, generation: int) -> Pool:
        if self._pool is not None and generation == self._generation:
            return self._pool
        if self._closed:
            raise ValueError("the client is closed")
        config, tls = self._credentials.config, self._credentials.tls
        url = read_url(config.host)
        proxy = read_url(config.proxy) if config.proxy is not None else None
        old, self._pool = self._pool, Pool(_origin(url, tls, config.server_name, proxy), self._connections)
        self._generation = generation
        self._prefix = url.path
        fields = [("Host", url.authority)]
        if proxy is not None and not url.tls:
            # RFC 9112 section 3.2.2: a proxy that is to send on what it can read gets the whole URL.
            self._prefix = f"http://{url.authority}{url.path}"
            if proxy.basic:
                fields.append(("Proxy-Authorization", proxy.basic))
        fields += [("User-Agent", f"mesh-signer/{__version__}"), ("Accept-Encoding", "identity")]
        self._fields = tuple(fields)
        self._basic = url.basic
        self._heads.clear()
        if old is not None:
            self._old = [pool for pool in self._old if pool.open]
            self._old.append(old)
            old.retire()
        return self._pool

    def _bytes(self, request: Request, authorization: str | None) -> bytes:
        if not _METHOD.fullmatch(request.method) or not _TARGET.fullmatch(request.path):
            raise ValueError("the method or the path holds characters that cannot stand there")
        if authorization != self._authorization:
            self._authorization = authorization
            self._heads.clear()
        kinds = request.accept, request.content_type
        fields = self._heads.get(kinds)
        if fields is None:
            fields = self._heads[kinds] = self._lines(*kinds)
        line = f"{request.method} {self._prefix}{request.path} HTTP/1.1\r\n{fields}"
        if request.body is None:
            return f"{line}\r\n".encode("ascii")
        return f"{line}Content-Length: {len(request.body)}\r\n\r\n".encode("ascii") + request.body

    def _lines(self, accept: str, content_type: str) -> str:
        """The header lines that are the same for many requests."""
        fields = [*self._fields, ("Accept", accept)]
        if content_type:
            fields.append(("Content-Type", content_type))
        if authorization := self._authorization or self._basic:
            fields.append(("Authorization", authorization))
        for name, value in fields:
            if not _VALUE.fullmatch(value):
                raise ValueError(f"the {name} header holds characters that cannot stand there")
        return "".join(f"{name}: {value}\r\n" for name, value in fields)


def _origin(url: Url, tls: ssl.SSLContext | None, server_name: str | None, proxy: Url | None) -> Origin:
    """Where the connections for a URL go to."""
    # A trailing dot is for the resolver; no certificate has it.
    name = server_name or url.host.rstrip(".")
    if proxy is None:
        return Origin(url.host, url.port, tls, name)
    # As with Go's clients, what the cluster's own CA vouches for may be the proxy too.
    proxy_tls = (tls or ssl.create_default_context()) if proxy.tls else None
    if url.tls:
        return Origin(url.host, url.port, tls, name, proxy, proxy_tls)
    return Origin(proxy.host, proxy.port, proxy_tls, proxy.host)


def _about(what: str, error: Exception) -> Unreachable:
    """The error with the request that it is about."""
    kind = next((one for one in (TimedOut, TooMuch, SilentConnection) if isinstance(error, one)), Unreachable)
    return kind(f"{what}: {error}")
