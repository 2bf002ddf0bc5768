"""A TCP hop between a client and a real server that can break as networks do: cut, refuse, or swallow everything."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self


class Forwarder:
    """Listens on `port`; forwards to a port on loopback. `frozen` swallows silently, as a half-open connection does."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.frozen = False
        self.refusing = False
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        await asyncio.sleep(0)  # aborting takes a turn of the loop

    def cut(self) -> None:
        """Break all connections now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self.accepted += 1
        serving = asyncio.current_task()
        assert serving is not None
        self._keep(serving)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._keep(asyncio.create_task(self._pump(source, sink)))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        dead = False
        with contextlib.suppress(OSError):
            while chunk := await source.read(65536):
                # What was swallowed once is lost, so the connection stays useless for good.
                dead = dead or self.frozen
                if not dead:
                    sink.write(chunk)
                    await sink.drain()
        if not dead:
            sink.transport.abort()
