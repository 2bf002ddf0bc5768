"""The sockets under aiohttp's connections, so that a client that is closed leaves none of them open.

aiohttp closes a TLS connection that is given up in the middle (a watch, a cancelled request) by a farewell that waits up to 30 s
for the server's, and forgets it at once: closing the session neither ends it nor waits for it. So we keep the sockets.

Concurrency: one event loop.
"""

import asyncio
import contextlib
import socket
import time
import weakref
from typing import Any

_TURN = 0.01


class Sockets:
    """Makes sockets for a connector (its `socket_factory`), and ends those that are left."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: tuple[Any, ...]) -> socket.socket:
        """Return a new socket for an address as getaddrinfo gives it."""
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        self._made.add(made)
        return made

    def open(self) -> list[socket.socket]:
        """Return the sockets that are not closed yet."""
        return [one for one in self._made if one.fileno() >= 0]

    async def end(self, patience: float = 5.0) -> None:
        """Cut what is still open and wait, at most `patience` seconds, until the transports have closed their sockets.

        A transport whose socket was shut down reads an end of the stream, and goes by the way of a connection that is lost.
        """
        for one in self.open():
            with contextlib.suppress(OSError):  # not connected yet, or cut by the server
                one.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + patience
        await asyncio.sleep(0)
        while self.open() and time.monotonic() < end:  # noqa: ASYNC110 - no one tells when a socket is closed
            await asyncio.sleep(_TURN)


__all__ = ["Sockets"]
