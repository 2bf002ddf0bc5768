"""Writes what must not be lost, however long the API server is away: what a CA answered once it does not answer again.

Used on the loop, in the leader; it waits, and holds its worker meanwhile: nothing else could be done without the API server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from signer.kube import backoff
from signer.kube.errors import ApiError, Conflict, Invalid, NotFound, Unreachable

T = TypeVar("T")
_FIRST, _CAP = 0.2, 5.0


async def insist(write: Callable[[], Awaitable[T]], *, tries: int = 200) -> T:
    """Write until it is done, for a quarter of an hour. Raises what an API server says for good: NotFound, Conflict, Invalid.

    Forbidden is not for good: one that has just started knows no roles yet.
    """
    for failures in range(1, tries):
        try:
            return await write()
        except (NotFound, Conflict, Invalid):
            raise
        except (ApiError, Unreachable) as error:
            asked = getattr(error, "retry_after", None)
            await asyncio.sleep(backoff.delay(failures, first=_FIRST, cap=_CAP, retry_after=asked))
    return await write()
