"""One long answer, such as a watch: its head, then its bytes as they come.

Concurrency: one event loop. A connection gives, in callbacks; one task takes. Who takes slowly has the connection stop reading, so
that no more than MOST_WAITING bytes and one read lie here.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, Self

from signer.kube.errors import Unreachable
from signer.kube.http.answer import LARGEST_ERROR, Answer, AnswerReader

MOST_WAITING = 256 * 1024
"""Bytes that nobody has taken yet; with more of them no more is read."""
# A timer may come a hair early, by the loop's resolution.
_EARLY = 0.001


class SilentConnection(Unreachable):
    """A stream was silent for longer than it may be: a half-open connection, or a server that hangs."""


class Line(Protocol):
    """What a stream asks of the connection that it is on."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read again."""

    def close(self, error: Unreachable) -> None:
        """End the connection, and the stream with this error."""


class Stream:
    """A request for a long answer; once it is open, an async iterator that ends when the server ends the answer properly.

    Args:
        request: bytes as they go out.
        inactivity: the longest silence in seconds, before the answer's head and between its bytes.
        what: the request, for error messages.

    Attributes:
        head: done when the answer's head is there, with None, or with the whole answer when it is 300 or more.
        date: the answer's Date, None where it has none.
        on_lost: called with the error of a stream that breaks off.
    """

    def __init__(self, request: bytes, inactivity: float, what: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.request = request
        self.head: asyncio.Future[Answer | None] = self._loop.create_future()
        self.date: str | None = None
        self.on_lost: Callable[[Unreachable], object] = lambda _: None
        self._inactivity = inactivity
        self._what = what
        self._line: Line | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._over = False
        self._error: Unreachable | None = None
        self._taker: asyncio.Future[None] | None = None
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, line: Line) -> AnswerReader:
        """Take the connection that carries the request; gives the reader of its answer."""
        self._line = line
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._inactivity, self._listen)
        return AnswerReader(LARGEST_ERROR, self)

    def opened(self, status: int, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - any below 300 is good
        """Take the answer's head."""
        self._heard = self._loop.time()
        self.date = headers.get("date")
        if not self.head.done():
            self.head.set_result(None)

    def piece(self, data: bytes) -> None:
        """Take bytes of the answer's body."""
        self._heard = self._loop.time()
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting > MOST_WAITING and not self._paused and self._line is not None:
            self._paused = True
            self._line.pause()
        self._wake()

    def finish(self, answer: Answer) -> None:
        """Take that the answer is whole; the connection belongs to others from now on."""
        if not self.head.done():
            self.date = answer.headers.get("date")
            self.head.set_result(answer)
        if self._paused and self._line is not None:
            self._line.resume()
        self._end()

    def fail(self, error: Unreachable) -> None:
        """Take that no more will come."""
        if self._over:
            return
        if self.head.done():
            self._error = type(error)(f"{self._what}: {error}")
        else:
            self.head.set_exception(error)
        self._end()

    def close(self) -> None:
        """Give it up: the connection is closed, unless the answer was whole."""
        if self._line is not None:
            self._line.close(Unreachable("the stream was closed"))
        self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give all bytes that have come; raises Unreachable, SilentConnection."""
        while not self._pieces:
            if self._error is not None:
                self.on_lost(self._error)
                raise self._error
            if self._over:
                raise StopAsyncIteration
            self._taker = self._loop.create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        if self._paused and self._line is not None:
            self._paused = False
            self._heard = self._loop.time()  # while nothing was read, nothing could be heard
            self._line.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end(self) -> None:
        self._over = True
        self._line = None
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def _listen(self) -> None:
        """End a stream that was silent for too long; look again when it may have been."""
        now = self._loop.time()
        due = now + self._inactivity if self._paused else self._heard + self._inactivity
        if now + _EARLY < due:
            self._timer = self._loop.call_at(due, self._listen)
        elif self._line is not None:
            self._line.close(SilentConnection("no answer in time"))
