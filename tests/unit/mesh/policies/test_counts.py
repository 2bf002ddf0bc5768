"""What several processes count by SignerPolicy comes together in its status: nothing twice, and few writes."""

import asyncio
from typing import Any, cast

import pytest

from signer.api.meta import ObjectMeta
from signer.api.signerpolicy import SignerPolicy
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, Unreachable
from signer.mesh.policies.counts import PolicyCounts
from signer.tenancy.tally import Counts, Tally
from tests.fakes.virtual_time import virtual_time


class Store:
    """One SignerPolicy as the API server keeps it. `fault` comes instead of the next answer, `stored` in spite of it."""

    def __init__(self) -> None:
        self.version = 1
        self.status: dict[str, int] = {}
        self.writes = 0
        self.fault: Exception | None = None
        self.stored = False

    def policies(self) -> dict[str, SignerPolicy]:
        metadata = ObjectMeta(name="p", uid="u", resource_version=str(self.version))
        return {"p": SignerPolicy(metadata=metadata, raw_status=dict(self.status))}

    async def patch(self, _resource: object, name: str, body: dict[str, Any], *, subresource: str) -> None:
        assert (name, subresource, body["metadata"]["uid"]) == ("p", "status", "u")
        fault, self.fault = self.fault, None
        if fault is None and body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "changed")
        if fault is None or self.stored:
            self.writes += 1
            self.version += 1
            self.status |= body["status"]
        if fault is not None:
            raise fault

    def counts(self, tally: Tally) -> PolicyCounts:
        return PolicyCounts(cast(ApiClient, self), tally, self.policies)


async def test_the_sum_of_all_replicas() -> None:
    """Each replica adds what it counted to what is there."""
    store, one, two = Store(), Tally(), Tally()
    one.issued("p")
    one.issued("p")
    two.issued("p")
    two.refused(["p"])
    await store.counts(one).write()
    await store.counts(two).write()
    assert store.status == {"issued": 3, "refused": 1}


async def test_two_at_once() -> None:
    """A replica that saw an older status overwrites nothing: it adds again when the watch has told it of the newer one."""
    store, tally = Store(), Tally()
    tally.issued("p")
    old = store.policies()
    store.version, store.status = 2, {"issued": 7}
    await PolicyCounts(cast(ApiClient, store), tally, lambda: old).write()
    assert store.status == {"issued": 7}
    await store.counts(tally).write()
    assert store.status == {"issued": 8, "refused": 0}


async def test_nothing_to_tell_is_no_write() -> None:
    """What was written is not written again, and what was never counted costs no write."""
    store, tally = Store(), Tally()
    tally.issued("")
    counts = store.counts(tally)
    await counts.write()
    assert store.writes == 0
    tally.issued("p")
    await counts.write()
    await counts.write()
    assert store.writes == 1


async def test_an_unknown_outcome() -> None:
    """A write without an answer counts once, whether it was stored or not; what was counted since is added."""
    for stored in (True, False):
        store, tally = Store(), Tally()
        counts = store.counts(tally)
        tally.issued("p")
        store.fault, store.stored = Unreachable("no answer"), stored
        await counts.write()
        tally.issued("p")
        for _ in range(3):
            await counts.write()
        assert store.status["issued"] == 2
        assert tally.waiting() == ()


async def test_an_unknown_outcome_and_a_watch_that_is_late() -> None:
    """While the watch has not told whether a write was stored, it is sent again as it was, and never counts twice."""
    store, tally = Store(), Tally()
    late = store.policies()
    seen = late
    counts = PolicyCounts(cast(ApiClient, store), tally, lambda: seen)
    tally.issued("p")
    store.fault, store.stored = Unreachable("no answer"), True
    await counts.write()
    tally.issued("p")
    for fault in (Unreachable("again"), None, None):
        store.fault, store.stored = fault, False
        await counts.write()
    assert store.status["issued"] == 1
    seen = store.policies()
    await counts.write()
    await counts.write()
    assert store.status["issued"] == 2


async def test_a_refused_write_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Counts that may not be written wait, and that is told once."""
    store, tally = Store(), Tally()
    counts = store.counts(tally)
    tally.issued("p")
    for _ in range(3):
        store.fault, store.stored = ApiError(403, "Forbidden", "no"), False
        await counts.write()
    assert caplog.text.count("its counts could not be written") == 1
    await counts.write()
    assert store.status["issued"] == 1


async def test_a_policy_that_is_gone() -> None:
    """What was counted for a policy that is there no more is forgotten."""
    store, tally = Store(), Tally()
    tally.refused(["gone"])
    await store.counts(tally).write()
    assert (tally.waiting(), store.writes) == ((), 0)


@virtual_time
async def test_few_writes() -> None:
    """However much is issued, a process writes a policy's status once in half a minute."""
    store, tally = Store(), Tally()
    running = asyncio.create_task(store.counts(tally).run())
    for _ in range(610):
        tally.issued("p")
        await asyncio.sleep(0.1)
    running.cancel()
    assert store.writes == 2
    assert 500 < store.status["issued"] <= 610


def test_what_is_counted_while_it_is_written() -> None:
    """A tally keeps what came while a write was under way."""
    tally = Tally()
    tally.issued("p")
    ((name, counts),) = tally.waiting()
    tally.issued("p")
    tally.refused(["p"])
    tally.settle(name, counts)
    assert tally.waiting() == (("p", Counts(1, 1)),)
