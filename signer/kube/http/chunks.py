"""The chunks of a long answer, the whole of a short one, and what aiohttp's errors mean, in words.

Concurrency: an answer is read by one task.
"""

from collections.abc import Callable
from typing import Self

import aiohttp

from signer.kube.errors import Unreachable


class Chunks:
    """The bytes of a long answer as they come: an async iterator that ends when the server ends the answer properly."""

    def __init__(self, response: aiohttp.ClientResponse, on_error: Callable[[int | str], None]) -> None:
        self._response = response
        self._on_error = on_error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._on_error("unreachable")
            raise lost(f"GET {self._response.url.path}", error) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk


class SilentConnection(Unreachable):
    """A stream was silent for longer than it may be: a half-open connection, or a server that hangs."""


def describe(error: BaseException) -> str:
    """Say what happened, without the addresses of objects that aiohttp puts in."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"cannot connect to {error.host}:{error.port}: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text has the ssl context's address in it
        return f"cannot connect to {error.host}:{error.port}: {error.os_error}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def lost(what: str, error: BaseException) -> Unreachable:
    """Make the exception for a stream's error: SilentConnection when it was silence."""
    silent = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
    kind = SilentConnection if silent else Unreachable
    return kind(f"{what}: {describe(error)}")


async def read_whole(response: aiohttp.ClientResponse, largest: int, *, cut: bool) -> bytes:
    """Read a body of at most `largest` bytes; of a longer one give the beginning (cut) or fail."""
    length = response.content_length
    if length is not None and length <= largest:
        return await response.read()
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > largest:
            if cut:
                response.close()
                return bytes(content[:largest])
            raise ValueError(f"the answer is larger than {largest} bytes")
    return bytes(content)
