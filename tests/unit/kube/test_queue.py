"""The work queue's promises."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.errors import TooManyRequests
from signer.kube.queue import WorkQueue
from tests.fakes.virtual_time import virtual_time

Handler = Callable[[str], Awaitable[None]]


@contextlib.asynccontextmanager
async def working(queue: WorkQueue[str], handler: Handler, workers: int = 1) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(queue.run(handler, workers))
    try:
        yield task
        assert not task.done() or task.cancelled() or task.exception() is None
    finally:
        task.cancel()
        await asyncio.wait([task])


def now() -> float:
    return asyncio.get_running_loop().time()


class Log:
    """A handler that notes when it handled what, and takes a while."""

    def __init__(self, takes: float = 1.0) -> None:
        self.takes = takes
        self.began: list[tuple[float, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.same_at_once = False
        self.at_work: list[str] = []
        self._start = now()

    async def __call__(self, key: str) -> None:
        self.began.append((round(now() - self._start, 3), key))
        self.same_at_once |= key in self.at_work
        self.at_work.append(key)
        self.most_at_once = max(self.most_at_once, len(self.at_work))
        await asyncio.sleep(self.takes)
        self.at_work.remove(key)


@virtual_time
async def test_once_however_often_added() -> None:
    """A key that is added many times before its turn is handled once; keys come in the order in which they were added."""
    queue: WorkQueue[str] = WorkQueue()
    for key in "abacab":
        queue.add(key)
    assert len(queue) == 3
    log = Log()
    async with working(queue, log):
        await asyncio.sleep(10)
        assert log.began == [(0, "a"), (1, "b"), (2, "c")]
        assert (len(queue), queue.working) == (0, 0)


@virtual_time
async def test_added_while_handled() -> None:
    """A key that is added while it is being handled is handled exactly once more, afterwards, never twice at the same time."""
    queue: WorkQueue[str] = WorkQueue()
    log = Log()
    async with working(queue, log, workers=4):
        queue.add("a")
        await asyncio.sleep(0.5)
        assert queue.working == 1
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0
        await asyncio.sleep(10)
        assert log.began == [(0, "a"), (1, "a")]
        assert not log.same_at_once


@virtual_time
async def test_added_again_after_it_was_handled() -> None:
    """Having been handled does not keep a key from being handled again."""
    queue: WorkQueue[str] = WorkQueue()
    log = Log()
    async with working(queue, log):
        for _ in range(3):
            queue.add("a")
            await asyncio.sleep(5)
        assert [at for at, _ in log.began] == [0, 5, 10]


@virtual_time
async def test_workers() -> None:
    """As many keys are in work at a time as there are workers."""
    queue: WorkQueue[str] = WorkQueue()
    log = Log()
    async with working(queue, log, workers=3):
        await asyncio.sleep(1)
        for n in range(7):
            queue.add(str(n))
        await asyncio.sleep(2.5)
        assert log.most_at_once == 3
        assert len(log.began) == 7


class TestDelays:
    @virtual_time
    async def test_after(self) -> None:
        """A key is handled after its time, and not before."""
        queue: WorkQueue[str] = WorkQueue()
        log = Log()
        async with working(queue, log):
            queue.add_after("a", 30)
            queue.add_after("b", 0)
            assert len(queue._later) == 1
            await asyncio.sleep(60)
            assert log.began == [(0, "b"), (30, "a")]
            assert len(queue._later) == 0

    @pytest.mark.parametrize("times", [(30, 10, 20), (10, 30, 20)])
    @virtual_time
    async def test_earliest(self, times: tuple[int, ...]) -> None:
        """Of several times the earliest counts, once."""
        queue: WorkQueue[str] = WorkQueue()
        log = Log()
        async with working(queue, log):
            for seconds in times:
                queue.add_after("a", seconds)
            await asyncio.sleep(60)
            assert log.began == [(10, "a")]

    @virtual_time
    async def test_now_and_later(self) -> None:
        """Handling a key now does not take back that it is to be handled later."""
        queue: WorkQueue[str] = WorkQueue()
        log = Log()
        async with working(queue, log):
            queue.add_after("a", 30)
            queue.add("a")
            await asyncio.sleep(60)
            assert log.began == [(0, "a"), (30, "a")]


class TestErrors:
    @virtual_time
    async def test_comes_back(self) -> None:
        """A key whose handler raises is reported and comes back, ever later up to the cap; others are not held up."""
        errors: list[tuple[str, str]] = []
        queue: WorkQueue[str] = WorkQueue(
            first=1.0, cap=8.0, on_error=lambda key, error: errors.append((key, str(error)))
        )
        times: list[float] = []

        async def handler(key: str) -> None:
            times.append(now())
            if key == "bad":
                raise RuntimeError("no")

        async with working(queue, handler):
            queue.add("bad")
            queue.add("good")
            await asyncio.sleep(100)
        assert errors[0] == ("bad", "no")
        assert len(errors) == len(times) - 1
        bad = times[:1] + times[2:]
        gaps = [after - before for before, after in itertools.pairwise(bad)]
        assert 0.5 <= gaps[0] <= 1.0
        assert 1.0 <= gaps[1] <= 2.0
        assert all(4.0 <= gap <= 8.0 for gap in gaps[3:])
        assert queue.failures("bad") == len(errors)

    @virtual_time
    async def test_success_forgets(self) -> None:
        """After a success the next failure starts with the shortest pause."""
        queue: WorkQueue[str] = WorkQueue(first=1.0, on_error=lambda _key, _error: None)
        failing = 5

        async def handler(_key: str) -> None:
            nonlocal failing
            failing -= 1
            if failing >= 0:
                raise RuntimeError

        async with working(queue, handler):
            queue.add("a")
            await asyncio.sleep(14)
            assert queue.failures("a") == 5 - max(failing, 0)
            await asyncio.sleep(60)
            assert queue.failures("a") == 0

    @virtual_time
    async def test_own_backoff_is_kept(self) -> None:
        """A handler that sends its key back with add_backoff and returns keeps the growing pauses."""
        queue: WorkQueue[str] = WorkQueue(first=1.0, cap=1000.0)
        times: list[float] = []

        async def handler(key: str) -> None:
            times.append(now())
            queue.add_backoff(key)

        async with working(queue, handler):
            queue.add("a")
            await asyncio.sleep(1000)
        assert 7 <= len(times) <= 11
        assert queue.failures("a") == len(times)

    @virtual_time
    async def test_forget(self) -> None:
        """Forget starts the pauses anew."""
        queue: WorkQueue[str] = WorkQueue(first=1.0)
        for _ in range(5):
            queue.add_backoff("a")
        queue.forget("a")
        assert queue.failures("a") == 0

    @virtual_time
    async def test_retry_after(self) -> None:
        """What the server asked for is waited for."""
        queue: WorkQueue[str] = WorkQueue(first=0.1, on_error=lambda _key, _error: None)
        times: list[float] = []

        async def handler(_key: str) -> None:
            times.append(now())
            if len(times) == 1:
                raise TooManyRequests(429, retry_after=20.0)

        async with working(queue, handler):
            queue.add("a")
            await asyncio.sleep(60)
        assert 20 <= times[1] - times[0] <= 22

    @virtual_time
    async def test_logged_by_default(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without on_error an error is logged with its key."""
        queue: WorkQueue[str] = WorkQueue()

        async def handler(_key: str) -> None:
            raise RuntimeError("broken")

        async with working(queue, handler):
            queue.add("shop/a")
            await asyncio.sleep(0.1)
        assert "shop/a: RuntimeError: broken" in caplog.text


