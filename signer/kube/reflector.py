"""A local copy of one resource, kept by list and watch, and the changes to it as they come.

Concurrency: one task runs `run`; store and handlers live on its loop, handlers are plain functions that must not block. Three
nested loops with one worry each, in the manner of kopf's watching.py: `run` never ends and backs off; `_list_and_watch` lists,
then resumes broken watches from the last resourceVersion until the server says 410; `_one_connection` is one watch request.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import random as _random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from signer.kube import backoff
from signer.kube.client import ApiClient, SilentConnection
from signer.kube.encoding.codec import Codec, Key, Problem, WatchEvent, named
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import ApiError, Forbidden, Gone, NotFound, Unreachable, shape
from signer.kube.paging import COSTLY, PAGE, pages
from signer.kube.reach import loudness
from signer.kube.resource import Resource
from signer.kube.room import SPARE, USUAL, Room

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds; jittered, doubling. The cap keeps a CRD that appears late from being noticed late.
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
# Rights change rarely, and there may be a watch that is refused for each tenant's namespace.
FORBIDDEN_DELAY = 30.0
# The API server sends a bookmark about once a minute, so this much silence means that nobody is there.
INACTIVITY = 90.0
# A watch that lived this long was a good one: it may be followed by another at once.
GOOD_CONNECTION = 2.0
# So many watches in a row that gave nothing but trouble: the resourceVersion itself may be the trouble (etcd restored).
RESUMES_BEFORE_RELIST = 3
# Where something was withheld, a namespace whose objects became smaller is listed anew, at most this often (seconds).
RELIST = 60.0
# Let others run after so many objects (a few milliseconds).
YIELD_EVERY = 50


class Change(NamedTuple, Generic[T]):
    """What happened to one object; "synced" (key ("", "")) tells that a full list has been taken in."""

    kind: Literal["added", "modified", "deleted", "synced"]
    key: Key
    old: T | None
    new: T | None


class Reflector(Generic[T]):
    """Keeps `store` equal to what the API server has.

    Args:
        client: an open client.
        resource: what to watch.
        codec: how to read it; what it decodes to None is treated as absent.
        namespace: None means all.
        label_selector: as in the API.
        field_selector: as in the API.
        page_size: objects in one page of a list, at most.
        room: how much is kept of one namespace, by all that share it; the client's unless given. Of what is more the codec keeps
            the name and the reason.
        rank: which objects are kept first, and which are left out first (signer/kube/room.py).
        on_restart: called with why a watch ended ("eof", "silent", "unreachable", "expired", "error"): for metrics.
        inactivity: seconds of silence after which a watch counts as dead.
        forbidden_delay: seconds between two tries at most where we have no right.
        clock: monotonic seconds.
        sleep: waits so many seconds; for tests.
        random: values in [0, 1); for tests.

    Attributes:
        store: the objects by (namespace, name). For reading only.
        synced: set when the first full list has been taken in; never cleared.
        last_contact: when the server last sent anything, by `clock`; -inf before the first time.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        codec: Codec[T],
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE,
        room: Room | None = None,
        rank: Callable[[T], int] = lambda _: USUAL,
        on_restart: Callable[[str], None] = lambda _reason: None,
        inactivity: float = INACTIVITY,
        forbidden_delay: float = FORBIDDEN_DELAY,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.resource = resource
        self.store: dict[Key, T] = {}
        self.synced = asyncio.Event()
        self.last_contact = float("-inf")
        self._client = client
        self._codec = codec
        self._path = resource.path(namespace)
        self._where = f"{resource}" + (f" in {namespace}" if namespace else "")
        self._query: dict[str, str | int | bool] = {}
        if label_selector:
            self._query["labelSelector"] = label_selector
        if field_selector:
            self._query["fieldSelector"] = field_selector
        self._page_size = page_size
        self._part = (room or client.room).part(self._lose)
        self._rank = rank
        self._crowded: set[str] = set()
        self._listed = float("-inf")
        self._on_restart = on_restart
        self._inactivity = inactivity
        self._forbidden_delay = forbidden_delay
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._handlers: list[Callable[[Change[T]], None]] = []
        self._resource_version = ""
        self._opened: float | None = None
        self._failures = 0
        self._trouble = self._shape = ""
        self._level = logging.INFO
        self._unreadable: dict[Key | None, str] = {}
        self._handled = 0

    @property
    def trouble(self) -> str:
        """What keeps this reflector from watching just now, for people; "" when nothing does."""
        return self._trouble

    def subscribe(self, handler: Callable[[Change[T]], None]) -> None:
        """Call `handler` for each change, on the loop. What it raises is logged and goes no further.

        Who comes late is told first, as added, what is there already: several may share one reflector, in any order.
        """
        for key, new in self.store.items():
            self._call(handler, Change("added", key, None, new))
        if self.synced.is_set():
            self._call(handler, Change("synced", ("", ""), None, None))
        self._handlers.append(handler)

    async def run(self) -> None:
        """Keep the store; never returns, ends by cancellation."""
        try:
            while True:
                await self._again()
        finally:
            self._part.leave()

    async def _again(self) -> None:
        try:
            await self._list_and_watch()
        except (ApiError, Unreachable, CodecError) as error:
            await self._after_trouble(error)
        except _Relist:
            return
        else:
            self._on_restart("expired")
            logger.info("%s: the server's history no longer reaches back to where we are; listing again", self._where)
            await self._pause()

    async def _list_and_watch(self) -> None:
        """List, then watch and watch again. Returns on 410; raises when nothing but a new list may help, or _Relist."""
        await self._list()
        barren = 0
        while True:
            self._opened = None
            error: Exception | None = None
            try:
                await self._one_connection()
            except Gone:
                return
            except NotFound:
                # The whole resource went away (its CRD was deleted), and its history with it.
                raise
            except (ApiError, Unreachable, CodecError) as caught:
                error = caught
            self._on_restart(_restart_reason(error))
            if self._opened is not None and self._clock() - self._opened >= GOOD_CONNECTION:
                self._failures = barren = 0
                if error is None or isinstance(error, SilentConnection):
                    continue
            if error is None:
                await self._pause()
            elif _history_may_be_wrong(error) and (barren := barren + 1) >= RESUMES_BEFORE_RELIST:
                raise error
            else:
                await self._after_trouble(error)

    async def _list(self) -> None:
        """Take in a full list, page by page, as changes; then tell that we are in sync."""
        seen: set[Key] = set()
        resource_version = ""
        async for page, _ in pages(self._client, self._path, self._codec, query=self._query, most=self._page_size):
            self.last_contact = self._clock()
            resource_version = page.resource_version
            for obj, size, problem in page.listed:
                if problem is not None:
                    self._report(problem)
                elif obj is not None and self._has_name(key := self._codec.key(obj)):
                    seen.add(key)
                    self._admit(key, obj, size)
                await self._breathe()
        for key in [key for key in (*self.store, *self._part.known()) if key not in seen]:
            self._remove(key)
            await self._breathe()
        self._resource_version = resource_version
        self._listed = self._clock()
        self._works()
        self.synced.set()
        self._tell(Change("synced", ("", ""), None, None))

    async def _one_connection(self) -> None:
        """Follow one watch until the server ends it; raises what went wrong, Gone when our resourceVersion is too old."""
        query: dict[str, str | int | bool] = {
            **self._query,
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": self._resource_version,
            # Spread, so that replicas and resources do not come back all at once.
            "timeoutSeconds": 240 + int(self._random() * 60),
        }
        framer = self._codec.framer()
        async with self._client.stream(
            self._path, query=query, accept=self._codec.watch_accept, inactivity=self._inactivity
        ) as chunks:
            self._opened = self.last_contact = self._clock()
            # A watch that nothing happens on is silent for a minute, and works all the same.
            lasts = asyncio.get_running_loop().call_later(GOOD_CONNECTION, self._works)
            try:
                async for chunk in chunks:
                    self.last_contact = self._clock()
                    for frame in framer.feed(chunk):
                        began = time.perf_counter()
                        self._take(self._codec.decode_event(frame))
                        if (took := time.perf_counter() - began) > COSTLY:
                            await asyncio.sleep(took)
                        await self._breathe()
                    if self._part.regained and self._clock() - self._listed >= RELIST:
                        self._part.regained.clear()
                        raise _Relist
            finally:
                lasts.cancel()

    def _take(self, event: WatchEvent[T]) -> None:
        if event.status is not None:
            raise event.status
        self._works()
        if event.resource_version:
            self._resource_version = event.resource_version
        if event.type == "BOOKMARK":
            return
        if event.problem:
            self._report(Problem(event.key, event.problem))
        if event.key is None or not self._has_name(event.key):
            return
        if event.object is None or event.type == "DELETED":
            self._remove(event.key)
        else:
            self._admit(event.key, event.object, event.size)

    def _admit(self, key: Key, new: T, size: int) -> None:
        """Keep an object, or what the codec makes of one for which its namespace has no room."""
        meta: Any = getattr(new, "metadata", None)
        created = getattr(meta, "creation_timestamp", None) or ""
        why = self._part.take(key, size, created, self._rank(new))
        if why:
            self._withhold(key, new, why)
        else:
            self._put(key, new)

    def _lose(self, key: Key, why: str) -> None:
        """Keep less of an object that was kept."""
        if (old := self.store.get(key)) is not None:
            self._withhold(key, old, why)

    def _withhold(self, key: Key, new: T, why: str) -> None:
        if self._rank(new) == SPARE:
            self._drop(key)
            return
        if key[0] not in self._crowded:
            self._crowded.add(key[0])
            logger.warning("%s %s is not kept, and more may follow: %s", self._where, named(key), why)
        if (kept := self._codec.withhold(new, why)) is not None:
            self._put(key, kept)
        else:
            self._drop(key)

    def _put(self, key: Key, new: T) -> None:
        self._unreadable.pop(key, None)
        old = self.store.get(key)
        if old is None:
            self.store[key] = new
            self._tell(Change("added", key, None, new))
        elif old != new:
            self.store[key] = new
            self._tell(Change("modified", key, old, new))

    def _remove(self, key: Key) -> None:
        self._part.give_back(key)
        self._drop(key)

    def _drop(self, key: Key) -> None:
        old = self.store.pop(key, None)
        if old is not None:
            self._tell(Change("deleted", key, old, None))

    def _tell(self, change: Change[T]) -> None:
        for handler in self._handlers:
            self._call(handler, change)

    def _call(self, handler: Callable[[Change[T]], None], change: Change[T]) -> None:
        try:
            handler(change)
        except Exception:  # a handler's fault must not stop the watch
            logger.exception("%s %s: a handler failed on %s", self._where, named(change.key), change.kind)

    def _report(self, problem: Problem) -> None:
        """Say once that an object cannot be read, and again only when the reason changes."""
        if self._unreadable.get(problem.key) == problem.message:
            return
        if len(self._unreadable) >= 1000:  # somebody makes them by the thousand; do not keep them all
            self._unreadable.clear()
        self._unreadable[problem.key] = problem.message
        logger.warning("%s %s cannot be read: %s", self._where, named(problem.key), problem.message)

    def _has_name(self, key: Key) -> bool:
        if not key[1]:
            self._report(Problem(None, "metadata.name is missing"))
        return bool(key[1])

    async def _breathe(self) -> None:
        self._handled += 1
        if self._handled % YIELD_EVERY == 0:
            await asyncio.sleep(0)

    def _works(self) -> None:
        """The server gives sense again. The pauses stay long until a connection lasts, else a flapping one would be a storm."""
        if self._trouble:
            logger.log(self._level, "%s: works again", self._where)
            self._trouble = ""

    async def _after_trouble(self, error: Exception) -> None:
        """Log a trouble once, however often it comes back, and wait longer each time."""
        trouble = shape(f"{type(error).__name__} {error}")
        if trouble != self._shape or not self._trouble:
            self._shape, self._trouble = trouble, f"{type(error).__name__} {error}"
            self._level = min(loudness(error), logging.INFO)
            logger.log(loudness(error), "cannot watch %s, retrying: %s%s", self._where, error, _remedy(error))
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        await self._pause(retry_after, cap=self._forbidden_delay if isinstance(error, Forbidden) else LONGEST_DELAY)

    async def _pause(self, retry_after: float | None = None, *, cap: float = LONGEST_DELAY) -> None:
        self._failures += 1
        wait = backoff.delay(self._failures, first=FIRST_DELAY, cap=cap, retry_after=retry_after, random=self._random)
        await self._sleep(wait)


class _Relist(Exception):
    """What was withheld may have room now."""


def _remedy(error: Exception) -> str:
    """Say what an operator has to do about it."""
    if isinstance(error, Forbidden):
        where = (
            "the namespace does not exist (is the option right that names it?), or "
            if "in the namespace" in str(error)
            else ""
        )
        return f"; {where}a role is missing: apply the roles again (mesh-signer doctor says which)"
    if isinstance(error, NotFound):
        return "; the API server does not know it: apply the CRDs (mesh-signer doctor says which)"
    return ""


def _restart_reason(error: Exception | None) -> str:
    """Name the reason in a word, for a metric; None is the end of the stream."""
    if error is None:
        return "eof"
    if isinstance(error, SilentConnection):
        return "silent"
    return "unreachable" if isinstance(error, Unreachable) else "error"


def _history_may_be_wrong(error: Exception) -> bool:
    """Tell whether our resourceVersion itself may be what the server chokes on, as after etcd was restored from a backup.

    Not so for refusals that a list would meet just as well, and a list costs an overloaded server much more.
    """
    return isinstance(error, CodecError) or (isinstance(error, ApiError) and error.status not in {401, 403, 429, 503})
