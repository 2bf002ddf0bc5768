"""Whether somebody else's program is at work, by the Leases that it renews.

That a Lease is there says nothing: it stays when its holder is gone. One that changes while we look is held by somebody who
lives. Our own clock alone counts. Used on the loop.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.leases.record import LEASES, Sighting, sight
from signer.kube.reach import loudness

log = logging.getLogger(__name__)

# Between two looks while it is not known, and afterwards (seconds).
_SOON, _LATER = 3.0, 15.0
_DURATION = 60.0


class OthersLeases:
    """Looks at Leases by (namespace, name)."""

    def __init__(
        self,
        client: ApiClient,
        leases: Sequence[tuple[str, str]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._leases = tuple(dict.fromkeys(leases))
        self._clock = clock
        self._sleep = sleep
        self._seen: dict[tuple[str, str], Sighting] = {}
        self._moved: set[tuple[str, str]] = set()
        self._trouble: dict[tuple[str, str], str] = {}

    async def holder(self) -> str:
        """Look until it is known who lives: his Lease and name, for people; "" for nobody."""
        told = False
        while (found := await self._look()) is None:
            if not told:
                told = True
                names = ", ".join(f"{namespace}/{name}" for namespace, name in sorted(self._seen))
                log.info(
                    "another program's Lease is there (%s): waiting, for %d seconds at most, until it shows whether its holder lives",
                    names,
                    round(max(one.duration for one in self._seen.values())),
                )
            await self._sleep(_SOON)
        return found

    async def gone(self) -> None:
        """Wait until nobody lives."""
        while await self.holder():
            await self._sleep(_LATER)

    async def come(self) -> str:
        """Wait until somebody lives; who."""
        while not (found := await self.holder()):
            await self._sleep(_LATER)
        return found

    async def _look(self) -> str | None:
        """Return who lives, "" for nobody, None while a Lease may still change."""
        known: str | None = ""
        for place in self._leases:
            found = await self._one(place)
            if found:
                return found
            known = None if found is None else known
        return known

    async def _one(self, place: tuple[str, str]) -> str | None:
        namespace, name = place
        try:
            lease = await self._client.get(LEASES, name, namespace)
        except NotFound:
            self._forget(place)
            return ""
        except (ApiError, Unreachable) as error:
            # Without the right to look we know no more than without looking.
            if self._trouble.get(place) != str(error):
                self._trouble[place] = str(error)
                log.log(
                    loudness(error), "cannot see whether another program holds Lease %s/%s: %s", namespace, name, error
                )
            return ""
        before, now = self._seen.get(place), self._clock()
        seen = self._seen[place] = sight(lease, before, now, _DURATION)
        if seen.expired(now):
            self._moved.discard(place)
            return ""
        if before is not None and seen is not before and before.holder:
            self._moved.add(place)
        return f"Lease {namespace}/{name}, held by {seen.holder}" if place in self._moved else None

    def _forget(self, place: tuple[str, str]) -> None:
        self._seen.pop(place, None)
        self._moved.discard(place)
