"""A scripted API server: answers lists, watches and other requests with what a test says next, over real HTTP."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from signer.kube.access.config import ConnectionConfig


@dataclass(frozen=True)
class Seen:
    """A request as it came; `at` is the loop's time."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0


class Cut:
    """A step of a watch: the connection breaks in the middle."""


class Hang:
    """A step of a watch: silence until the client goes."""


@dataclass(frozen=True)
class Watch:
    """Steps: bytes to send, seconds to wait, Cut or Hang. After the last step the answer ends properly."""

    steps: tuple[bytes | float | type[Cut] | type[Hang], ...] = ()


def page(*items: dict[str, Any], rv: str = "10", token: str = "", **reply: Any) -> Reply:
    """Build a page of a list."""
    body = {"kind": "List", "metadata": {"resourceVersion": rv, "continue": token}, "items": items}
    return Reply(body=json.dumps(body).encode(), **reply)


def status(code: int, reason: str = "", message: str = "no", *, headers: dict[str, str] | None = None) -> Reply:
    """Build a refusal with a metav1.Status."""
    return Reply(code, json.dumps(status_object(code, reason, message)).encode(), headers or {})


def status_object(code: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def event(kind: str, obj: dict[str, Any]) -> bytes:
    """Build one line of a JSON watch."""
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(rv: str) -> bytes:
    return event("BOOKMARK", {"kind": "Thing", "metadata": {"resourceVersion": rv}})


def thing(name: str, rv: str = "1", value: Any = "", namespace: str = "ns") -> dict[str, Any]:
    """Build an object of the kind that the reflector tests watch."""
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": rv}, "value": value}


class FakeApiServer:
    """Answers in the order of `lists`, `watches` and `others`; a watch beyond the script hangs, anything else is a 500.

    The last entry of `lists` is kept and given again when `repeat_list` is set.
    """

    def __init__(
        self,
        *,
        lists: list[Reply] | None = None,
        watches: list[Watch | Reply] | None = None,
        others: list[Reply] | None = None,
        repeat_list: bool = False,
    ) -> None:
        self.lists = deque(lists or [])
        self.watches = deque(watches or [])
        self.others = deque(others or [])
        self.repeat_list = repeat_list
        self.seen: list[Seen] = []
        self.unexpected: list[Seen] = []
        self.open_watches = 0
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    @property
    def config(self) -> ConnectionConfig:
        return ConnectionConfig(host=f"http://127.0.0.1:{self.port}")

    def listed(self) -> list[Seen]:
        return [r for r in self.seen if r.method == "GET" and "watch" not in r.query]

    def watched(self) -> list[Seen]:
        return [r for r in self.seen if r.query.get("watch") == "true"]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            request.headers,
            await request.read(),
            asyncio.get_running_loop().time(),
        )
        self.seen.append(seen)
        answer: Reply | Watch
        if request.query.get("watch") == "true":
            answer = self.watches.popleft() if self.watches else Watch((Hang,))
        else:
            script = self.others or self.lists
            if not script:
                self.unexpected.append(seen)
                answer = status(500, "InternalError", "not in the script")
            elif script is self.lists and self.repeat_list and len(script) == 1:
                answer = script[0]
            else:
                answer = script.popleft()
        if isinstance(answer, Watch):
            return await self._stream(request, answer)
        await asyncio.sleep(answer.wait)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _stream(self, request: web.Request, watch: Watch) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.open_watches += 1
        try:
            for step in watch.steps:
                if isinstance(step, bytes):
                    await response.write(step)
                elif step is Hang:
                    await self._closing.wait()
                elif step is Cut:
                    if request.transport is not None:
                        request.transport.abort()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
        finally:
            self.open_watches -= 1
        return response
