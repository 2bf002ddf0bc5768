"""How long requests take, in parts: an operator's slowness is not the signer's."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.csr.answers.writer import Written
from signer.csr.controller import Options
from signer.csr.queue.backlog import Backlog, Pending
from signer.tenancy.verdict import Limits
from signer.tenancy.world import Policy, Rate
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import Scene, running
from tests.unit.csr.crafted import FOO, FOO_SIGNER, ready, request
from tests.unit.tenancy.worlds import world

WAIT, WORK, WHOLE = "queue_wait_seconds", "signing_duration_seconds", "request_duration_seconds"


def took(scene: Scene, part: str) -> float | None:
    return scene.metric(f"{part}_sum", signer=FOO_SIGNER)


@st.composite
def _lives(draw: st.DrawFn) -> list[tuple[str, float]]:
    """What happens to a request, and how long each stage lasts: parked, ready, working, and from there any way on."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        parked = ("park", draw(st.integers(0, 1000)) / 8)
        found += [parked] if draw(st.booleans()) else []
        found += [("ready", draw(st.integers(0, 1000)) / 8), ("work", draw(st.integers(0, 1000)) / 8)]
    return found


@given(_lives(), st.integers(0, 1000))
def test_each_second_counts_once(life: list[tuple[str, float]], after: int) -> None:
    """Whatever a request went through, its turn and the work on it are counted each by itself, and waits in neither."""
    now = 1000.0
    backlog = Backlog(lambda _reason, _step: None, lambda: now)
    pending = Pending(request(), FOO, now)
    backlog.add(pending)
    for stage, seconds in life:
        if stage == "park":
            backlog.park(pending, reason="IssuerNotFound")
        elif stage == "ready":
            backlog.make_ready(pending)
        else:
            assert backlog.take() is pending
        now += seconds
    spent = {stage: sum(seconds for one, seconds in life if one == stage) for stage in ("ready", "work")}
    assert (pending.queued, pending.work(now)) == (spent["ready"], spent["work"])
    backlog.park(pending)
    now += after
    backlog.remove(pending.csr.uid)
    assert pending.work(now) == spent["work"]


def _no_issuer(scene: Scene) -> None:
    asyncio.get_running_loop().call_later(500, scene.registry.set, ready())


def _write_fails(scene: Scene) -> None:
    scene.writer.script += [Written("unknown", "away")] * 20


@pytest.mark.parametrize(
    ("issuer", "begin", "seconds"), [(False, _no_issuer, 500.0), (True, _write_fails, 20.0)], ids=["issuer", "writes"]
)
@virtual_time
async def test_what_it_waits_for(issuer: bool, begin: Callable[[Scene], None], seconds: float) -> None:
    """What a request waits for is in the whole time alone, whoever is to blame."""
    async with running(issuer=issuer) as scene:
        begin(scene)
        scene.put()
        await asyncio.sleep(1000)
        assert scene.metric(f"{WHOLE}_count", signer=FOO_SIGNER) == 1
        assert (took(scene, WHOLE) or 0) >= seconds
        assert took(scene, WAIT) == took(scene, WORK) == 0


@virtual_time
async def test_a_policys_rate() -> None:
    """A rate that an administrator has set makes nobody slow."""
    policy = Policy("team", frozenset({FOO}), namespaces=frozenset({"foo"}), rate=Rate(1, timedelta(minutes=1)))
    async with running(world=world(policies=(policy,))) as scene:
        scene.put_many(3)
        await asyncio.sleep(300)
        assert scene.metric(f"{WHOLE}_count", signer=FOO_SIGNER) == 3
        assert (took(scene, WHOLE) or 0) > 100
        assert took(scene, WAIT) == took(scene, WORK) == 0


@virtual_time
async def test_too_much_to_do() -> None:
    """A request behind others has waited for its turn, and the write of its answer is work on it."""
    async with running(options=Options("cert-manager", Limits(), write_window=1)) as scene:
        scene.writer.takes = 2.0
        scene.put_many(3)
        await asyncio.sleep(60)
        assert [took(scene, part) for part in (WAIT, WORK, WHOLE)] == [pytest.approx(n) for n in (6.0, 6.0, 12.0)]


@virtual_time
async def test_series_of_an_issuer_that_went() -> None:
    """The series of an issuer that is gone end, all three, though they were in use a moment ago."""
    async with running() as scene:
        scene.put()
        await asyncio.sleep(1)
        scene.registry.set(None)
        await asyncio.sleep(900)
        assert [took(scene, part) for part in (WAIT, WORK, WHOLE)] == [None, None, None]
