"""The one place that speaks HTTP to the API server: bytes in, bytes out. Comforts with dicts are added by objects.py.

Concurrency: one client for a process, used from one event loop; calls run side by side on keep-alive connections, watches on
connections of their own. No call is ever repeated here (the callers know whether that is right), with one exception: after a 401
the credentials are read again and the request, which the server did not act on, is sent once more.
Why not the generated client: 5-10 times the CPU for each request, and no way to send an object's raw bytes.
Why not aiohttp: docs/adr/0056-a-lean-start.md.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from signer.kube.access.config import ConnectionConfig
from signer.kube.access.credentials import Credentials
from signer.kube.errors import ApiError, NotSent, TooMuch, Unreachable
from signer.kube.http.exchange import Exchanges, Request
from signer.kube.http.stream import SilentConnection, Stream
from signer.kube.objects import ObjectRequests, Response
from signer.kube.paging import LARGEST_BODY, Query
from signer.kube.room import BUDGET, Room

# An object that the API server gives back; etcd holds none of more than 1.5 MB.
_LARGEST_OBJECT = 4 * 1024 * 1024


class ApiClient(ObjectRequests):
    """Requests to one API server; an async context manager.

    Args:
        config: where and as whom.
        on_error: called with the HTTP code, or "unreachable", of each failed request: for metrics.
        on_unreachable: called with the exception of each request without an answer.
        on_date: called with the Date of each answer, None where it has none.
        on_took: called with the method of each request and the seconds that it took, however it ended.
        connections: how many keep-alive connections at most, watches apart; further requests wait for one within their
            timeout.
        budget: bytes of one namespace's objects that are kept of all that is watched by this client.
        clock: monotonic seconds.

    Attributes:
        room: who keeps how much of which namespace.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        *,
        on_error: Callable[[int | str], None] = lambda _code: None,
        on_unreachable: Callable[[Unreachable], object] = lambda _error: None,
        on_date: Callable[[str | None], object] = lambda _: None,
        on_took: Callable[[str, float], object] = lambda _method, _seconds: None,
        connections: int = 100,
        budget: int = BUDGET,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.room = Room(budget)
        self._credentials = Credentials(config, clock)
        self._on_error = on_error
        self._on_unreachable = on_unreachable
        self._on_date = on_date
        self._on_took = on_took
        self._clock = clock
        self._connections = connections
        self._exchanges: Exchanges | None = None

    async def __aenter__(self) -> Self:
        """Read certificates and credentials; raises ConfigError."""
        await self._credentials.load()
        self._exchanges = Exchanges(self._credentials, self._connections, self._on_date)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._exchanges is not None:
            await self._exchanges.close()
        self._exchanges = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109 - the pool's own timer, cheaper than a cancel scope for each request
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
            TooMuch: more than `largest` bytes came.
        """
        kind = content_type if body is not None else ""
        began = self._clock()
        try:
            return await self._opened().send(
                Request(method, _with_query(path, query), accept, kind, body), timeout, largest
            )
        except TooMuch:
            raise
        except (ApiError, Unreachable) as error:
            self._failed(error)
            raise
        finally:
            self._on_took(method, self._clock() - began)

    @property
    def trouble(self) -> str:
        """Why nothing is asked of the API server for now, "" when all is well."""
        return self._credentials.trouble

    def _opened(self) -> Exchanges:
        if self._exchanges is None:
            raise RuntimeError("the client is not open")
        return self._exchanges

    def _failed(self, error: ApiError | Unreachable) -> None:
        if isinstance(error, Unreachable):
            self._on_error("unreachable")
            self._on_unreachable(error)
        elif not isinstance(error, NotSent):
            self._on_error(error.status)

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
        """Do what `request` does, for the hot path: no query, and the answer is one object. Raises what `request` raises."""
        began = self._clock()
        try:
            return await self._opened().send(
                Request(method, path, accept, content_type, body), timeout, _LARGEST_OBJECT
            )
        except (ApiError, Unreachable) as error:
            self._failed(error)
            raise
        finally:
            self._on_took(method, self._clock() - began)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        accept: str = "application/json",
        inactivity: float = 90.0,
    ) -> AsyncIterator[Stream]:
        """Open a long answer, such as a watch, on a connection of its own, and give its chunks as they come.

        `inactivity` is the longest silence in seconds, before the answer's head and between chunks.

        Raises:
            ApiError: the answer was 400 or more.
            Unreachable: connection trouble; SilentConnection: silence. On entering, or from the chunks.
        """
        try:
            stream = await self._opened().open(Request("GET", _with_query(path, query), accept), inactivity)
        except (ApiError, Unreachable) as error:
            self._failed(error)
            raise
        stream.on_lost = lambda _: self._on_error("unreachable")
        try:
            yield stream
        finally:
            stream.close()


def _with_query(path: str, query: Query | None) -> str:
    if not query:
        return path
    pairs = {
        name: ("true" if value else "false") if isinstance(value, bool) else value for name, value in query.items()
    }
    return f"{path}?{urlencode(pairs)}"


__all__ = ["ApiClient", "Query", "Response", "SilentConnection", "Stream"]
