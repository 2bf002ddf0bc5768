"""A reflector at work on a scripted server, and the changes that it told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from signer.kube.client import ApiClient
from signer.kube.encoding.codec import Codec, JsonCodec
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from tests.fakes.apiserver import FakeApiServer

THINGS = Resource("example.dev", "v1", "things", "Thing", namespaced=True)


class Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    resource_version: str = ""


class Thing(msgspec.Struct):
    metadata: Meta
    value: str = ""


class Following:
    """What the reflector did, seen from outside."""

    def __init__(self, server: FakeApiServer, reflector: Reflector[Thing]) -> None:
        self.server = server
        self.reflector = reflector
        self.changes: list[Change[Thing]] = []
        self.restarts: list[str] = []

    def told(self) -> list[tuple[str, str]]:
        """Return (kind, name) of each change."""
        return [(change.kind, change.key[1]) for change in self.changes]

    def names(self) -> set[str]:
        return {name for _, name in self.reflector.store}

    async def until(self, ready: Callable[[], object], seconds: float = 600.0) -> None:
        """Wait in virtual time until something is so. Looked at 1200 times at most: each jump of the clock costs 2 ms."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not ready():
            assert loop.time() < end, "it did not come to pass"
            await asyncio.sleep(seconds / 1200)


@asynccontextmanager
async def following(
    server: FakeApiServer,
    *,
    codec: Codec[Any] | None = None,
    handler: Callable[[Change[Thing]], None] | None = None,
    **more: Any,
) -> AsyncIterator[Following]:
    loop = asyncio.get_running_loop()
    async with server, ApiClient(server.config, clock=loop.time) as client:
        restarts: list[str] = []
        reflector: Reflector[Thing] = Reflector(
            client,
            THINGS,
            codec or JsonCodec(Thing),
            on_restart=restarts.append,
            clock=loop.time,
            random=lambda: 0.5,
            **more,
        )
        seen = Following(server, reflector)
        seen.restarts = restarts
        if handler is not None:
            reflector.subscribe(handler)
        reflector.subscribe(seen.changes.append)
        running = asyncio.create_task(reflector.run())
        try:
            yield seen
            assert not running.done(), running
        finally:
            running.cancel()
            await asyncio.wait([running])
