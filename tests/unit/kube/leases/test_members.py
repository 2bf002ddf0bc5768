"""Replicas that know of each other."""

import asyncio
import contextlib
import copy
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from signer.kube.client import ApiClient
from signer.kube.leases.members import SWEEP_AFTER, Members
from tests.fakes.leases import LeaseClient, LeaseServer
from tests.fakes.virtual_time import virtual_time

DURATION = 5.0


class Replica:
    def __init__(self, server: LeaseServer, name: str) -> None:
        self.client = LeaseClient(server)
        self.changes: list[tuple[str, ...]] = []
        self.able = True
        self.members = Members(
            cast("ApiClient", self.client),
            "ns",
            "signers",
            name,
            duration=DURATION,
            on_change=self.changes.append,
        )
        self.members.able = lambda: self.able
        self.task = asyncio.create_task(self.members.run())

    def seen(self) -> str:
        return "".join(self.members.members())

    def kill(self) -> None:
        """Let it vanish without a word."""
        self.client.fault = "hang"

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@contextlib.asynccontextmanager
async def replicas(*names: str) -> AsyncIterator[tuple[LeaseServer, list[Replica]]]:
    server = LeaseServer()
    started = []
    for name in names:
        started.append(Replica(server, name))
        await asyncio.sleep(0.5)
    await asyncio.sleep(10)
    try:
        yield server, started
    finally:
        for replica in started:
            await replica.end()


@pytest.mark.heavy
@virtual_time
async def test_all_see_all() -> None:
    """Every replica sees every other and itself, sorted, and keeps seeing them."""
    async with replicas("b", "a", "c") as (server, all_of_them):
        assert [replica.seen() for replica in all_of_them] == ["abc"] * 3
        await asyncio.sleep(600)
        assert [replica.seen() for replica in all_of_them] == ["abc"] * 3
        assert all(replica.changes[-1] == ("a", "b", "c") for replica in all_of_them)
        # Nobody ever fell out on the way.
        assert all(len(replica.changes) <= 3 for replica in all_of_them)
        lease = server.objects["signers-a"]
        assert lease["metadata"]["labels"] == {"mesh-signer.dev/group": "signers"}
        assert lease["spec"]["holderIdentity"] == "a"


@virtual_time
async def test_alone_from_the_start() -> None:
    """Before anything is known, and without any right to Leases, a replica sees itself."""
    server = LeaseServer()
    replica = Replica(server, "a")
    assert replica.seen() == "a"
    replica.client.fault = "refuse"
    await asyncio.sleep(60)
    assert replica.seen() == "a"
    replica.client.fault = ""
    other = Replica(server, "b")
    await asyncio.sleep(20)
    assert replica.seen() == "ab"
    other.client.fault = "hang"
    await asyncio.sleep(20)
    assert replica.seen() == "a"
    await replica.end()
    await other.end()


@virtual_time
async def test_leaving() -> None:
    """A replica that ends properly takes its Lease along, and the others notice at once."""
    async with replicas("a", "b") as (server, (a, b)):
        await b.end()
        await asyncio.sleep(0.1)
        assert a.seen() == "a"
        assert set(server.objects) == {"signers-a"}


@virtual_time
async def test_dying() -> None:
    """A replica that vanishes without a word is missed after the duration, give or take one renewal."""
    async with replicas("a", "b") as (_server, (a, b)):
        b.kill()
        await asyncio.sleep(DURATION / 2)
        assert a.seen() == "ab"
        await asyncio.sleep(DURATION)
        assert a.seen() == "a"


@virtual_time
async def test_outage() -> None:
    """While the API server is away, and when it comes back, nobody is declared dead: the silence was the server's."""
    async with replicas("a", "b", "c") as (_server, all_of_them):
        before = [list(replica.changes) for replica in all_of_them]
        for replica in all_of_them:
            replica.client.fault = "unreachable"
        await asyncio.sleep(60)
        for replica in all_of_them:
            replica.client.fault = ""
        await asyncio.sleep(60)
        assert [replica.seen() for replica in all_of_them] == ["abc"] * 3
        assert [replica.changes for replica in all_of_them] == before


@virtual_time
async def test_without_rights_to_write(caplog: pytest.LogCaptureFixture) -> None:
    """A replica that cannot announce itself says so once, still sees itself, and sees the others come and go."""
    async with replicas("a", "b") as (server, (a, b)):
        shy = Replica(server, "shy")
        shy.client.fault = "read only"
        await asyncio.sleep(60)
        assert shy.members.members() == ("a", "b", "shy")
        assert a.seen() == "ab"
        await b.end()
        await asyncio.sleep(10)
        assert shy.members.members() == ("a", "shy")
        assert sum("cannot announce" in record.getMessage() for record in caplog.records) == 1
        await shy.end()


@virtual_time
async def test_coming_back() -> None:
    """A replica that was thought dead and renews again is a member again."""
    async with replicas("a", "b") as (_server, (a, b)):
        b.client.fault = "hang"
        await asyncio.sleep(20)
        assert a.seen() == "a"
        b.client.fault = ""
        await asyncio.sleep(20)
        assert a.seen() == "ab"


@virtual_time
async def test_dead_leases_are_swept() -> None:
    """The Lease of a replica that died is deleted after a while, not soon, and only when it is still as it was."""
    async with replicas("a", "b") as (server, (_a, b)):
        b.kill()
        await asyncio.sleep(SWEEP_AFTER * DURATION / 2)
        assert "signers-b" in server.objects
        await asyncio.sleep(SWEEP_AFTER * DURATION)
        assert set(server.objects) == {"signers-a"}


