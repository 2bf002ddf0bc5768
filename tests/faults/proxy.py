"""A reverse proxy before the API server that does what it is told: the one scripted part of the fault tests.

It ends TLS with a certificate of the cluster's own authority and passes everything on, credentials included. A rule
may answer a request itself, drop it, pass it on and lose the answer, or do something first. Watches can be cut.

Concurrency: a loop of its own in a thread; rules are called there. The other methods may be called from any thread.
"""

import asyncio
import dataclasses
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.kubeconfig import Access
from tests.localmesh.processes import free_port

T = TypeVar("T")
_PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
_PASSED_BACK = ("Content-Type", "Retry-After")


@dataclasses.dataclass(frozen=True)
class Answer:
    """The proxy answers by itself."""

    status: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""


def failure(code: int, reason: str) -> bytes:
    """The body of an API server's refusal."""
    return json.dumps({"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason}).encode()


@dataclasses.dataclass(frozen=True)
class Drop:
    """The connection breaks: before the request was passed on, or after it was done."""

    done: bool = False


@dataclasses.dataclass(frozen=True)
class First:
    """Something happens before the request is passed on."""

    act: Callable[[], object]


Action = Answer | Drop | First | None
Rule = Callable[[str, str], Action]


def pass_on(_method: str, _path: str) -> Action:
    """The rule that changes nothing."""
    return None


class Proxy:
    """A context manager. `rule(method, path with query)` says what happens to each request."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.rule: Rule = pass_on
        self.seen: list[tuple[str, str]] = []
        self._cluster = cluster
        self._port = free_port()
        self._watches: set[asyncio.Transport] = set()
        self._loop: Any = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._runner: web.AppRunner | None = None
        self._upstream: aiohttp.ClientSession | None = None

    def kubeconfig(self, original: Path) -> Path:
        """A copy of a kubeconfig that leads here."""
        access = kubeconfig.read(original)
        through = Access(f"https://127.0.0.1:{self._port}", access.ca, access.token, access.client)
        return kubeconfig.write(original.with_name(f"proxy-{self._port}.kubeconfig"), through)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def watches(self) -> int:
        """How many watches are open now."""
        return len(self._watches)

    def cut_watches(self) -> int:
        """Break every open watch; how many there were."""
        return self._run(self._cut())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _cut(self) -> int:
        cut = list(self._watches)
        for transport in cut:
            transport.abort()
        return len(cut)

    async def _start(self) -> None:
        api = self._cluster.api
        pair = api.authority.server("127.0.0.1")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair.key + pair.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        trusting = ssl.create_default_context(cadata=api.authority.certificate.decode())
        self._upstream = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusting, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context).start()

    async def _stop(self) -> None:
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()  # first of all: clients that were cut off dial again at once
            await self._cut()
            await self._runner.cleanup()
        if self._upstream is not None:
            await self._upstream.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A connection that is in its TLS handshake, or waits for the other side's farewell, is known to the loop alone.
        for transport in list(self._loop._transports.values()):
            transport.abort()
        await asyncio.sleep(0)  # aborting takes a turn of the loop
        assert all(transport.get_extra_info("socket").fileno() == -1 for transport in self._loop._transports.values())

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.path_qs))
        action = self.rule(request.method, request.path_qs)
        if isinstance(action, Answer):
            return web.Response(status=action.status, headers=action.headers, body=action.body)
        if isinstance(action, Drop) and not action.done:
            return self._break(request)
        if isinstance(action, First):
            await asyncio.to_thread(action.act)
        try:
            return await self._pass_on(request, body, lose=isinstance(action, Drop))
        except (aiohttp.ClientError, ConnectionError):
            return self._break(request)

    async def _pass_on(self, request: web.Request, body: bytes, *, lose: bool) -> web.StreamResponse:
        assert self._upstream is not None
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        url = URL(self._cluster.api.url + request.raw_path, encoded=True)
        async with self._upstream.request(request.method, url, headers=headers, data=body or None) as answer:
            back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            if "watch=" not in request.query_string:
                content = await answer.read()
                if lose:
                    return self._break(request)
                return web.Response(status=answer.status, headers=back, body=content)
            response = web.StreamResponse(status=answer.status, headers=back)
            await response.prepare(request)
            transport = request.transport
            assert isinstance(transport, asyncio.Transport)
            self._watches.add(transport)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            finally:
                self._watches.discard(transport)
            return response

    @staticmethod
    def _break(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
