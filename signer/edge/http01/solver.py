"""The shared solver: answers challenges over HTTP in every replica, led or not, as gateways send them here (modes D and E).

Anyone in the cluster may ask, so all is bounded: connections, the size of a head, the time for one request; there is one
request on a connection. aiohttp, which serves our metrics, bounds neither the number of connections nor how long one may
take to ask. Used on the loop; `run` is one task. It knows the Challenges by a watch of its own, which keeps only those
that are presented.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Self

from signer.api.challenge import CHALLENGES, Challenge
from signer.edge.http01.solver_answers import Answers, answer_head, answers_of, presented
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change
from signer.kube.served import Served, locate

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_HEAD = 8192
"""Bytes of a request line and its fields; a gateway adds some of its own."""
SECONDS = 10.0
"""For one request and its answer."""


class SolverServer:
    """Serves on `bind` ("ADDRESS:PORT") until the block ends; `port` is the real one. `answers` gives those of now."""

    def __init__(self, bind: str, answers: Callable[[], Answers]) -> None:
        self._host, _, port = bind.rpartition(":")
        self._host = self._host.strip("[]") or "0.0.0.0"  # noqa: S104 - `:8089` means all addresses, as everywhere
        self.port = int(port)
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=MAX_HEAD)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer_head(self._answers(), head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)


class SharedSolver:
    """Listens while its block lasts (OSError when the address cannot be had); answers what `run` watches."""

    def __init__(
        self, client: ApiClient, bind: str, *, on_restart: Callable[[str], None] = lambda _resource: None
    ) -> None:
        self._answers: Answers = {}
        self._server = SolverServer(bind, lambda: self._answers)
        self._watch: Served[Challenge] = Served(
            "Challenges",
            client,
            locate(CHALLENGES),
            JsonCodec(Challenge, keep=lambda one: one if presented(one) else None),
            self._changed,
            on_absent=self._forget,
            on_restart=on_restart,
        )

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        log.info("challenges are answered on port %d", self._server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    async def run(self) -> None:
        """Watch Challenges until cancelled."""
        await self._watch.run()

    def _changed(self, _change: Change[Challenge]) -> None:
        # As many are presented at once as challenges/schedule.py lets (MAX_CONCURRENT): reading them all anew is nothing.
        self._answers = answers_of(self._watch.store.values())

    def _forget(self) -> None:
        self._answers = {}
