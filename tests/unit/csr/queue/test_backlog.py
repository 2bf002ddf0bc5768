"""The backlog forgets nothing: a request is in one place, and leaves only when it is answered or deleted."""

import asyncio
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signer.csr.outcome import Answers
from signer.csr.queue.backlog import Backlog, Pending, Stage
from tests.examples import examples
from tests.fakes.virtual_time import VirtualLoop, virtual_time
from tests.unit.csr.crafted import FOO, SHOP, request

SECRET = ("cert-manager", "own-key")


class Made:
    """A backlog with some requests, and what it counts as waiting."""

    def __init__(self, count: int = 1) -> None:
        self.waiting: Counter[str] = Counter()
        self.backlog = Backlog(self._on_wait)
        self.all = [Pending(request(name=f"r{n}", uid=f"u{n}"), FOO, 0.0) for n in range(count)]
        for pending in self.all:
            self.backlog.add(pending)

    def _on_wait(self, reason: str, step: int) -> None:
        self.waiting[reason] += step

    def taken(self) -> list[str]:
        found = []
        while (pending := self.backlog.take()) is not None:
            found.append(pending.csr.name)
        return found


class TestTurns:
    def test_in_order(self) -> None:
        """Requests get their turn in the order in which they became ready, each once."""
        made = Made(3)
        for n in (2, 0, 1, 0, 2):
            made.backlog.make_ready(made.all[n])
        assert made.backlog.ready == 3
        assert made.taken() == ["r2", "r0", "r1"]
        assert made.backlog.ready == 0

    def test_taken_is_working(self) -> None:
        """A request that is being worked on stays in the backlog, in nobody's turn."""
        made = Made()
        made.backlog.make_ready(made.all[0])
        assert made.backlog.take() is made.all[0]
        assert made.all[0].stage is Stage.WORKING
        assert made.backlog.take() is None
        assert (len(made.backlog), made.backlog.get("u0")) == (1, made.all[0])

    def test_removed_while_ready(self) -> None:
        """A request that was deleted before its turn has none."""
        made = Made(2)
        for pending in made.all:
            made.backlog.make_ready(pending)
        assert made.backlog.remove("u0") is made.all[0]
        assert made.backlog.ready == 1
        assert made.taken() == ["r1"]
        assert made.backlog.get("u0") is None

    def test_removed_while_working(self) -> None:
        """A request that was deleted while it was worked on cannot come back."""
        made = Made()
        made.backlog.make_ready(made.all[0])
        made.backlog.take()
        made.backlog.remove("u0")
        made.backlog.make_ready(made.all[0])
        made.backlog.park(made.all[0], reason="Retry", seconds=1)
        assert made.backlog.ready == 0
        assert made.taken() == []
        assert len(made.backlog) == 0
        assert not +made.waiting

    def test_unknown(self) -> None:
        """Removing what is not there is no fault."""
        assert Made().backlog.remove("nobody") is None

    def test_wake(self) -> None:
        """`wake` tells whoever waits that a request became ready."""
        made = Made()
        assert not made.backlog.wake.is_set()
        made.backlog.make_ready(made.all[0])
        assert made.backlog.wake.is_set()


