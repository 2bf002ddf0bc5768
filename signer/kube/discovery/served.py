"""Follows a resource whose definition may appear late, vanish, or be served in another version.

A definition that is not there is an answer ("there are none"); one that we may not read, or that cannot be asked for,
is none. What a Reflector cannot do is to go on in another version: this gives each version a Reflector of its own.
Used on the loop; `run` is one task.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from signer.kube.client import ApiClient
from signer.kube.discovery.versions import preferred_version, versions_of_discovery
from signer.kube.encoding.codec import Codec
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.objects import read_answer
from signer.kube.reach import loudness
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource

log = logging.getLogger(__name__)

T = TypeVar("T")

Locate = Callable[[ApiClient], Awaitable[Resource | None]]

# How often it is asked whether a definition has come, or gone (seconds).
_POLL = 2.0
# A server that just starts may not know of a definition yet: it must be missing so often in a row.
_MISSES = 2


def locate_newest(resource: Resource) -> Locate:
    """Make what finds the version in which a resource is served, of all versions of its group."""

    async def find(client: ApiClient) -> Resource | None:
        group = await _document(client, f"/apis/{resource.group}")
        versions = group.get("versions") if group else None
        names = [one.get("version") for one in versions if isinstance(one, dict)] if isinstance(versions, list) else []
        documents = [
            document
            for name in names
            if isinstance(name, str)
            and (document := await _document(client, resource.at(name).path().rpartition("/")[0]))
        ]
        found = preferred_version(versions_of_discovery(resource, documents))
        return resource.at(found) if found else None

    return find


def locate(resource: Resource) -> Locate:
    """Make what finds out whether a resource of one known version is served."""

    async def find(client: ApiClient) -> Resource | None:
        document = await _document(client, resource.path().rpartition("/")[0])
        found = document.get("resources") if document else None
        names = {one.get("name") for one in found if isinstance(one, dict)} if isinstance(found, list) else set()
        return resource if resource.plural in names else None

    return find


def locate_first(resource: Resource, versions: Sequence[str]) -> Locate:
    """Make what finds the first of these versions, the ones that we know, in which a resource is served."""

    async def find(client: ApiClient) -> Resource | None:
        for version in versions:
            found = await locate(resource.at(version))(client)
            if found is not None:
                return found
        return None

    return find


async def _document(client: ApiClient, path: str) -> dict[str, Any] | None:
    """Read a discovery document, None when there is none."""
    try:
        answer = await client.request("GET", path)
    except NotFound:
        return None
    return read_answer(answer.body, path)


class Served(Generic[T]):
    """One resource, followed while it is served. `name` is for people.

    `handler` is told every change; after "synced" only what `store` has is there. `on_absent` is called when the
    definition turns out not to be there: nothing is. `resource` is as it is served, None while it is not. `remedy` is what
    to do where the definition has to be there; without one it may be missing.
    """

    def __init__(
        self,
        name: str,
        client: ApiClient,
        find: Locate,
        codec: Codec[T],
        handler: Callable[[Change[T]], None],
        *,
        on_absent: Callable[[], None],
        on_restart: Callable[[str], None] = lambda _resource: None,
        clock: Callable[[], float] = time.monotonic,
        remedy: str = "",
    ) -> None:
        self._remedy = remedy
        self.resource: Resource | None = None
        self.absent = False
        self.name = name
        self._client = client
        self._find = find
        self._codec = codec
        self._handler = handler
        self._on_absent = on_absent
        self._on_restart = on_restart
        self._clock = clock
        self._reflector: Reflector[T] | None = None
        self._following: asyncio.Task[None] | None = None
        self._trouble = ""
        self._asked = float("-inf")

    @property
    def known(self) -> bool:
        """Whether everything was read, or is known not to exist."""
        return self.absent or (self._reflector is not None and self._reflector.synced.is_set())

    @property
    def trouble(self) -> str:
        """What is in the way, for people; "" when nothing is."""
        return self._trouble or (self._reflector.trouble if self._reflector is not None else "")

    @property
    def last_contact(self) -> float:
        """When the server was last heard of this resource, by the clock."""
        if self.absent:
            return self._asked
        return self._reflector.last_contact if self._reflector is not None else float("-inf")

    @property
    def store(self) -> dict[tuple[str, str], T]:
        """The objects that are there. For reading only."""
        return self._reflector.store if self._reflector is not None else {}

    async def locate(self) -> Resource | None:
        """Find out now in which version it is served, if at all. Raises ApiError, Unreachable."""
        return await self._find(self._client)

    async def run(self) -> None:
        """Follow until cancelled."""
        misses = 0
        try:
            while True:
                if self._following is not None and self._following.done():
                    self._following.result()  # it never ends but by an unforeseen failure, which is not to be hidden
                if self._reflector is None or self._reflector.trouble:
                    misses = await self._look(misses)
                await asyncio.sleep(_POLL)
        finally:
            await self._stop()

    async def _look(self, misses: int) -> int:
        try:
            found = await self.locate()
        except (ApiError, Unreachable) as error:
            if str(error) != self._trouble:
                log.log(loudness(error), "cannot determine whether %s are served: %s", self.name, error)
            self._trouble = str(error)
            return misses
        self._trouble = ""
        self._asked = self._clock()
        if found is None:
            if self._reflector is not None and misses + 1 < _MISSES:
                return misses + 1
            await self._vanished()
        elif found != self.resource:
            await self._follow(found)
        return 0

    async def _vanished(self) -> None:
        if self.absent:
            return
        await self._stop()
        level = logging.WARNING if self.resource is not None or self._remedy else logging.INFO
        log.log(level, "%s are not served%s", self.name, f": {self._remedy}" if self._remedy else "")
        self._reflector, self.resource, self.absent = None, None, True
        self._on_absent()

    async def _follow(self, resource: Resource) -> None:
        await self._stop()
        log.info("%s are served as %s", self.name, resource.version)
        self._reflector = Reflector(
            self._client,
            resource,
            self._codec,
            on_restart=lambda _why: self._on_restart(resource.plural),
            clock=self._clock,
        )
        self._reflector.subscribe(self._handler)
        # Not known until it is listed: that we may not is no "none".
        self.resource, self.absent = resource, False
        self._following = asyncio.create_task(self._reflector.run())

    async def _stop(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
