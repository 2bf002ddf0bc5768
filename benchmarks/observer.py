"""An independent stopwatch: sees each write to a request as a change of its metadata, and knows nothing of who wrote.

The first change of a request is its approval, the second one is its answer.

A metadata-only watch, so that it costs the API server as little as a watch can. One asyncio task.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.localmesh import kubeconfig
from tests.localmesh.istiod_requests import PATH

_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Observer:
    """Notes when each request was answered."""

    def __init__(self) -> None:
        self._expected = 0
        self._approved: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._all = asyncio.Event()
        self._failure = ""

    def failed(self, why: str) -> None:
        """The watch can go on no more."""
        self._failure = why
        self._all.set()

    def expect(self, count: int) -> None:
        """From now on, wait for the answers of `count` requests."""
        self._expected, self._seen = count, {}
        self._all = asyncio.Event()

    def changed(self, uid: str) -> None:
        """One request was changed."""
        if uid not in self._approved:
            self._approved[uid] = time.perf_counter()
        elif uid not in self._seen:
            self._seen[uid] = time.perf_counter()
            if len(self._seen) >= self._expected:
                self._all.set()

    def waits(self, uids: Iterable[str]) -> list[float]:
        """Seconds from approval to answer of these requests, those that were answered since `expect`."""
        return [self._seen[uid] - self._approved[uid] for uid in uids if uid in self._seen]

    def answered(self, uids: Iterable[str]) -> list[float]:
        """When these requests were answered (perf_counter seconds), those that were so since `expect`."""
        return [self._seen[uid] for uid in uids if uid in self._seen]

    async def all_answered(self, seconds: float) -> tuple[float, float]:
        """When the first and the last one were answered (perf_counter seconds)."""
        try:
            async with asyncio.timeout(seconds):
                await self._all.wait()
        except TimeoutError:
            raise TimeoutError(
                f"{len(self._seen)} of {self._expected} requests were answered in {seconds:.0f} s"
            ) from None
        if self._failure:
            raise RuntimeError(self._failure)
        return min(self._seen.values()), max(self._seen.values())


@asynccontextmanager
async def observing(kubeconfig_path: Path) -> AsyncIterator[Observer]:
    """An observer whose watch is running."""
    access = kubeconfig.read(kubeconfig_path)
    observer = Observer()
    async with aiohttp.ClientSession(
        access.server,
        connector=aiohttp.TCPConnector(ssl=access.ssl_context()),
        headers={**access.headers(), "Accept": _ACCEPT},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        read_bufsize=1 << 20,
    ) as session:
        listed = await (await session.get(PATH, params={"limit": "1"}, headers={"Accept": "application/json"})).json()
        version = listed["metadata"]["resourceVersion"]
        watching = asyncio.get_running_loop().create_task(_watch(session, version, observer))
        try:
            yield observer
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _watch(session: aiohttp.ClientSession, version: str, observer: Observer) -> None:
    """Follow the watch; the API server ends it when a burst comes faster than we read, so go on where it ended."""
    while True:
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3000"}
        async with session.get(PATH, params=query) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    observer.failed(f"the observer's watch failed: {event['object']}")
                    return
                metadata = event["object"]["metadata"]
                version = metadata["resourceVersion"]
                if event["type"] == "MODIFIED":
                    observer.changed(metadata["uid"])
