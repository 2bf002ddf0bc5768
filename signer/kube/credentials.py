"""The credentials in use: read when the client opens, refreshed by age, read anew after a 401.

Concurrency: one event loop; the sources block, so they run in threads, one at a time, while requests wait for them.
A source that hangs (an exec plugin, a file on a dead mount) is waited for up to SOURCE_TIMEOUT. Its thread cannot be
ended, so no source is asked again before it has: threads that hang would fill the pool.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from signer.kube.config import ConfigError, ConnectionConfig

logger = logging.getLogger(__name__)
T = TypeVar("T")

# How long a token is used before its source is asked again (client-go reads token files once a minute too).
CREDENTIALS_AGE = 60.0
# How long requests wait for a source, once something was read from it.
SOURCE_TIMEOUT = 10.0


class Credentials:
    """What identifies us to one API server, and the server to us.

    Attributes:
        config: where the credentials come from; replaced by a reload.
        tls: for aiohttp's `ssl` argument; True for plain http, where it does not matter.
    """

    def __init__(self, config: ConnectionConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.tls: ssl.SSLContext | bool = True
        self._clock = clock
        self._authorization: str | None = None
        self._refreshed = float("-inf")
        self._generation = 0
        self._refreshing = asyncio.Lock()
        self._reading: asyncio.Task[Any] | None = None
        self._hangs = False

    async def load(self) -> None:
        """Read everything for the first time, without a time limit: a person may have to log in. Raises ConfigError."""
        self._use(*await asyncio.to_thread(_read, self.config))

    async def authorize(self, headers: dict[str, str]) -> int:
        """Add the Authorization header, if there is one; gives the generation, which `reload` asks for."""
        if self._clock() - self._refreshed >= CREDENTIALS_AGE:
            await self._refresh()
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        return self._generation

    async def reload(self, generation: int) -> bool:
        """Read everything again after a 401, once for all the requests that met it.

        Returns:
            Whether sending the request again makes sense: False when there is nothing to read, or that failed.
        """
        async with self._refreshing:
            if generation != self._generation:
                return True
            source = self.config.reload
            if source is None:
                return False
            try:
                self._use(*await self._in_time(lambda: _read(source())))
            except ConfigError as error:
                logger.warning("credentials cannot be reloaded: %s", error)
                return False
            return True

    def _use(self, config: ConnectionConfig, tls: ssl.SSLContext | None, authorization: str | None) -> None:
        self.config = config
        self.tls = True if tls is None else tls
        self._authorization = authorization
        self._refreshed = self._clock()
        self._generation += 1

    async def _in_time(self, source: Callable[[], T]) -> T:
        """What the source gives; ConfigError after SOURCE_TIMEOUT, and at once while an earlier reading hangs.

        What comes too late is dropped: it may be older than what was read since.
        """
        earlier = self._reading
        if self._hangs and earlier is not None and not earlier.done():
            raise ConfigError("an earlier reading of the credentials has not ended yet")
        self._hangs = False
        try:
            async with asyncio.timeout(SOURCE_TIMEOUT):
                if earlier is not None:  # Its request was cancelled while it ran.
                    await asyncio.wait((earlier,))
                self._reading = task = asyncio.create_task(asyncio.to_thread(source))
                task.add_done_callback(_seen)
                # Shielded, since a cancelled task would look as if its thread had ended.
                return await asyncio.shield(task)
        except TimeoutError as error:
            self._hangs = True
            raise ConfigError(f"nothing was read within {SOURCE_TIMEOUT:g} s") from error

    async def _refresh(self) -> None:
        """Ask the token's source again when the token is old; keep the old one when that fails (it may still be valid)."""
        async with self._refreshing:
            if self._clock() - self._refreshed < CREDENTIALS_AGE:
                return
            try:
                self._authorization = await self._in_time(self.config.authorization)
            except ConfigError as error:
                logger.warning("keeping the former credentials: %s", error)
            self._refreshed = self._clock()


def _read(config: ConnectionConfig) -> tuple[ConnectionConfig, ssl.SSLContext | None, str | None]:
    return config, config.ssl_context(), config.authorization()


def _seen(task: asyncio.Task[Any]) -> None:
    """Take the error of a reading that nobody waits for any more, which asyncio would complain about."""
    if not task.cancelled():
        task.exception()
