"""Leader election: one works at a time, whatever happens to the API server, to the others, and to the work."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from signer.kube.leases.leader import Leadership
from tests.fakes.leases import LeaseClient, LeaseServer
from tests.fakes.virtual_time import virtual_time

DURATION, RENEW, RETRY = 15.0, 10.0, 2.0


def now() -> float:
    return asyncio.get_running_loop().time()


class Workplace:
    """Notes who works when, and that never two do."""

    def __init__(self) -> None:
        self.working: list[str] = []
        self.log: list[tuple[str, str, float]] = []
        self.conflict = False

    def work(self, who: str, *, stopping: float = 0.0) -> Callable[[], Any]:
        async def lead() -> None:
            self.working.append(who)
            self.conflict |= len(self.working) > 1
            self.log.append((who, "starts", now()))
            try:
                await asyncio.sleep(10**6)
            finally:
                await asyncio.sleep(stopping)
                self.working.remove(who)
                self.log.append((who, "stops", now()))

        return lead

    def when(self, who: str, what: str, which: int = -1) -> float:
        return [at for name, did, at in self.log if (name, did) == (who, what)][which]


class Replica:
    def __init__(self, server: LeaseServer, place: Workplace, name: str, **more: Any) -> None:
        self.name = name
        self.client = LeaseClient(server)
        self.leadership = Leadership(self.client, "ns", "lock", name, duration=DURATION, renew=RENEW, retry=RETRY)
        self.task = asyncio.create_task(self.leadership.run(more.pop("lead", None) or place.work(name, **more)))


@contextlib.asynccontextmanager
async def replicas(place: Workplace, *names: str, **more: Any) -> AsyncIterator[tuple[LeaseServer, list[Replica]]]:
    server = LeaseServer()
    all_of_them = []
    for name in names:
        all_of_them.append(Replica(server, place, name, **more))
        await asyncio.sleep(1)
    try:
        yield server, all_of_them
    finally:
        for replica in all_of_them:
            replica.task.cancel()
        await asyncio.wait([replica.task for replica in all_of_them])
        assert not place.conflict, place.log
        assert not place.working


@pytest.mark.heavy
@virtual_time
async def test_one_leads() -> None:
    """The first replica leads, and keeps leading while it renews; the others wait."""
    place = Workplace()
    async with replicas(place, "a", "b", "c") as (server, _):
        await asyncio.sleep(3600)
        assert place.working == ["a"]
        assert (server.spec("lock")["holderIdentity"], server.spec("lock")["leaseTransitions"]) == ("a", 0)
        renewals = [at for at, _, _ in server.history]
        assert max(after - before for before, after in itertools.pairwise(renewals)) < RENEW


@virtual_time
async def test_released_on_exit() -> None:
    """A leader that ends properly stops its work first, then frees the Lease, and the next one starts within seconds."""
    place = Workplace()
    async with replicas(place, "a", "b", stopping=1.0) as (server, (a, _b)):
        await asyncio.sleep(60)
        a.task.cancel()
        await asyncio.wait([a.task])
        assert a.task.cancelled()
        assert "holderIdentity" not in server.spec("lock")
        await asyncio.sleep(5)
        assert place.working == ["b"]
        assert place.when("b", "starts") - place.when("a", "stops") < 2 * RETRY
        assert server.spec("lock")["leaseTransitions"] == 1


@virtual_time
async def test_a_dead_leader_is_replaced() -> None:
    """When a leader vanishes without a word, another leads after the Lease's duration, and not before."""
    place = Workplace()
    async with replicas(place, "a", "b") as (server, (a, _b)):
        await asyncio.sleep(60)
        a.client.fault = "hang"
        last = server.history[-1][0]
        await asyncio.sleep(60)
        assert place.working == ["b"]
        # Seen at one attempt, counted from there, and taken at the next; each may come a fifth later than RETRY says.
        assert DURATION <= place.when("b", "starts") - last < DURATION + 2 * 1.2 * RETRY
        assert server.spec("lock")["leaseTransitions"] == 1