class TestEnd:
    @virtual_time
    async def test_cancelled(self) -> None:
        """Cancelling run cancels what is in work."""
        queue: WorkQueue[str] = WorkQueue()
        ended = asyncio.Event()

        async def handler(_key: str) -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.set()

        async with working(queue, handler) as task:
            queue.add("a")
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait([task])
            assert ended.is_set()

    @virtual_time
    async def test_run_again(self) -> None:
        """What is left when run is cancelled is handled by the next run."""
        queue: WorkQueue[str] = WorkQueue()
        log = Log()
        async with working(queue, log, workers=3):
            await asyncio.sleep(1)
        queue.add("a")
        async with working(queue, log):
            await asyncio.sleep(1)
        assert [key for _, key in log.began] == ["a"]


@virtual_time
async def test_busy_handlers_let_others_run() -> None:
    """A handler that never waits does not keep the loop from other tasks."""
    queue: WorkQueue[int] = WorkQueue()
    handled = 0

    async def handler(_key: int) -> None:
        nonlocal handled
        handled += 1

    for n in range(1000):
        queue.add(n)
    task = asyncio.create_task(queue.run(handler))
    turns = 0
    while handled < 1000:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 500
    task.cancel()
    await asyncio.wait([task])


@virtual_time
async def test_flows_in_turn() -> None:
    """A flow of three hundred keys delays another flow's one key by the turns that are under way, not by three hundred."""
    queue: WorkQueue[str] = WorkQueue(flow=lambda key: key[0])
    for number in range(300):
        queue.add(f"a{number}")
    queue.add("b")
    log = Log()
    async with working(queue, log, workers=4):
        await asyncio.sleep(1000)
        assert (0, "b") in log.began
        assert len(log.began) == 301
        assert (len(queue), queue.working) == (0, 0)