class TestWaiting:
    def test_issuer(self) -> None:
        """What waits for an issuer goes on when that issuer changes, and not when another does."""
        made = Made()
        made.backlog.park(made.all[0], reason="IssuerNotReady", issuer=FOO)
        made.backlog.issuer_changed(SHOP)
        assert (made.taken(), made.waiting["IssuerNotReady"]) == ([], 1)
        made.backlog.issuer_changed(FOO)
        assert (made.taken(), made.waiting["IssuerNotReady"]) == (["r0"], 0)

    def test_secret(self) -> None:
        """What waits for a Secret goes on when that Secret changes, and asks for its key anew."""
        made = Made()
        (pending,) = made.all
        pending.answers = Answers(may_reference=True, key="old")
        made.backlog.park(pending, reason="SecretNotFound", issuer=FOO, secret=SECRET)
        made.backlog.secret_changed("cert-manager", "other")
        assert made.taken() == []
        made.backlog.secret_changed(*SECRET)
        assert made.taken() == ["r0"]
        assert pending.answers == Answers(may_reference=True)

    @virtual_time
    async def test_time(self) -> None:
        """What was put aside for some seconds goes on after them."""
        made = Made()
        made.backlog.park(made.all[0], seconds=2.0)
        await asyncio.sleep(1.9)
        assert made.backlog.ready == 0
        await asyncio.sleep(0.2)
        assert made.taken() == ["r0"]

    @virtual_time
    async def test_whatever_comes_first(self) -> None:
        """An issuer's change ends the wait before the time does; the time then does nothing more."""
        made = Made()
        made.backlog.park(made.all[0], reason="IssuerNotReady", issuer=FOO, seconds=2.0)
        made.backlog.issuer_changed(FOO)
        assert made.taken() == ["r0"]
        await asyncio.sleep(5)
        assert made.taken() == []

    @virtual_time
    async def test_removed(self) -> None:
        """A request that was deleted while it waited is not waited for, counted or kept anywhere."""
        made = Made()
        made.backlog.park(made.all[0], reason="SecretNotFound", issuer=FOO, secret=SECRET, seconds=2.0)
        made.backlog.remove("u0")
        await asyncio.sleep(5)
        made.backlog.issuer_changed(FOO)
        made.backlog.secret_changed(*SECRET)
        assert made.taken() == []
        assert not +made.waiting
        assert not made.backlog._by_issuer
        assert not made.backlog._by_secret

    def test_parked_again(self) -> None:
        """A request that is put aside a second time waits for the second thing only."""
        made = Made()
        made.backlog.park(made.all[0], reason="IssuerNotFound", issuer=FOO)
        made.backlog.park(made.all[0], reason="SecretNotFound", secret=SECRET)
        assert +made.waiting == Counter({"SecretNotFound": 1})
        made.backlog.issuer_changed(FOO)
        assert made.taken() == []

    def test_out_of_turn(self) -> None:
        """A ready request that is put aside loses its turn."""
        made = Made()
        made.backlog.make_ready(made.all[0])
        made.backlog.park(made.all[0], issuer=FOO)
        assert (made.backlog.ready, made.taken()) == (0, [])

    def test_many_for_one(self) -> None:
        """All that wait for one issuer go on at once, in the order in which they began to wait."""
        made = Made(100)
        for pending in made.all:
            made.backlog.park(pending, reason="IssuerNotReady", issuer=FOO)
        assert made.waiting["IssuerNotReady"] == 100
        made.backlog.issuer_changed(FOO)
        assert made.taken() == [f"r{n}" for n in range(100)]
        assert made.waiting["IssuerNotReady"] == 0


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: every request is in exactly one place, and the counts are true."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.made = Made(0)
        self.live: dict[str, Pending] = {}
        self.number = 0

    def teardown(self) -> None:
        self.loop.close()

    async def _park(self, pending: Pending, kind: str) -> None:
        places = {
            "issuer": {"reason": "I", "issuer": FOO},
            "secret": {"reason": "S", "secret": SECRET},
            "both": {"reason": "B", "issuer": FOO, "secret": SECRET},
            "time": {"reason": "T", "seconds": 60.0},
            "silent": {"seconds": 60.0},
        }
        self.made.backlog.park(pending, **places[kind])  # type: ignore[arg-type]  # each row is park's own keywords

    @rule()
    def add(self) -> None:
        self.number += 1
        pending = Pending(request(name=f"r{self.number}", uid=f"u{self.number}"), FOO, 0.0)
        self.live[pending.csr.uid] = pending
        self.made.backlog.add(pending)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def make_ready(self, data: st.DataObject) -> None:
        self.made.backlog.make_ready(data.draw(st.sampled_from(list(self.live.values()))))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), kind=st.sampled_from(["issuer", "secret", "both", "time", "silent"]))
    def park(self, data: st.DataObject, kind: str) -> None:
        self.loop.run_until_complete(self._park(data.draw(st.sampled_from(list(self.live.values()))), kind))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(list(self.live)))
        assert self.made.backlog.remove(uid) is self.live.pop(uid)

    @rule()
    def take(self) -> None:
        ready = [pending for pending in self.live.values() if pending.stage is Stage.READY]
        taken = self.made.backlog.take()
        assert (taken in ready) if ready else taken is None

    @rule()
    def change(self) -> None:
        self.made.backlog.issuer_changed(FOO)
        self.made.backlog.secret_changed(*SECRET)

    @invariant()
    def one_place_each(self) -> None:
        backlog = self.made.backlog
        assert len(backlog) == len(self.live)
        assert backlog.ready == sum(pending.stage is Stage.READY for pending in self.live.values())
        parked = Counter(pending.waits_for for pending in self.live.values() if pending.waits_for)
        assert +self.made.waiting == parked
        assert all(pending.stage is Stage.PARKED for pending in self.live.values() if pending.waits_for)


TestAnyOrder = pytest.mark.filterwarnings("default::ResourceWarning")(AnyOrder.TestCase)
TestAnyOrder.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)
