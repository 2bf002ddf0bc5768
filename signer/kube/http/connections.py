"""Keep-alive HTTP/1.1 connections to one origin, for short requests that are sent in great numbers.

Concurrency: one event loop, asyncio's or uvloop's; no locks. A connection carries one request at a time, and everything between
`Pool.exchange` and its answer happens in callbacks: no task, no stream, one future and one timer for each request.
Why not aiohttp: on the hot path it was a quarter of the CPU of a certificate (docs/adr/0017-an-own-http-client-for-one-write.md).
No request is ever repeated here. What a server may send or do ends in an answer or in Unreachable.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from signer.kube.errors import Unreachable
from signer.kube.http.answer import Answer, AnswerReader, Malformed

CONNECT_TIMEOUT = 10.0
# Go's servers keep idle connections for minutes, load balancers often for 60 seconds.
LONGEST_IDLE = 50.0
# A burst would otherwise open a connection for each of its requests, when some, used again, do: a TLS handshake costs both
# sides more than ten requests.
MOST_DIALS = 8


class Retired(Unreachable):
    """The request was not sent: the pool was retired while it waited for a connection."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect. `server_name` is what the server's certificate must name; unused without `tls`."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


class _Call:
    """One request on its way."""

    __slots__ = ("connection", "future", "largest", "request")

    def __init__(self, request: bytes, largest: int, future: asyncio.Future[Answer]) -> None:
        self.request = request
        self.largest = largest
        self.future = future
        self.connection: _Connection | None = None

    def fail(self, error: Unreachable) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Connection(asyncio.Protocol):
    __slots__ = ("_call", "_lost", "_reader", "_released", "_transport", "closed", "idle_since")

    def __init__(self, released: "Callable[[_Connection], None]", lost: "Callable[[_Connection], None]") -> None:
        self.closed = False
        self.idle_since = 0.0
        self._released = released
        self._lost = lost
        self._call: _Call | None = None
        self._reader: AnswerReader | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        return not self.closed and self._transport is not None and not self._transport.is_closing()

    def send(self, call: _Call) -> None:
        assert self._transport is not None  # noqa: S101 - for the type checker: only usable connections are given out
        self._call = call
        call.connection = self
        self._reader = AnswerReader(call.largest)
        self._transport.write(call.request)

    def close(self, reason: str = "the connection was closed") -> None:
        """Close at once, and fail the request that is under way. No TLS farewell: nothing is left to be said."""
        self.closed = True
        call, self._call, self._reader = self._call, None, None
        if call is not None:
            call.connection = None
            call.fail(Unreachable(reason))
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # create_connection makes no other kind; uvloop's is not a subclass
        if self.closed:
            transport.abort()  # type: ignore[attr-defined] # as above

    def data_received(self, data: bytes) -> None:
        call, reader = self._call, self._reader
        if call is None or reader is None or self._transport is None:
            self.close()  # nobody asked: what comes next could pass for the answer to the next request
            return
        try:
            answer = reader.feed(data)
        except Malformed as error:
            self.close(str(error))
            return
        if answer is None:
            return
        self._call = self._reader = None
        call.connection = None
        if not call.future.done():
            call.future.set_result(answer)
        # An answer that came before the request was all sent leaves the rest of it in the way of the next.
        if answer.reusable and not self._transport.get_write_buffer_size():
            self._released(self)
        else:
            self.close()

    def eof_received(self) -> None:
        self.close("the server closed the connection before its answer was whole")

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"the connection was lost before the answer was whole ({type(exc).__name__})")
        self._transport = None
        self._lost(self)