@virtual_time
async def test_slow_keys_of_one_flow() -> None:
    """A flow whose keys never end holds half of the workers; the others' keys go on, and so do its own when one ends."""
    queue: WorkQueue[str] = WorkQueue(flow=lambda key: key[0])
    forever = asyncio.Event()
    log = Log()

    async def handler(key: str) -> None:
        if key[0] == "a":
            await forever.wait()
        await log(key)

    async with working(queue, handler, workers=8):
        for number in range(9):
            queue.add(f"a{number}")
        await asyncio.sleep(1)
        assert queue.working == 4
        for number in range(6):
            queue.add(f"b{number}")
        await asyncio.sleep(3.5)
        assert [key for _, key in log.began] == [f"b{number}" for number in range(6)]
        forever.set()
        await asyncio.sleep(100)
        assert {key for _, key in log.began} == {*(f"a{n}" for n in range(9)), *(f"b{n}" for n in range(6))}
        assert log.most_at_once == 4


@pytest.mark.parametrize("workers", [2, 4, 5, 8, 16])
@virtual_time
async def test_slow_keys_of_several_flows(workers: int) -> None:
    """Two namespaces of one tenant, whose keys never end, leave a worker to each newcomer: they have no half each."""
    queue: WorkQueue[str] = WorkQueue(flow=lambda key: key[0])
    log = Log()

    async def handler(key: str) -> None:
        if key[0] in "ab":
            await asyncio.Event().wait()
        await log(key)

    async with working(queue, handler, workers=workers):
        for flow in "ab":
            for number in range(2 * workers):
                queue.add(f"{flow}{number}")
            await asyncio.sleep(1)
        assert queue.working <= max(2, workers - 1)
        for number in range(3):
            queue.add(f"c{number}")
        await asyncio.sleep(100)
        assert [key for _, key in log.began] == ([] if workers == 2 else ["c0", "c1", "c2"])


@given(
    keys=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 4)), max_size=40),
    workers=st.integers(1, 5),
)
@virtual_time
async def test_nothing_is_lost(keys: list[tuple[str, int, int]], workers: int) -> None:
    """Whatever is added when, each key is handled after it was added last, none twice at once, no flow over its half."""
    queue: WorkQueue[str] = WorkQueue(flow=lambda key: key[0])
    log = Log(takes=0.3)
    last: dict[str, float] = {}
    async with working(queue, log, workers=workers):
        start = now()
        for flow, number, pause in keys:
            queue.add(f"{flow}{number}")
            last[f"{flow}{number}"] = now() - start
            assert sum(key[0] == flow for key in log.at_work) <= max(1, workers // 2)
            await asyncio.sleep(pause / 10)
        await asyncio.sleep(100)
        assert not log.same_at_once
        assert all(any(key == one and when >= added - 0.001 for when, one in log.began) for key, added in last.items())
        assert (len(queue), queue.working) == (0, 0)
