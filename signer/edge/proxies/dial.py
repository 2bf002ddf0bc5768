"""Looks at gateways' Pods: in threads of their own, and with an end that no slow answer moves.

A Pod may be a tenant's, and may answer byte by byte for hours, while a socket's timeout counts from byte to byte. So the
connection is shut under whoever waits for it when the time for all of a look is over. Nothing else of ours, least of all
signing, uses these threads: who fills them delays looks, and those of his own namespace first (self_checks.py).
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
_STEP_SECONDS = 5.0
_executor = ThreadPoolExecutor(32, thread_name_prefix="look")
# The system's resolver cannot be told to stop: who asks for names whose servers hang fills these, and nothing else.
_resolvers = ThreadPoolExecutor(16, thread_name_prefix="resolve")


async def in_thread(look: Callable[[], T]) -> T:
    """Run a look, which blocks."""
    return await asyncio.get_running_loop().run_in_executor(_executor, look)


async def addresses(host: str, port: int, kind: socket.SocketKind, seconds: float) -> tuple[str, ...]:
    """The addresses of a name as any program here finds them, each once. Raises OSError, UnicodeError."""
    loop = asyncio.get_running_loop()
    asked = loop.run_in_executor(_resolvers, lambda: socket.getaddrinfo(host, port, type=kind))
    found = await asyncio.wait_for(asked, seconds)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


class Limit:
    """The time for all of one look, in seconds: a context manager. `over` tells whether it was used up."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for one in self._open:
                one.close()
            self._open.clear()

    def connect(self, address: str, port: int) -> socket.socket:
        """Connect within what is left of the time. Raises OSError."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock = socket.create_connection((address, port), timeout=min(left, _STEP_SECONDS))
        with self._lock:
            if self.over:
                sock.close()
                raise TimeoutError
            self._open.append(sock.dup())  # TLS takes the other one over
        return sock

    def _end(self) -> None:
        with self._lock:
            self.over = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
