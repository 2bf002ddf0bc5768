"""The steps of one Challenge, and whose turn it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.challenge import FINALIZER
from signer.edge.challenges.schedule import scheduled
from signer.edge.challenges.step import LONGEST_INTERVAL, PASSES, Checks, Do, Step, challenge_step, interval, waited
from tests.unit.edge.issuance import challenge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GOING: Any = {"deletionTimestamp": "2026-06-01T12:00:00Z"}
NONE = Checks()
READY = Checks(passes=PASSES, last=NOW)


def step(status: Any, checks: Checks = NONE, **more: Any) -> Step:
    return challenge_step(challenge(status=status, **more), (FINALIZER,), checks, NOW)


@pytest.mark.parametrize(
    ("status", "checks", "do"),
    [
        (None, Checks(), Do.AWAIT_TURN),
        ({"processing": True}, Checks(), Do.SYNC),
        ({"processing": True, "state": "pending"}, Checks(), Do.PRESENT),
        ({"processing": True, "state": "pending", "presented": True}, Checks(), Do.SELF_CHECK),
        ({"processing": True, "state": "pending", "presented": True}, Checks(passes=PASSES - 1), Do.SELF_CHECK),
        ({"processing": True, "state": "pending", "presented": True}, READY, Do.ACCEPT),
        ({"processing": True, "state": "processing", "presented": True}, READY, Do.POLL),
        ({"processing": True, "state": "valid", "presented": True}, Checks(), Do.CLEAN_UP),
        ({"processing": True, "state": "invalid", "presented": True}, Checks(), Do.CLEAN_UP),
        ({"processing": True, "state": "valid"}, Checks(), Do.CLEAN_UP),
        ({"state": "valid"}, Checks(), Do.NOTHING),
        ({"state": "expired", "presented": True}, Checks(), Do.CLEAN_UP),
    ],
)
def test_steps(status: Any, checks: Checks, do: Do) -> None:
    """Each stored state has its next step."""
    assert step(status, checks).do is do


@pytest.mark.parametrize(
    ("status", "do"),
    [
        (None, Do.RELEASE),
        ({"processing": True, "state": "pending"}, Do.RELEASE),
        ({"processing": True, "state": "pending", "presented": True}, Do.CLEAN_UP),
        ({"state": "valid"}, Do.RELEASE),
    ],
)
def test_deleted(status: Any, do: Do) -> None:
    """One that is being deleted is cleaned up and let go, in whatever state it is, and never accepted."""
    assert step(status, READY, **GOING).do is do


def test_let_go_once() -> None:
    """Without our finalizer there is nothing left to do."""
    assert challenge_step(challenge(**GOING), (), Checks(), NOW).do is Do.NOTHING


def test_not_before_the_answer_is_seen() -> None:
    """The CA is not told before the answer was seen several times in a row."""
    presented = {"processing": True, "state": "pending", "presented": True}
    for failures in (0, 1, 100):
        assert step(presented, Checks(failures=failures)).do is Do.SELF_CHECK


def test_intervals() -> None:
    """Self checks come each second at first, then less often, but at least twice a minute, for ever."""
    presented = {"processing": True, "state": "pending", "presented": True}
    assert step(presented, Checks(failures=1, last=NOW)).at == NOW + SECOND
    assert step(presented, Checks(failures=1, last=NOW - SECOND)).at is None
    assert interval(0) == SECOND
    assert interval(10**6) == LONGEST_INTERVAL
    assert all(interval(n) <= interval(n + 1) for n in range(20))
    # The clock was put back by a year.
    assert step(presented, Checks(failures=1, last=NOW + timedelta(days=365))).at is None


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("2026-06-01T11:59:30Z", 30 * SECOND),
        ("2026-06-01T13:00:00Z", 0 * SECOND),
        (None, 0 * SECOND),
        ("x", 0 * SECOND),
    ],
)
def test_waited(since: str | None, found: timedelta) -> None:
    """How long an answer has been in place is known from the object alone."""
    assert waited(challenge(status={"presentedAt": since}), NOW) == found


def queued(number: int, name: str = "", **more: Any) -> Any:
    spec = {"dnsName": name or f"h{number}.example.com", "type": more.pop("type", "HTTP-01")}
    return challenge(f"c{number:03}", spec=spec, **more)


class TestTurns:
    def test_so_many_at_once(self) -> None:
        """No more than the limit are worked on; those under way count."""
        waiting = [queued(number) for number in range(10)]
        running = [queued(number, status={"processing": True}) for number in range(10, 13)]
        assert len(scheduled([*waiting, *running], NOW, limit=5)) == 2
        assert scheduled([*waiting, *running], NOW, limit=3) == ()

    def test_the_oldest_first(self) -> None:
        """Whoever waits longest is next."""
        old = queued(7, creationTimestamp="2026-05-01T00:00:00Z")
        assert scheduled([queued(1), queued(2), old], NOW, limit=2) == (
            ("istio-system", "c007"),
            ("istio-system", "c001"),
        )

    def test_tenants_in_turn(self) -> None:
        """Nobody's thousand Challenges keep another's one waiting."""
        many = [queued(number, creationTimestamp="2026-01-01T00:00:00Z") for number in range(50)]
        late = queued(99, namespace="foo")
        assert ("foo", "c099") in scheduled([*many, late], NOW, limit=2)
        busy = [queued(number, status={"processing": True}) for number in range(50, 60)]
        assert scheduled([*many, *busy, late], NOW, limit=11) == (("foo", "c099"),)

    def test_names_that_do_not_resolve(self) -> None:
        """What has waited for minutes costs no place, but keeps its name."""
        patient = {"processing": True, "presented": True, "state": "pending", "presentedAt": "2026-06-01T11:00:00Z"}
        stuck = [queued(number, status=patient) for number in range(5)]
        assert scheduled([*stuck, queued(9)], NOW, limit=1) == (("istio-system", "c009"),)
        assert scheduled([*stuck, queued(9, "h1.example.com")], NOW, limit=1) == ()
        fresh = patient | {"presentedAt": "2026-06-01T11:59:00Z"}
        assert scheduled([queued(1, status=fresh), queued(9)], NOW, limit=1) == ()

    def test_one_for_each_name_and_kind(self) -> None:
        """One name is proven by one Challenge of a kind at a time, in whatever namespace and case."""
        twice = [queued(1, "a.example.com"), queued(2, "A.example.com", namespace="foo")]
        assert scheduled(twice, NOW) == (("foo", "c002"),)
        assert len(scheduled([queued(1, "a.example.com"), queued(2, "a.example.com", type="DNS-01")], NOW)) == 2
        assert (
            scheduled([queued(1, "a.example.com", status={"processing": True}), queued(2, "a.example.com")], NOW) == ()
        )

    def test_finished_ones_make_room(self) -> None:
        """What is finished holds no place, even before it is cleaned up."""
        finished = queued(1, "a.example.com", status={"processing": True, "state": "valid"})
        assert scheduled([finished, queued(2, "a.example.com")], NOW, limit=1) == (("istio-system", "c002"),)

    def test_those_that_go_begin_nothing(self) -> None:
        """One that is being deleted is not begun; one under way keeps its place until it is cleaned up."""
        assert scheduled([queued(1, **GOING)], NOW) == ()
        going = queued(1, "a.example.com", status={"processing": True, "presented": True}, **GOING)
        assert scheduled([going, queued(2, "a.example.com")], NOW) == ()

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from(["", "pending", "valid"])), max_size=20)
    )
    def test_never_two_for_one_name(self, rows: list[tuple[int, bool, str]]) -> None:
        """Whatever is queued and under way, the limit and the one place for each name are kept."""
        listed = [
            queued(number, f"h{name}.example.com", status={"processing": going, "state": state})
            for number, (name, going, state) in enumerate(rows)
        ]
        begun = scheduled(listed, NOW, limit=4)
        by_name = {one.metadata.name: one for one in listed}
        running = [one for one in listed if one.status.processing and one.status.state != "valid"]
        assert len(begun) <= max(4 - len(running), 0)
        places = [by_name[name].spec.dns_name for _, name in begun]
        assert len(set(places)) == len(places)
        assert not set(places) & {one.spec.dns_name for one in running}

    @pytest.mark.parametrize("first", ["name", "wildcard"])
    def test_what_is_written_by_people(self, first: str) -> None:
        """A host and its wildcard say at once which record each wants: whichever had the only turn would keep the other's unsaid.

        Nothing is written here for dns-persist-01, so there is nothing to fight for; of DNS-01 one is proven after the other.
        """
        for kind, turns in (("DNS-PERSIST-01", 2), ("DNS-01", 1)):
            both = [queued(1, "a.example.com", type=kind), queued(2, "a.example.com", type=kind)]
            running = queued(1 if first == "name" else 2, "a.example.com", type=kind, status={"processing": True})
            assert len(scheduled(both, NOW)) == turns
            assert len(scheduled([running, both[1 if first == "name" else 0]], NOW)) == turns - 1
