"""What the page shows now, and when the cluster is read anew: every few seconds, and only while somebody looks.

Reading takes a tenth of the time at most, as `-w` of the other commands does, however large the cluster is. A cluster that
is away is told once on standard error; the page keeps what was read last, and says that it is old. On the loop of one
command: one task reads, and answers only look at what is here.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from signer.api.meta import to_rfc3339
from signer.commands.command import NotFoundOut, fault
from signer.commands.page.seen import Seen
from signer.commands.page.view import encoded, view

SECONDS, PART = 3.0, 10
"""Between two looks: so many seconds, or so many times as long as the last one took."""
LONGEST_UNSEEN = 30.0
"""Seconds without a question of the page's, after which nothing is read until there is one again."""


class Board:
    """Holds the state of the page as JSON: `away`, why the cluster cannot be read, "" if it can, and `view`, null before it was read."""

    def __init__(self) -> None:
        self.state = b""
        self.tag = ""
        """Names the state: as long as it is the same, there is nothing new."""
        self.read = ""
        """When the cluster was read last, in RFC 3339; "" for not yet."""
        self._away = ""
        self._view = b"null"
        self._asked = asyncio.Event()
        self._last_asked = 0.0
        self._publish()

    def asked(self) -> None:
        """Note that somebody looks at the page."""
        self._last_asked = asyncio.get_running_loop().time()
        self._asked.set()

    async def keep(self, look: Callable[[], Awaitable[Seen]], say: Callable[[str], None]) -> None:
        """Read the cluster by `look`, again and again, until cancelled; `say` tells a person what changes about that."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted(loop.time())
            began, before = loop.time(), self._away
            try:
                seen = await look()
                self._show(encoded(view(seen)), seen.facts.now)
            except NotFoundOut as error:
                self._miss(str(error))
            except Exception as error:  # noqa: BLE001 - what one object trips up must not end the page for good
                self._miss(fault(error))
            if bool(self._away) != bool(before):  # once, whatever else goes wrong while it is away
                say(self._away or "the cluster is read again")
            await asyncio.sleep(max(SECONDS, (loop.time() - began) * PART))

    async def _wanted(self, now: float) -> None:
        if now - self._last_asked > LONGEST_UNSEEN:
            self._asked.clear()
        await self._asked.wait()

    def _show(self, found: bytes, now: datetime) -> None:
        self._view, self._away, self.read = found, "", to_rfc3339(now)
        self._publish()

    def _miss(self, why: str) -> None:
        self._away = why
        self._publish()

    def _publish(self) -> None:
        self.state = b'{"away":%b,"view":%b}' % (msgspec.json.encode(self._away), self._view)
        self.tag = hashlib.sha256(self.state).hexdigest()[:16]
