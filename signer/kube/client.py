"""The one place that speaks HTTP to the API server: bytes in, bytes out. Comforts with dicts are added by objects.py.

Concurrency: one client for a process, used from one event loop; calls run side by side on keep-alive connections, watches on
connections of their own. No call is ever repeated here (the callers know whether that is right), with one exception: after a 401
the credentials are read again and the request, which the server did not act on, is sent once more.
Why not the generated client: 5-10 times the CPU for each request, and no way to send an object's raw bytes.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from signer import __version__
from signer.kube.config import ConnectionConfig
from signer.kube.credentials import Credentials
from signer.kube.errors import ApiError, Unreachable, error_from_response
from signer.kube.http.answer import LARGEST_ERROR
from signer.kube.http.chunks import Chunks, SilentConnection, describe, lost, read_whole
from signer.kube.http.exchange import Exchanges
from signer.kube.http.sockets import Sockets
from signer.kube.objects import ObjectRequests, Query, Response

# A page of 500 objects has a few MB; etcd holds no object of more than 1.5 MB.
LARGEST_BODY = 256 * 1024 * 1024
CONNECT_TIMEOUT = 10.0


class ApiClient(ObjectRequests):
    """Requests to one API server; an async context manager.

    Args:
        config: where and as whom.
        on_error: called with the HTTP code, or "unreachable", of each failed request: for metrics.
        on_date: called with the Date of each answer, None where it has none.
        connections: how many keep-alive connections at most, and as many for `exchange`; further requests wait for one
            within their timeout.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        *,
        on_error: Callable[[int | str], None] = lambda _code: None,
        on_date: Callable[[str | None], object] = lambda _: None,
        connections: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = Credentials(config, clock)
        self._on_error = on_error
        self._on_date = on_date
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None
        self._exchanges: Exchanges | None = None
        self._sockets = Sockets()
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def __aenter__(self) -> Self:
        """Read certificates and credentials and open the pools; raises ConfigError."""
        await self._credentials.load()
        self._session = self._new_session(self._connections)
        self._watches = self._new_session(0)
        self._exchanges = Exchanges(self._credentials, self._connections)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in (self._session, self._watches):
            if session is not None:
                await session.close()
        if self._exchanges is not None:
            await self._exchanges.close()
        await self._sockets.end()
        self._session = self._watches = self._exchanges = None

    def _new_session(self, limit: int) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=60.0, socket_factory=self._sockets.make),
            # An identity body is cheaper for both sides on a cluster's network, and cannot be a decompression bomb.
            headers={"User-Agent": f"mesh-signer/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # Kubernetes' longest headers are tokens in requests; answers with more than this are not from an API server.
            max_line_size=16384,
            max_field_size=16384,
        )
        # aiohttp repeats a PUT or DELETE once when a kept-alive connection turns out to be closed. A repeated PUT that had been
        # stored the first time reads as a conflict, so the caller is told "unknown" instead. There is no public switch.
        session._retry_connection = False  # noqa: SLF001
        return session

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109 - aiohttp's own timeout, cheaper than a cancel scope for each request
        largest: int = LARGEST_BODY,
    ) -> Response:
        """Send one request and read the whole answer.

        Args:
            method: HTTP method.
            path: begins with "/", escaped (Resource.path).
            query: parameters; True and False are written as "true" and "false".
            body: sent as it is.
            content_type: of the body.
            accept: media type that we want.
            timeout: seconds for everything: waiting for a connection, connecting, sending, reading.
            largest: bytes that we are ready to read.

        Raises:
            ApiError: the answer was 400 or more (see errors.py for the subclasses).
            Unreachable: no or half an answer; whether a write happened is not known.
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        url = self._url(path, query)
        limits = self._timeouts.get(timeout)
        if limits is None:
            limits = self._timeouts[timeout] = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        try:
            try:
                return await self._once(self._session, method, url, headers, body, limits=limits, largest=largest)
            except _Repeat:
                return await self._once(
                    self._session, method, url, headers, body, limits=limits, largest=largest, last=True
                )
        except ApiError as error:
            self._on_error(error.status)
            raise
        except Unreachable:
            self._on_error("unreachable")
            raise

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes,
        content_type: str,
        accept: str,
        timeout: float,  # noqa: ASYNC109 - as in request
    ) -> Response:
        """Do what `request` does, for a short answer and at a fraction of its CPU; see exchange.py.

        The answer's headers are only those that http_answer.Answer names. Raises what `request` raises.
        """
        if self._exchanges is None:
            raise RuntimeError("the client is not open")
        if not self._exchanges.possible():
            return await self.request(
                method, path, body=body, content_type=content_type, accept=accept, timeout=timeout
            )
        try:
            return await self._exchanges.send(
                method, path, body, content_type=content_type, accept=accept, timeout=timeout
            )
        except ApiError as error:
            self._on_error(error.status)
            raise
        except Unreachable:
            self._on_error("unreachable")
            raise

    async def _once(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: dict[str, str],
        body: bytes | None,
        *,
        limits: aiohttp.ClientTimeout,
        largest: int,
        last: bool = False,
    ) -> Response:
        generation = await self._credentials.authorize(headers)
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=limits,
                ssl=self._credentials.tls,
                server_hostname=self._credentials.config.server_name,
                proxy=self._credentials.config.proxy,
                allow_redirects=False,
            ) as response:
                status = response.status
                content = await read_whole(response, largest if status < 400 else LARGEST_ERROR, cut=status >= 400)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{method} {url.path}: {describe(error)}") from error
        self._on_date(response.headers.get("Date"))
        if status < 300:
            return Response(status, response.headers, content)
        if status < 400:
            # API servers do not redirect; following one could carry our token elsewhere.
            raise Unreachable(f"{method} {url.path}: unexpected redirect {status}")
        if status == 401 and not last and await self._credentials.reload(generation):
            raise _Repeat
        raise error_from_response(status, response.headers, content)

    def _url(self, path: str, query: Query | None) -> URL:
        if query:
            pairs = {k: ("true" if v else "false") if isinstance(v, bool) else v for k, v in query.items()}
            path = f"{path}?{urlencode(pairs)}"
        return URL(self._credentials.config.host + path, encoded=True)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        accept: str = "application/json",
        inactivity: float = 90.0,
    ) -> "AsyncIterator[Chunks]":
        """Open a long answer, such as a watch, on a connection of its own, and give its chunks as they come.

        `inactivity` is the longest silence in seconds, before the answer's head and between chunks.

        Raises:
            ApiError: the answer was 400 or more.
            Unreachable: connection trouble; SilentConnection: silence. On entering, or from the chunks.
        """
        if self._watches is None:
            raise RuntimeError("the client is not open")
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=inactivity)
        url = self._url(path, query)
        try:
            try:
                response = await self._open(self._watches, url, accept, limits)
            except _Repeat:
                response = await self._open(self._watches, url, accept, limits, last=True)
        except ApiError as error:
            self._on_error(error.status)
            raise
        except Unreachable:
            self._on_error("unreachable")
            raise
        try:
            yield Chunks(response, self._on_error)
        finally:
            response.close()

    async def _open(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        accept: str,
        limits: aiohttp.ClientTimeout,
        *,
        last: bool = False,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept}
        generation = await self._credentials.authorize(headers)
        response = None
        try:
            response = await session.get(
                url,
                headers=headers,
                timeout=limits,
                ssl=self._credentials.tls,
                server_hostname=self._credentials.config.server_name,
                proxy=self._credentials.config.proxy,
                allow_redirects=False,
            )
            if response.status < 300:
                opened, response = response, None
                return opened
            content = await read_whole(response, LARGEST_ERROR, cut=True)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise lost(f"GET {url.path}", error) from error
        finally:
            if response is not None:
                response.close()
        if response.status < 400:
            raise Unreachable(f"GET {url.path}: unexpected redirect {response.status}")
        if response.status == 401 and not last and await self._credentials.reload(generation):
            raise _Repeat
        raise error_from_response(response.status, response.headers, content)


class _Repeat(Exception):
    pass


__all__ = ["ApiClient", "Chunks", "Query", "Response", "SilentConnection"]
