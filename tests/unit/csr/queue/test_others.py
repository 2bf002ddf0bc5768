"""What is left to other replicas is found again when they are silent, however many replicas and requests there are."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from signer.csr.queue.others import Others
from signer.csr.queue.replica import PATIENCE, Sharing
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.crafted import request


class Group:
    """Replica "a" among others, and what it takes over: (uid, seconds since the start)."""

    def __init__(self, *others: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.members = ("a", *others)
        self.sharing = Sharing(lambda: "a", lambda: self.members, self.loop.time)
        self.taken: dict[str, float] = {}
        self.since: dict[str, float] = {}
        self.others = Others(self.sharing, self._take, self.loop.time)

    def _take(self, csr: object, since: float) -> None:
        uid = csr.uid  # type: ignore[attr-defined]
        assert uid not in self.taken
        self.taken[uid] = self.loop.time() - self.start
        self.since[uid] = since - self.start

    def leave(self, count: int, start: int = 0) -> list[str]:
        uids = [uid for n in range(start, start + count) if self.sharing.place(uid := f"u{n}").before]
        for uid in uids:
            assert self.others.leave(request(name=uid, uid=uid))
        return uids

    def of(self, owner: str, start: int = 0) -> str:
        return next(f"u{n}" for n in range(start, 10_000) if self.sharing.place(f"u{n}").owner == owner)


@virtual_time
async def test_ours_is_not_left() -> None:
    """What is ours is not left to anybody."""
    group = Group("b")
    assert not group.others.leave(request(uid=group.of("a")))
    assert len(group.others) == 0


@virtual_time
async def test_silence() -> None:
    """All that silent replicas leave is taken over, each once, within two seconds and a tenth, with the time that it has waited."""
    group = Group("b", "c")
    uids = group.leave(1000)
    await asyncio.sleep(0.5)
    more = group.leave(200, start=1000)
    await asyncio.sleep(0.45)
    assert group.taken == {}
    await asyncio.sleep(10)
    assert set(group.taken) == {*uids, *more}
    assert len(group.others) == 0
    for uid, at in group.taken.items():
        patience = PATIENCE * len(group.sharing.place(uid).before)
        assert patience <= at - group.since[uid] <= patience + 0.1 + 0.01
        assert group.since[uid] == (0.0 if uid in uids else 0.5)


@virtual_time
async def test_nothing_runs_when_nothing_is_left() -> None:
    """There is one timer while something is left to others, however much it is, and none when nothing is."""
    group = Group("b")
    uids = group.leave(500)

    def timers() -> int:
        return sum(not handle.cancelled() for handle in group.loop._scheduled)  # type: ignore[attr-defined]

    assert timers() == 1
    for uid in uids:
        group.others.gone(uid)
    await asyncio.sleep(0.2)
    assert timers() == 0


@virtual_time
async def test_a_newer_version() -> None:
    """A request that changes meanwhile keeps its time, and is taken over as it is then."""
    group = Group("b")
    uid = group.of("b")
    group.others.leave(request(uid=uid, version="7"))
    await asyncio.sleep(0.9)
    assert group.others.leave(request(uid=uid, version="8"))
    assert uid in group.others
    await asyncio.sleep(0.2)
    assert list(group.taken) == [uid]


@virtual_time
async def test_its_owner_leaves() -> None:
    """What belonged to a replica that is gone is ours in a tenth of a second; what is another's then is left to that one."""
    group = Group("b", "c")
    group.leave(100)
    await asyncio.sleep(0.3)
    group.members = ("a", "c")
    ours = {f"u{n}" for n in range(100) if not group.sharing.place(f"u{n}").before} - set(group.taken)
    await asyncio.sleep(0.15)
    assert set(group.taken) < ours
    assert group.taken
    assert all(group.sharing.place(uid).before == {"c"} for uid in group.others._left)


@virtual_time
async def test_the_owner_is_at_work() -> None:
    """As long as its owner answers, what is an owner's is left to it; one that is silent beside it does not matter."""
    group = Group("b", "c")
    mine = group.leave(60)
    for n in range(20):
        await asyncio.sleep(0.5)
        group.sharing.answered(group.of("b", start=n * 50), 0.1)
    left = [uid for uid in mine if uid in group.others]
    assert left
    assert all("b" in group.sharing.place(uid).before for uid in left)
    assert all("b" not in group.sharing.place(uid).before for uid in group.taken)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nothing_is_lost(data: st.DataObject) -> None:
    """Whoever comes, goes, answers or falls silent, each request that is not gone ends with us, or with a replica that lives."""

    @virtual_time
    async def story() -> None:
        group = Group("b", "c", "d")
        left: set[str] = set()
        for step in range(data.draw(st.integers(1, 15))):
            what = data.draw(st.sampled_from(["leave", "gone", "members", "sign", "wait"]))
            if what == "leave":
                left |= set(group.leave(5, start=step * 5))
            elif what == "gone" and left:
                uid = data.draw(st.sampled_from(sorted(left)))
                left.discard(uid)
                group.others.gone(uid)
                group.taken.pop(uid, None)
            elif what == "members":
                group.members = ("a", *sorted(data.draw(st.sets(st.sampled_from("bcdef"), max_size=4))))
            elif what == "sign":
                group.sharing.answered(f"u{data.draw(st.integers(0, 99))}", 0.1)
            else:
                await asyncio.sleep(data.draw(st.floats(0.01, 1.5)))
        await asyncio.sleep(3)
        assert set(group.taken) == left
        assert len(group.others) == 0

    story()