@pytest.mark.parametrize("fault", ["hang", "unreachable", "refuse", "lost"])
@pytest.mark.parametrize("stopping", [0.0, 4.5])
@virtual_time
async def test_stops_in_time(fault: str, stopping: float) -> None:
    """A leader that cannot renew, in whatever way, stops its work before another may start."""
    place = Workplace()
    async with replicas(place, "a", "b", stopping=stopping) as (_server, (a, _b)):
        await asyncio.sleep(61)
        began = now()
        a.client.fault = fault
        await asyncio.sleep(120)
        if fault == "lost":  # its renewals are stored, so nobody else may lead, and it dares not
            assert place.when("a", "stops", 0) < began + RENEW + stopping + 0.1
        else:
            assert place.when("a", "stops", 0) <= began + RENEW + stopping
            assert place.when("b", "starts") > place.when("a", "stops", 0)


@virtual_time
async def test_all_at_once() -> None:
    """Replicas that reach for a new or a freed Lease in the same moment do not all get it."""
    place = Workplace()
    server = LeaseServer()
    standing = [Replica(server, place, name) for name in "abcdef"]
    for replica in standing:
        replica.client.latency = 0.9
    for _ in range(5):
        await asyncio.sleep(60)
        assert len(place.working) == 1
        leader = next(replica for replica in standing if place.working == [replica.name])
        leader.task.cancel()
        await asyncio.wait([leader.task])
        standing.remove(leader)
    assert not place.conflict, place.log
    standing[0].task.cancel()
    await asyncio.wait([standing[0].task])


@virtual_time
async def test_short_outage() -> None:
    """An API server that is away for less than the renew deadline (and two attempts) costs nobody the lead."""
    place = Workplace()
    async with replicas(place, "a", "b") as (_server, all_of_them):
        await asyncio.sleep(60)
        for replica in all_of_them:
            replica.client.fault = "unreachable"
        await asyncio.sleep(RENEW - 2 * RETRY - 0.5)
        for replica in all_of_them:
            replica.client.fault = ""
        await asyncio.sleep(60)
        assert [entry[:2] for entry in place.log] == [("a", "starts")]


@virtual_time
async def test_long_outage() -> None:
    """After a long outage exactly one leads again, by itself."""
    place = Workplace()
    async with replicas(place, "a", "b") as (_server, all_of_them):
        await asyncio.sleep(60)
        for replica in all_of_them:
            replica.client.fault = "refuse"
        await asyncio.sleep(60)
        assert place.working == []
        for replica in all_of_them:
            replica.client.fault = ""
        await asyncio.sleep(60)
        assert len(place.working) == 1


@virtual_time
async def test_taken_by_force() -> None:
    """When somebody writes another holder into the Lease, the leader stops at its next renewal."""
    place = Workplace()
    async with replicas(place, "a") as (server, _):
        await asyncio.sleep(61)
        server.store(
            "lock", {**server.objects["lock"], "spec": {"holderIdentity": "x", "leaseDurationSeconds": 60}}, "MODIFIED"
        )
        began = now()
        await asyncio.sleep(30)
        assert place.when("a", "stops") - began < RETRY + 0.1
        assert place.working == []
        await asyncio.sleep(60)
        assert place.working == ["a"]


@virtual_time
async def test_edits_and_deletion_are_survived() -> None:
    """Somebody's label on the Lease, or its deletion, costs the leader nothing, and nobody else begins to lead."""
    place = Workplace()
    async with replicas(place, "a", "b") as (server, _):
        await asyncio.sleep(61)
        lease = server.objects["lock"]
        server.store("lock", {**lease, "metadata": {**lease["metadata"], "labels": {"x": "y"}}}, "MODIFIED")
        await asyncio.sleep(10)
        assert server.objects["lock"]["metadata"]["labels"] == {"x": "y"}
        assert [entry[:2] for entry in place.log] == [("a", "starts")]
        for _ in range(20):
            await asyncio.sleep(7.3)
            server.store("lock", None, "DELETED")
        await asyncio.sleep(60)
        assert [entry[:2] for entry in place.log] == [("a", "starts")]


@virtual_time
async def test_a_restarted_leader_goes_on() -> None:
    """A process that comes back under the same name need not wait for its own Lease to run out."""
    place = Workplace()
    async with replicas(place, "a") as (server, (a,)):
        await asyncio.sleep(60)
        a.client.fault = "hang"
        a.task.cancel()
        await asyncio.wait([a.task])
        again = Replica(server, place, "a")
        await asyncio.sleep(6)
        assert place.working == ["a"]
        assert server.spec("lock")["leaseTransitions"] == 0
        again.task.cancel()
        await asyncio.wait([again.task])


