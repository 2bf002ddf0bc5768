"""A loop whose clock jumps to the next timer when nothing else is left to do, so that minutes of waiting cost milliseconds.

Real sockets within the process keep working: a jump happens only when no file descriptor has anything to say.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


_STUCK_SECONDS = 120.0


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.in_threads = 0
        self._idle = time.monotonic()

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self.in_threads:
            if timeout != 0 or self.in_threads:
                self._idle = time.monotonic()
            # Who is always at work, as by sleep(0), waits for ever where somebody else waits for a time.
            elif time.monotonic() - self._idle > _STUCK_SECONDS:
                raise RuntimeError(
                    f"for {_STUCK_SECONDS:.0f} s of real time something was always at work: no virtual time passes"
                )
            return super().select(timeout)
        self._idle = time.monotonic()
        # Bytes on loopback get this much real time to arrive; the one descriptor that is always there is the loop's own.
        events = super().select(0.002 if len(self.get_map()) > 1 else 0)
        if not events:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self.faults: list[dict[str, Any]] = []

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what went wrong in callbacks and in tasks that nobody asked, so that the test can fail of it."""
        self.faults.append(context)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Let no time pass while a thread works."""
        self._virtual.in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: object) -> None:
        self._virtual.in_threads -= 1


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a VirtualLoop; it also fails of errors that a loop would only log."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        loop = VirtualLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(*args, **kwargs))
        assert not loop.faults

    return run
