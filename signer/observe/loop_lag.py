"""How late the event loop is: all that this process does waits for it, and each metric of its own names only a part of that.

One task, that does nothing but sleep.
"""

import asyncio
from collections.abc import Awaitable, Callable

PERIOD = 0.5
"""Seconds between two looks. A block of the loop is seen whenever a look falls into it."""


async def measure(
    observe: Callable[[float], object], *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Give `observe` the seconds by which each timer came late, until cancelled. `sleep` is for tests."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + PERIOD
        await sleep(PERIOD)
        observe(max(clock() - due, 0.0))
