"""Keep-alive HTTP/1.1 connections to one origin: short requests in great numbers, and long answers on a connection each.

Concurrency: one event loop, asyncio's or uvloop's; no locks. A connection carries one request at a time, and everything between
`Pool.exchange` and its answer happens in callbacks: no task, no stream, one future and one timer for each request.
Why not aiohttp: on the hot path it was a quarter of the CPU of a certificate (docs/adr/0017-an-own-http-client-for-one-write.md),
and half of what a start cost (docs/adr/0056-a-lean-start.md).
No request is ever repeated here. What a server may send or do ends in an answer or in Unreachable.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from signer.kube.errors import TimedOut, TooMuch, Unreachable
from signer.kube.http.answer import Answer, AnswerReader, Malformed, TooLarge
from signer.kube.http.dial import Dialer, Origin
from signer.kube.http.stream import Stream

# Go's servers keep idle connections for minutes, load balancers often for 60 seconds.
LONGEST_IDLE = 50.0
# A burst would otherwise open a connection for each of its requests, when some, used again, do: a TLS handshake costs both
# sides more than ten requests.
MOST_DIALS = 8
# A stream takes over a connection that was used so few seconds ago: on one that died meanwhile it would wait for nothing.
_FRESH = 1.0
# A timer may come a hair early, by the loop's resolution; without this it would be set again for the same moment.
_EARLY = 0.001
# An aborted transport, with TLS on top, takes the loop a few turns.
_TURNS = 10


class Retired(Unreachable):
    """The request was not sent: the pool was retired while it waited for a connection."""


class _Request(Protocol):
    """A request on its way."""

    request: bytes

    def begin(self, line: "_Connection") -> AnswerReader: ...

    def finish(self, answer: Answer) -> None: ...

    def fail(self, error: Unreachable) -> None: ...


class _Call:
    """One request for a short answer."""

    __slots__ = ("connection", "future", "largest", "request")

    def __init__(self, request: bytes, largest: int, future: asyncio.Future[Answer]) -> None:
        self.request = request
        self.largest = largest
        self.future = future
        self.connection: _Connection | None = None

    def begin(self, line: "_Connection") -> AnswerReader:
        self.connection = line
        return AnswerReader(self.largest)

    def finish(self, answer: Answer) -> None:
        self.connection = None
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: Unreachable) -> None:
        self.connection = None
        if not self.future.done():
            self.future.set_exception(error)


class _Connection(asyncio.Protocol):
    __slots__ = ("_call", "_lost", "_reader", "_released", "_transport", "closed", "idle_since")

    def __init__(self, released: "Callable[[_Connection], None]", lost: "Callable[[_Connection], None]") -> None:
        self.closed = False
        self.idle_since = 0.0
        self._released = released
        self._lost = lost
        self._call: _Request | None = None
        self._reader: AnswerReader | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        return not self.closed and self._transport is not None and not self._transport.is_closing()

    def send(self, call: _Request) -> None:
        assert self._transport is not None  # noqa: S101 - for the type checker: only usable connections are given out
        self._call = call
        self._reader = call.begin(self)
        self._transport.write(call.request)

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self, error: Unreachable | None = None) -> None:
        """Close at once, and fail the request that is under way. No TLS farewell: nothing is left to be said."""
        self.closed = True
        call, self._call, self._reader = self._call, None, None
        if call is not None:
            call.fail(error or Unreachable("the connection was closed"))
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
        except TooLarge as error:
            self.close(TooMuch(str(error)))
            return
        except Malformed as error:
            self.close(Unreachable(str(error)))
            return
        if answer is None:
            return
        self._call = self._reader = None
        call.finish(answer)
        # An answer that came before the request was all sent leaves the rest of it in the way of the next.
        if answer.reusable and not self._transport.get_write_buffer_size():
            self._released(self)
        else:
            self.close()

    def eof_received(self) -> None:
        self.close(Unreachable("the server closed the connection before its answer was whole"))

    def connection_lost(self, exc: Exception | None) -> None:
        reset = isinstance(exc, ConnectionResetError)
        why = "was reset" if reset else f"was lost before the answer was whole ({type(exc).__name__})"
        self.close(Unreachable(f"the connection {why}"))
        self._transport = None
        self._lost(self)


class Pool:
    """Connections to one origin; to be made on the loop that uses it.

    Args:
        origin: where to connect.
        limit: how many connections at most, streams apart; further requests wait, first come, first served.
        longest_idle: seconds after which an unused connection is closed.
    """

    def __init__(self, origin: Origin, limit: int, *, longest_idle: float = LONGEST_IDLE) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(origin)
        self._limit = limit
        self._longest_idle = longest_idle
        self._connections: set[_Connection] = set()
        self._streaming: set[_Connection] = set()
        self._idle: list[_Connection] = []  # the last released is used first, so that the others can grow old
        self._waiting: OrderedDict[_Call, None] = OrderedDict()  # none waits while a connection is idle
        self._dials: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._retired = False

    @property
    def open(self) -> bool:
        """Whether there are connections."""
        return bool(self._connections or self._streaming or self._dials)

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
            Unreachable: no or half an answer, or one that cannot be read; TimedOut: none in time; TooMuch: more than
                `largest`; Retired: not sent.
        """
        call = _Call(request, largest, self._loop.create_future())
        timer = self._loop.call_later(timeout, self._expire, call)
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

    async def stream(self, stream: Stream) -> Answer | None:
        """Send a request whose answer is long: None when it is open, the whole answer when that is 300 or more.

        It has a connection for itself, beyond `limit`. An answer of less than 300 lasts until `stream.close()`, or its end.

        Raises:
            Unreachable: no answer, or half a refusal; SilentConnection: silence; Retired: not sent.
        """
        try:
            connection = self._fresh() or await self._dialled_for_a_stream()
            self._streaming.add(connection)
            connection.send(stream)
            return await stream.head
        except BaseException:
            stream.close()
            if stream.head.done() and not stream.head.cancelled():
                stream.head.exception()  # it counts as seen
            raise

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
        for connection in [*self._connections, *self._streaming]:
            connection.close()
        if self._dials:
            await asyncio.wait(self._dials)
        # All turns, also when nothing is known to be open: a connection that was given up in its handshake is not known.
        for _ in range(_TURNS):
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

    def _fresh(self) -> _Connection | None:
        """Take a connection that has just been used out of the others; None where there is none."""
        if self._idle and not self._retired:
            connection = self._idle[-1]
            if connection.usable and self._loop.time() - connection.idle_since < _FRESH:
                self._idle.pop()
                self._connections.discard(connection)
                return connection
        return None

    async def _dialled_for_a_stream(self) -> _Connection:
        connection = _Connection(self._release, self._forget)
        try:
            if not self._retired:
                await self._dialer.connect(connection)
            if self._retired:
                raise Retired("not sent: the credentials were renewed")  # noqa: TRY301 - closed as after all errors
            if not connection.usable:
                raise Unreachable("the connection was closed at once")  # noqa: TRY301 - as above
        except BaseException:
            connection.close()
            raise
        return connection

    def _dial(self) -> None:
        """Open connections while there are more requests waiting than connections on their way."""
        while len(self._dials) < min(len(self._waiting), MOST_DIALS, self._limit - len(self._connections)):
            dial = self._loop.create_task(self._connect())
            self._dials.add(dial)
            dial.add_done_callback(self._dialled)

    async def _connect(self) -> None:
        connection = _Connection(self._release, self._forget)
        try:
            await self._dialer.connect(connection)
            if not connection.usable:
                raise Unreachable("the connection was closed at once")  # noqa: TRY301 - one place tells of failures
        except Unreachable as error:
            connection.close()
            # Each failure is told to one that waits: were it only tried again, a server that hangs up would be hammered.
            if self._waiting:
                self._waiting.popitem(last=False)[0].fail(error)
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
        if connection in self._streaming:
            self._streaming.discard(connection)
            self._connections.add(connection)
            if len(self._connections) + len(self._dials) > self._limit:
                connection.close()
                return
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
        self._streaming.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._retired:
            self._dial()

    def _sweep(self) -> None:
        """Close what has been idle for too long: the beginning of the list, which is in order of age."""
        self._sweeping = None
        now = self._loop.time() + _EARLY
        while self._idle and now - self._idle[0].idle_since >= self._longest_idle:
            self._idle.pop(0).close()
        if self._idle:
            due = self._idle[0].idle_since + self._longest_idle
            self._sweeping = self._loop.call_at(due, self._sweep)

    def _expire(self, call: _Call) -> None:
        self._give_up(call, TimedOut("no answer in time"))

    def _give_up(self, call: _Call, error: Unreachable) -> None:
        connection = call.connection
        call.fail(error)
        self._waiting.pop(call, None)
        if connection is not None:
            connection.close()
