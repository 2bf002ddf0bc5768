"""The credentials in use: read when the client opens, refreshed by age, read anew after a 401.

What the API server has refused is not shown to it again and again: while reading anew brings the same, one request after a growing
pause finds out whether it is taken now, and the others are not sent.

Concurrency: one event loop; the sources block, so they run in threads, one at a time, while requests wait for them.
A source that hangs (an exec plugin, a file on a dead mount) is waited for up to SOURCE_TIMEOUT. Its thread cannot be
ended, so no source is asked again before it has: threads that hang would fill the pool.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from signer.kube.access.config import ConfigError, ConnectionConfig
from signer.kube.errors import NotSent

logger = logging.getLogger(__name__)
T = TypeVar("T")

# How long a token is used before its source is asked again (client-go reads token files once a minute too).
CREDENTIALS_AGE = 60.0
# How long requests wait for a source, once something was read from it.
SOURCE_TIMEOUT = 10.0
# Seconds between two requests with credentials that were refused: the first pause, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0


class Credentials:
    """What identifies us to one API server, and the server to us.

    Attributes:
        config: where the credentials come from; replaced by a reload.
        tls: how to speak TLS with it; None for plain http.
        trouble: "" unless the API server refuses them.
    """

    def __init__(self, config: ConnectionConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.tls: ssl.SSLContext | None = None
        self._clock = clock
        self.trouble = ""
        self._authorization: str | None = None
        self._files = ""
        self._pause = 0.0
        self._next = float("-inf")
        self._probing = False
        self._refreshed = float("-inf")
        self._generation = 0
        self._refreshing = asyncio.Lock()
        self._reading: asyncio.Task[Any] | None = None
        self._hangs = False

    async def load(self) -> None:
        """Read everything for the first time, without a time limit: a person may have to log in. Raises ConfigError."""
        self._use(await asyncio.to_thread(_read, self.config))

    async def authorize(self, headers: dict[str, str]) -> int:
        """Add the Authorization header, if there is one; gives the generation, which `reload` asks for. Raises NotSent."""
        if self._pause:
            now = self._clock()
            if now < self._next:
                raise NotSent(401, "Unauthorized", self.trouble)
            self._next, self._probing = now + self._pause, True  # this one finds out; the others wait for what it hears
        if self._clock() - self._refreshed >= CREDENTIALS_AGE:
            await self._refresh()
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        return self._generation

    def answered(self, status: int) -> None:
        """Note the HTTP code of an answer: any but 401 says that the API server takes them."""
        if self._pause and status != 401:
            self._pause, self.trouble = 0.0, ""
            logger.info("the API server takes our credentials again")

    async def reload(self, generation: int) -> bool:
        """Read everything again after a 401, once for all the requests that met it.

        Returns:
            Whether sending the request again makes sense: False when there is nothing to read, that failed, or it is the same.
        """
        async with self._refreshing:
            if generation != self._generation:
                return True
            if self._pause and not self._probing:
                return False  # it was under way when another found out
            source = self.config.reload
            if source is None:
                self._refused("and there is nothing to read them from again")
                return False
            try:
                found = await self._in_time(lambda: _read(source()))
            except ConfigError as error:
                self._refused(f"and cannot be read again: {error}")
                return False
            if self._same(found):
                self._refreshed = self._clock()
                self._refused("and reading them again brought the same")
                return False
            self._use(found)
            return True

    def _refused(self, why: str) -> None:
        if not self._pause:
            logger.error("the API server refuses our credentials (401), %s", why)
        self.trouble = f"the API server refuses our credentials (401), {why}"
        self._probing = False
        self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        self._next = self._clock() + self._pause

    def _same(self, found: "_Read") -> bool:
        return (found.config, found.files, found.authorization) == (self.config, self._files, self._authorization)

    def _use(self, found: "_Read") -> None:
        self.config = found.config
        self.tls = found.tls
        self._files = found.files
        self._authorization = found.authorization
        self._refreshed = self._clock()
        self._next = float("-inf")
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


@dataclass(frozen=True, slots=True)
class _Read:
    """What a source gave, with a digest of the files that it names."""

    config: ConnectionConfig
    tls: ssl.SSLContext | None
    files: str
    authorization: str | None = field(repr=False)


def _read(config: ConnectionConfig) -> _Read:
    return _Read(config, config.ssl_context(), config.files(), config.authorization())


def _seen(task: asyncio.Task[Any]) -> None:
    """Take the error of a reading that nobody waits for any more, which asyncio would complain about."""
    if not task.cancelled():
        task.exception()
