"""Live reads are shared, and never older than the question."""

import asyncio

import pytest

from signer.mesh.reread import Shared
from tests.fakes.virtual_time import virtual_time


class Slow:
    """A read that takes a second; remembers when each began."""

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []
        self.fail = False

    async def __call__(self, key: str) -> None:
        self.began.append((key, asyncio.get_running_loop().time()))
        await asyncio.sleep(1)
        if self.fail:
            raise ValueError("no")


@virtual_time
async def test_who_comes_later_gets_a_read_of_his_own() -> None:
    """All who ask while a read is under way share the next one, which begins after they asked."""
    slow = Slow()
    shared = Shared(slow)
    start = asyncio.get_running_loop().time()
    first = asyncio.create_task(shared("a"))
    await asyncio.sleep(0.5)
    await asyncio.gather(*(shared("a") for _ in range(100)))
    assert first.done()
    assert [round(at - start, 1) for _, at in slow.began] == [0, 1]
    await shared("a")
    assert len(slow.began) == 3


@virtual_time
async def test_others_are_others() -> None:
    """Reads of different things do not wait for each other."""
    slow = Slow()
    shared = Shared(slow)
    start = asyncio.get_running_loop().time()
    await asyncio.gather(shared("a"), shared("b"))
    assert round(asyncio.get_running_loop().time() - start, 1) == 1


@virtual_time
async def test_a_failure_is_everybodys() -> None:
    """Who waited for a read that failed is told, and the next read is a new one."""
    slow = Slow()
    slow.fail = True
    shared = Shared(slow)
    found = await asyncio.gather(shared("a"), shared("a"), return_exceptions=True)
    assert [str(one) for one in found] == ["no", "no"]
    assert len(slow.began) == 2
    slow.fail = False
    await shared("a")
    assert len(slow.began) == 3


@virtual_time
async def test_who_gives_up_takes_nothing_from_others() -> None:
    """A caller that is cancelled leaves the read to those who wait for it too, and its failure to nobody."""
    slow = Slow()
    shared = Shared(slow)
    one = asyncio.create_task(shared("a"))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(shared("a")) for _ in range(2)]
    await asyncio.sleep(0.1)
    one.cancel()
    others[0].cancel()
    await others[1]
    assert len(slow.began) == 2
    with pytest.raises(asyncio.CancelledError):
        await one
    slow.fail = True
    last = asyncio.create_task(shared("a"))
    await asyncio.sleep(0.1)
    last.cancel()
    await asyncio.sleep(5)
