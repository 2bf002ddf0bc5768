"""Reads once more, live, what a refusal would rest on: a ProxyConfig and a Pod are often applied together.

A watch may be a moment behind; a list and a get are not. Calls that come together share one read: one that has begun
already may have been too early for a call, so the call gets the next one. Used on the loop only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from signer.api.configmap import CONFIG_MAPS, ConfigMap
from signer.kube.client import ApiClient
from signer.kube.encoding.depth import TOO_DEEP, deeper
from signer.kube.errors import NotFound, Unreachable

_config_map = msgspec.json.Decoder(ConfigMap).decode


class Shared:
    """One read at a time for each key; everyone who asks meanwhile waits for one more that begins after it."""

    def __init__(self, read: Callable[[str], Awaitable[None]]) -> None:
        self._read = read
        self._running: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, key: str) -> None:
        """Read the key anew. Raises what the read raises."""
        running = self._running.get(key)
        if running is None:
            task = self._begin(key)
        elif (following := self._next.get(key)) is not None:
            task = following
        else:
            task = self._next[key] = asyncio.create_task(self._after(key, running))
            task.add_done_callback(_seen)
        # A caller that gives up must not take the read from the others.
        await asyncio.shield(task)

    def _begin(self, key: str) -> asyncio.Task[None]:
        task = self._running[key] = asyncio.create_task(self._run(key))
        task.add_done_callback(_seen)
        return task

    async def _run(self, key: str) -> None:
        try:
            await self._read(key)
        finally:
            del self._running[key]

    async def _after(self, key: str, running: asyncio.Task[None]) -> None:
        await asyncio.wait([running])
        del self._next[key]
        # Somebody may have come between the end of that read and now, and begun the next one.
        await (self._running.get(key) or self._begin(key))


def _seen(task: asyncio.Task[None]) -> None:
    """Take the error of a read that nobody waits for any more: it is not worth a word of the loop's."""
    if not task.cancelled():
        task.exception()


async def read_config_map(client: ApiClient, namespace: str, name: str) -> Mapping[str, str] | None:
    """Read a ConfigMap's entries, None when there is none. Raises ApiError, Unreachable."""
    try:
        answer = await client.request("GET", CONFIG_MAPS.path(namespace, name))
    except NotFound:
        return None
    if deeper(answer.body):
        raise Unreachable(f"ConfigMap {namespace}/{name} cannot be read: {TOO_DEEP}")
    try:
        return _config_map(answer.body).data
    except msgspec.DecodeError as error:
        raise Unreachable(f"ConfigMap {namespace}/{name} cannot be read: {error}") from error