class Pool:
    """Connections to one origin; to be made on the loop that uses it.

    Args:
        origin: where to connect.
        limit: how many connections at most; further requests wait, first come, first served.
        longest_idle: seconds after which an unused connection is closed.
    """

    def __init__(self, origin: Origin, limit: int, *, longest_idle: float = LONGEST_IDLE) -> None:
        self._origin = origin
        self._limit = limit
        self._longest_idle = longest_idle
        self._loop = asyncio.get_running_loop()
        self._connections: set[_Connection] = set()
        self._idle: list[_Connection] = []  # the last released is used first, so that the others can grow old
        self._waiting: OrderedDict[_Call, None] = OrderedDict()  # none waits while a connection is idle
        self._dials: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._retired = False

    @property
    def open(self) -> bool:
        """Whether there are connections."""
        return bool(self._connections or self._dials)

    async def exchange(
        self,
        request: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - one timer, cheaper than a cancel scope for each request
        largest: int,
    ) -> Answer:
        """Send a whole request, head and body, and read the answer.

        A request whose connection closes under it is not sent again, even when nothing of an answer came: it may have been
        acted on. When the caller is cancelled, or the time is up, the request's connection is closed.

        Args:
            request: bytes as they go out; HTTP/1.1, not HEAD, not Expect.
            timeout: seconds for everything, the wait for a connection too.
            largest: bytes that the body of an answer below 400 may have.

        Raises:
            Unreachable: no or half an answer, or one that cannot be read; Retired: not sent.
        """
        call = _Call(request, largest, self._loop.create_future())
        timer = self._loop.call_later(timeout, self._expire, call, timeout)
        try:
            self._start(call)
            return await call.future
        except asyncio.CancelledError:
            self._give_up(call, Unreachable("cancelled"))
            if not call.future.cancelled():
                call.future.exception()  # came at the same moment; it counts as seen
            raise
        finally:
            timer.cancel()

    def retire(self) -> None:
        """Use no connection again: close idle ones now, busy ones after their answer, and fail who waits (Retired)."""
        self._retired = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        while self._waiting:
            self._waiting.popitem(last=False)[0].fail(Retired("not sent: the credentials were renewed"))
        for dial in self._dials:
            dial.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def close(self) -> None:
        """Close everything now and wait until the transports are gone."""
        self.retire()
        for connection in list(self._connections):
            connection.close()
        if self._dials:
            await asyncio.wait(self._dials)
        for _ in range(10):  # an aborted transport, with TLS on top, takes the loop a few turns
            if not self._connections:
                break
            await asyncio.sleep(0)

    def _start(self, call: _Call) -> None:
        if self._retired:
            raise Retired("not sent: the pool is closed")
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and self._loop.time() - connection.idle_since < self._longest_idle:
                connection.send(call)
                return
            connection.close()
        self._waiting[call] = None
        self._dial()

    def _dial(self) -> None:
        """Open connections while there are more requests waiting than connections on their way."""
        while len(self._dials) < min(len(self._waiting), MOST_DIALS, self._limit - len(self._connections)):
            dial = self._loop.create_task(self._connect())
            self._dials.add(dial)
            dial.add_done_callback(self._dialled)

    async def _connect(self) -> None:
        origin = self._origin
        connection = _Connection(self._release, self._forget)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._loop.create_connection(
                    lambda: connection,
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=origin.server_name if origin.tls is not None else None,
                )
            if not connection.usable:
                raise ConnectionError("closed at once")  # noqa: TRY301 - one place tells of failures
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            connection.close()
            # Each failure is told to one that waits: were it only tried again, a server that hangs up would be hammered.
            if self._waiting:
                why = str(error) or type(error).__name__
                call, _ = self._waiting.popitem(last=False)
                call.fail(Unreachable(f"cannot connect to {origin.host}:{origin.port}: {why}"))
            return
        except BaseException:
            connection.close()
            raise
        self._connections.add(connection)
        self._release(connection)

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        if not self._retired:
            self._dial()

    def _release(self, connection: _Connection) -> None:
        """Give a connection that is free to who waits longest, or keep it."""
        if self._retired or not connection.usable:
            connection.close()
        elif self._waiting:
            connection.send(self._waiting.popitem(last=False)[0])
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._sweeping is None:
                self._sweeping = self._loop.call_later(self._longest_idle, self._sweep)

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._retired:
            self._dial()

    def _sweep(self) -> None:
        """Close what has been idle for too long: the beginning of the list, which is in order of age."""
        self._sweeping = None
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= self._longest_idle:
            self._idle.pop(0).close()
        if self._idle:
            due = self._idle[0].idle_since + self._longest_idle
            self._sweeping = self._loop.call_at(due, self._sweep)

    def _expire(self, call: _Call, timeout: float) -> None:
        self._give_up(call, Unreachable(f"no answer within {timeout:g} s"))

    def _give_up(self, call: _Call, error: Unreachable) -> None:
        call.fail(error)
        self._waiting.pop(call, None)
        if call.connection is not None:
            call.connection.close()
