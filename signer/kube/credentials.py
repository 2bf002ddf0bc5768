"""The credentials in use: read when the client opens, refreshed by age, read anew after a 401.

Concurrency: one event loop; the sources block, so they run in threads, one at a time, while requests wait for them.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable

from signer.kube.config import ConfigError, ConnectionConfig

logger = logging.getLogger(__name__)

# How long a token is used before its source is asked again (client-go reads token files once a minute too).
CREDENTIALS_AGE = 60.0


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

    async def load(self) -> None:
        """Read everything for the first time; raises ConfigError."""
        await self._use(self.config)

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
            if self.config.reload is None:
                return False
            try:
                await self._use(await asyncio.to_thread(self.config.reload))
            except ConfigError as error:
                logger.warning("credentials cannot be reloaded: %s", error)
                return False
            return True

    async def _use(self, config: ConnectionConfig) -> None:
        tls, authorization = await asyncio.gather(
            asyncio.to_thread(config.ssl_context), asyncio.to_thread(config.authorization)
        )
        self.config = config
        self.tls = True if tls is None else tls
        self._authorization = authorization
        self._refreshed = self._clock()
        self._generation += 1

    async def _refresh(self) -> None:
        """Ask the token's source again when the token is old; keep the old one when that fails (it may still be valid)."""
        async with self._refreshing:
            if self._clock() - self._refreshed < CREDENTIALS_AGE:
                return
            try:
                self._authorization = await asyncio.to_thread(self.config.authorization)
            except ConfigError as error:
                logger.warning("keeping the former credentials: %s", error)
            self._refreshed = self._clock()