@virtual_time
async def test_own_lease_deleted() -> None:
    """A replica whose Lease somebody deleted announces itself again."""
    async with replicas("a", "b") as (server, (a, _b)):
        server.store("signers-b", None, "DELETED")
        await asyncio.sleep(DURATION)
        assert a.changes[-2:] == [("a",), ("a", "b")]
        assert a.seen() == "ab"


@virtual_time
async def test_bad_leases(caplog: pytest.LogCaptureFixture) -> None:
    """A Lease that cannot be read costs nothing but a line."""
    async with replicas("a", "b") as (server, (a, _b)):
        server.store("x", {"metadata": {"name": "x"}, "spec": {"holderIdentity": 7}}, "ADDED")
        await asyncio.sleep(30)
        assert a.seen() == "ab"
        assert "leases.coordination.k8s.io in ns x" in caplog.text


def spoilt(lease: dict[str, Any], **changes: dict[str, Any]) -> dict[str, Any]:
    """Return what somebody makes of a Lease; a field that is None is taken away."""
    made = copy.deepcopy(lease)
    for part, fields in changes.items():
        made[part] = {key: value for key, value in {**made[part], **fields}.items() if value is not None}
    return made


SPOILT: dict[str, dict[str, dict[str, Any]]] = {
    "no label": {"metadata": {"labels": None}},
    "a label of another group": {"metadata": {"labels": {"mesh-signer.dev/group": "strangers"}}},
    "no annotation": {"metadata": {"annotations": None}},
    "another holder, for long": {"spec": {"holderIdentity": "stranger", "leaseDurationSeconds": 3600}},
    "no holder": {"spec": {"holderIdentity": None}},
    "a year": {"spec": {"leaseDurationSeconds": 31_536_000}},
    "no time": {"spec": {"renewTime": None, "leaseDurationSeconds": None}},
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", SPOILT)
@virtual_time
async def test_spoilt_leases(what: str) -> None:
    """Whatever somebody writes into a replica's Lease, with its next renewal it is a member as before, and nobody else is."""
    async with replicas("a", "b", "c") as (server, all_of_them):
        for _ in range(3):
            server.store("signers-b", spoilt(server.objects["signers-b"], **SPOILT[what]), "MODIFIED")
            await asyncio.sleep(DURATION)
            assert [replica.seen() for replica in all_of_them] == ["abc"] * 3
            assert server.objects["signers-b"]["metadata"]["labels"] == {"mesh-signer.dev/group": "signers"}
        assert set(server.objects) == {"signers-a", "signers-b", "signers-c"}
        assert not [seen for replica in all_of_them for seen in replica.changes if "stranger" in seen]


@virtual_time
async def test_a_stranger_before_the_start() -> None:
    """A Lease of a replica's name that somebody else holds does not keep it out."""
    async with replicas("a") as (server, (a,)):
        metadata = {"name": "signers-b", "namespace": "ns", "labels": {"mesh-signer.dev/group": "signers"}}
        spec = {"holderIdentity": "stranger", "leaseDurationSeconds": 3600}
        server.store("signers-b", {"metadata": metadata, "spec": spec}, "ADDED")
        b = Replica(server, "b")
        await asyncio.sleep(DURATION)
        assert (a.seen(), b.seen()) == ("ab", "ab")
        server.store("signers-b", None, "DELETED")
        await asyncio.sleep(DURATION)
        assert (a.seen(), b.seen()) == ("ab", "ab")
        await b.end()


@virtual_time
async def test_two_of_one_name(caplog: pytest.LogCaptureFixture) -> None:
    """Two processes of one name are told, in one line, and go on as two, which all see alike; the Lease of neither stays."""
    async with replicas("a", "b", "b") as (server, (a, first, second)):
        await asyncio.sleep(60)
        assert second.members.identity == "b"
        assert re.fullmatch(r"b-[0-9a-f]{8}", first.members.identity)
        names = ("a", "b", first.members.identity)
        assert {replica.members.members() for replica in (a, first, second)} == {names}
        lines = [record.getMessage() for record in caplog.records if "another process" in record.getMessage()]
        (line,) = lines
        assert line == (
            f"another process is called b too (Lease ns/signers-b), so this one goes on as {names[2]}: give each replica "
            "an --identity of its own"
        )
        await first.end()
        await asyncio.sleep(0.1)
        assert a.seen() == second.seen() == "ab"
        await second.end()
        await asyncio.sleep(0.1)
        assert set(server.objects) == {"signers-a"}


@virtual_time
async def test_started_again() -> None:
    """A process that comes after one of its name was killed is a member at once, under that name."""
    async with replicas("a", "b") as (server, (a, b)):
        b.kill()
        again = Replica(server, "b")
        await asyncio.sleep(0.5)
        assert server.objects["signers-b"]["metadata"]["annotations"] == {
            "mesh-signer.dev/process": again.members._own.process
        }
        await asyncio.sleep(60)
        assert (a.seen(), again.seen(), again.members.identity) == ("ab", "ab", "b")
        await again.end()


@virtual_time
async def test_unable(caplog: pytest.LogCaptureFixture) -> None:
    """A replica that cannot work leaves its part to the others until it can; alone it stays what it is."""
    async with replicas("a", "b") as (server, (a, b)):
        b.able = False
        await asyncio.sleep(DURATION / 2)
        assert (a.seen(), b.seen(), set(server.objects)) == ("a", "a", {"signers-a"})
        await asyncio.sleep(60)
        assert (a.seen(), b.seen()) == ("a", "a")
        await a.end()
        await asyncio.sleep(1)
        assert b.seen() == "b"
        b.able = True
        await asyncio.sleep(DURATION / 2)
        assert set(server.objects) == {"signers-b"}
        told = [record.getMessage() for record in caplog.records if "this replica" in record.getMessage()]
        assert told == ["this replica cannot work: the others take its part until it can", "this replica works again"]
