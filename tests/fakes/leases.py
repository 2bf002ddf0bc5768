# ruff: noqa: ARG002, ASYNC110 - the arguments are those of the real client; polling is simplest here
"""An API server for Leases only, in memory, with the faults that matter for leader election: hanging, refusing, and lost answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from signer.kube.errors import Unreachable, api_error
from signer.kube.objects import ObjectRequests, Response
from signer.kube.paging import Query
from signer.kube.room import Room

Json = dict[str, Any]


class LeaseServer:
    """What all clients share. `history` has every stored state with its time."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.version = 0
        self.history: list[tuple[float, str, Json | None]] = []
        self.watchers: list[asyncio.Queue[bytes]] = []

    def spec(self, name: str) -> Json:
        return dict(self.objects[name]["spec"])

    def store(self, name: str, obj: Json | None, kind: str) -> Json | None:
        self.version += 1
        shown = obj if obj is not None else self.objects.pop(name)
        shown = {**shown, "metadata": {**shown["metadata"], "resourceVersion": str(self.version)}}
        if obj is not None:
            self.objects[name] = shown
        self.history.append((asyncio.get_running_loop().time(), name, shown if obj is not None else None))
        for watcher in self.watchers:
            watcher.put_nowait(json.dumps({"type": kind, "object": shown}).encode() + b"\n")
        return shown

    def handle(self, method: str, name: str, body: Json) -> Json:
        found = self.objects.get(name)
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.objects:
                raise api_error(409, "AlreadyExists")
            body["metadata"]["uid"] = f"uid-{self.version}"
            return self.store(name, body, "ADDED") or {}
        if method == "GET" and not name:
            return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.objects.values())}
        if found is None:
            raise api_error(404, "NotFound")
        if method == "PUT":
            if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                raise api_error(409, "Conflict")
            return self.store(name, body, "MODIFIED") or {}
        if method == "DELETE":
            for field, value in (body.get("preconditions") or {}).items():
                if found["metadata"][field] != value:
                    raise api_error(409, "Conflict")
            return self.store(name, None, "DELETED") or {}
        return found


class LeaseClient(ObjectRequests):
    """One replica's client. `fault` is "" or "hang", "unreachable", "refuse", "lost" (stored, but the answer never comes), "read only"."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.room = Room()
        self.fault = ""
        self.latency = 0.01

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        largest: int = 0,
    ) -> Response:
        await asyncio.sleep(self.latency)
        name = path.partition("/leases")[2].lstrip("/")
        if self.fault == "hang":
            await asyncio.sleep(10**6)
        if self.fault == "unreachable":
            raise Unreachable("no route")
        if self.fault == "refuse":
            raise api_error(503, "ServiceUnavailable")
        if self.fault == "read only" and method != "GET":
            raise api_error(403, "Forbidden")
        answer = self.server.handle(method, name, json.loads(body) if body else {})
        if self.fault == "lost":
            await asyncio.sleep(10**6)
        return Response(200, {}, json.dumps(answer).encode())

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query | None = None, accept: str = "", inactivity: float = 90.0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.server.watchers.append(queue)
        try:
            yield self._chunks(queue)
        finally:
            self.server.watchers.remove(queue)

    async def _chunks(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        while True:
            chunk = await queue.get()
            while (
                self.fault and self.fault != "read only"
            ):  # a watch that brings nothing while the server cannot be reached
                await asyncio.sleep(0.1)
            yield chunk
