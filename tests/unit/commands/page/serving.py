"""The page on a real port, on a loop in a thread, with whatever a test has it show."""

import asyncio
import http.client
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from signer.commands.page.board import Board
from signer.commands.page.seen import Seen
from signer.commands.page.site import Site
from signer.commands.page.view import encoded, view
from signer.observe.listener import Listener

TOKEN = "a-token-that-nobody-guesses"


@dataclass
class Answer:
    """A status, the fields by their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Served:
    """Serves while its block lasts, or until `stop`."""

    def __init__(self) -> None:
        self.board = Board()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    @property
    def url(self) -> str:
        """Where it is, with the token."""
        return f"http://127.0.0.1:{self.port}/#token={TOKEN}"

    def show(self, seen: Seen) -> None:
        """Show what a look gave, as if it had been made now."""
        found = encoded(view(seen))
        self._loop.call_soon_threadsafe(self.board._show, found, seen.facts.now)

    def miss(self, why: str) -> None:
        """Say that the cluster cannot be read."""
        self._loop.call_soon_threadsafe(self.board._miss, why)

    def ask(self, path: str = "/state", headers: dict[str, str] | None = None, *, method: str = "GET") -> Answer:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    async def _serve(self) -> None:
        async with Listener("127.0.0.1:0", Site(TOKEN, self.board).answer) as listener:
            self.port = listener.port
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self) -> None:
        """End it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)
            self._loop.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