@pytest.mark.heavy
@virtual_time
async def test_two_of_one_name() -> None:
    """Of two processes of one name one leads, as of two others: the one that waits takes over when the first has ended."""
    place = Workplace()
    async with replicas(place, "a", "a") as (_server, (first, second)):
        await asyncio.sleep(3600)
        assert [entry[:2] for entry in place.log] == [("a", "starts")]
        first.task.cancel()
        await asyncio.sleep(DURATION)
        assert [entry[:2] for entry in place.log] == [("a", "starts"), ("a", "stops"), ("a", "starts")]
        assert not second.task.done()


class TestTheWorkEnds:
    @virtual_time
    async def test_dies(self) -> None:
        """When the work raises, the Lease is freed and the error comes out: a dead leader never keeps the lead."""
        place = Workplace()

        async def lead() -> None:
            await asyncio.sleep(30)
            raise RuntimeError("dead")

        async with replicas(place, "a", lead=lead) as (server, (a,)):
            start = now()
            with pytest.raises(RuntimeError, match="dead"):
                await a.task
            assert now() - start < 31
            assert "holderIdentity" not in server.spec("lock")

    @virtual_time
    async def test_is_done(self) -> None:
        """When the work returns, the Lease is freed and run returns."""

        async def lead() -> None:
            await asyncio.sleep(30)

        async with replicas(Workplace(), "a", lead=lead) as (server, (a,)):
            await a.task
            assert "holderIdentity" not in server.spec("lock")

    @virtual_time
    async def test_while_the_server_hangs(self) -> None:
        """Work that dies during a hanging renewal is noticed at once."""

        async def lead() -> None:
            await asyncio.sleep(30)
            raise RuntimeError("dead")

        async with replicas(Workplace(), "a", lead=lead) as (_server, (a,)):
            await asyncio.sleep(27)
            a.client.fault = "hang"
            start = now()
            with pytest.raises(RuntimeError, match="dead"):
                await a.task
            assert now() - start < 3 + RETRY + 0.1

    @virtual_time
    async def test_stubborn(self, caplog: pytest.LogCaptureFixture) -> None:
        """Work that does not stop in time is complained about, and still waited for, however often we are cancelled."""
        place = Workplace()
        async with replicas(place, "a", stopping=30.0) as (server, (a,)):
            await asyncio.sleep(60)
            a.task.cancel()
            await asyncio.sleep(3)
            a.task.cancel()
            await asyncio.sleep(3)
            # The second cancellation cut the work's clean-up short, but it was still waited for.
            assert a.task.done() == (not place.working)
            await asyncio.wait([a.task])
            assert place.working == []
            assert "holderIdentity" not in server.spec("lock")
            assert "has not stopped in time" in caplog.text or place.when("a", "stops") - place.when("a", "starts") < 70

    @virtual_time
    async def test_fails_while_it_is_stopped(self, caplog: pytest.LogCaptureFixture) -> None:
        """An error in the work's clean-up is logged, and does not hide the end."""

        async def lead() -> None:
            try:
                await asyncio.sleep(10**6)
            finally:
                raise RuntimeError("cleaning failed")

        async with replicas(Workplace(), "a", lead=lead) as (_server, (a,)):
            await asyncio.sleep(10)
            a.task.cancel()
            await asyncio.wait([a.task])
            assert a.task.cancelled()
            assert "cleaning failed" in caplog.text


@pytest.mark.parametrize(("duration", "renew", "retry"), [(10, 10, 2), (10, 12, 2), (15, 2, 2), (15, 10, 0)])
def test_impossible_times(duration: float, renew: float, retry: float) -> None:
    """Times with which two could lead are refused."""
    with pytest.raises(ValueError, match="retry < renew < duration"):
        Leadership(LeaseClient(LeaseServer()), "ns", "l", "a", duration=duration, renew=renew, retry=retry)


@virtual_time
async def test_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same trouble over and over is one line."""
    async with replicas(Workplace(), "a") as (_server, (a,)):
        await asyncio.sleep(10)
        a.client.fault = "refuse"
        await asyncio.sleep(300)
        assert sum("cannot be taken or renewed" in record.getMessage() for record in caplog.records) == 1
