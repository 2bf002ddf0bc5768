"""How late the event loop is, is seen."""

import asyncio

import pytest

from signer.observe.loop_lag import PERIOD, measure
from tests.fakes.virtual_time import virtual_time


@virtual_time
async def test_late() -> None:
    """A timer that comes late is told by how much; one in time as nothing."""
    lateness = iter([0.0, 0.3, 0.0])
    seen: list[float] = []

    async def sleep(seconds: float) -> None:
        assert seconds == PERIOD
        if (late := next(lateness, None)) is None:
            raise asyncio.CancelledError
        await asyncio.sleep(seconds + late)

    with pytest.raises(asyncio.CancelledError):
        await measure(seen.append, sleep=sleep)
    assert seen == [pytest.approx(late, abs=1e-6) for late in (0.0, 0.3, 0.0)]
