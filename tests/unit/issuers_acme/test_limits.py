"""A CA's rate limits, kept before it is asked."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.limits import (
    Asking,
    Bucket,
    Granted,
    Held,
    Key,
    Limits,
    State,
    ask,
    count_failures,
    forget_full,
    give_back,
    remaining,
)

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
WIDE = Limits(same_set=Bucket(10**6, HOUR))


def spend(
    limits: Limits,
    state: State,
    count: int,
    *,
    renewal: bool = False,
    namespace: str = "a",
    at: dt.datetime = NOW,
    key: str = "s",
) -> tuple[State, int, Held | None]:
    """Ask so many times; the state, how often it was granted, and the first refusal."""
    granted, held = 0, None
    for _ in range(count):
        found = ask(limits, state, Asking("le", namespace, key, ("x.example",), renewal), at)
        if isinstance(found, Granted):
            state, granted = found.state, granted + 1
        elif held is None:
            held = found
    return state, granted, held


def test_a_third_is_for_renewals() -> None:
    """New orders of one namespace end at two thirds of its share, and renewals may have all of it."""
    state, granted, held = spend(WIDE, {}, 150)
    assert granted == 66
    assert held is not None
    assert (held.limit, held.subject) == ("namespace", "a")
    state, granted, _ = spend(WIDE, state, 150, renewal=True)
    assert granted == 34


def test_one_namespace_leaves_room_for_others() -> None:
    """A namespace that spent its share stops nobody else; all together end at two thirds of the account's limit."""
    state: State = {}
    for namespace in "abc":
        state, granted, _ = spend(WIDE, state, 150, namespace=namespace)
        assert granted == 66
    state, granted, held = spend(WIDE, state, 150, namespace="d")
    assert granted == 2
    assert held is not None
    assert held.limit == "orders"
    assert spend(WIDE, state, 150, namespace="d", renewal=True)[1] == 98


def test_the_same_names() -> None:
    """The same set of names is ordered three times a week, and five times with renewals: 5 per week is Let's Encrypt's."""
    state, granted, held = spend(Limits(), {}, 9)
    assert granted == 3
    assert held is not None
    assert held.limit == "same_set"
    assert spend(Limits(), state, 9, renewal=True)[1] == 2
    assert spend(Limits(), state, 1, key="other")[1] == 1


def test_until() -> None:
    """When it is held back, the named instant is when it is granted, and not a second before."""
    state, _, held = spend(Limits(), {}, 9)
    assert held is not None
    assert isinstance(ask(Limits(), state, Asking("le", "a", "s", ()), held.until), Granted)
    assert isinstance(ask(Limits(), state, Asking("le", "a", "s", ()), held.until - dt.timedelta(seconds=1)), Held)


def test_failing_names() -> None:
    """A name that failed five times within an hour is not ordered before the fifth part of it has passed."""
    state: State = {}
    for _ in range(5):
        state = count_failures(Limits(), state, "le", "a", ["x.example"], NOW)
    held = ask(Limits(), state, Asking("le", "a", "s", ("y.example", "x.example")), NOW)
    assert held == Held("failures", "x.example", NOW + HOUR / 5)
    assert isinstance(ask(Limits(), state, Asking("le", "a", "s", ("y.example",)), NOW), Granted)


def test_a_failing_namespace() -> None:
    """A namespace whose many names fail is paused, and its neighbours are not."""
    state: State = {}
    for number in range(30):
        state = count_failures(Limits(), state, "le", "a", [f"n{number}.example"], NOW)
    held = ask(Limits(), state, Asking("le", "a", "s", ("new.example",)), NOW)
    assert isinstance(held, Held)
    assert (held.limit, held.subject) == ("namespace_failures", "a")
    assert isinstance(ask(Limits(), state, Asking("le", "b", "s", ("new.example",)), NOW), Granted)


def test_other_issuers() -> None:
    """Each issuer's account has buckets of its own."""
    state, _, _ = spend(Limits(), {}, 9)
    assert isinstance(ask(Limits(), state, Asking("other", "a", "s", ()), NOW), Granted)


def test_what_is_held_costs_nothing() -> None:
    """A refusal takes no token, from no bucket."""
    state, _, _ = spend(Limits(), {}, 3)
    before = remaining(Limits(), state, Key("le", "orders"), NOW)
    same, _, held = spend(Limits(), state, 5)
    assert held is not None
    assert same == state
    assert remaining(Limits(), same, Key("le", "orders"), NOW) == before == 297


def test_what_did_not_come_about_costs_nothing() -> None:
    """A CA that refuses or is away for long spends no bucket: each try is given back, and never more than it took."""
    asking = Asking("le", "a", "s", ("x.example",))
    state, _, _ = spend(Limits(), {}, 1)
    before = state
    for _ in range(50):
        granted = ask(Limits(), state, asking, NOW)
        assert isinstance(granted, Granted)
        state = give_back(Limits(), granted.state, asking, NOW)
    assert state == before
    assert remaining(Limits(), give_back(Limits(), state, asking, NOW + HOUR), Key("le", "orders"), NOW + HOUR) == 300


def test_full_buckets_are_forgotten() -> None:
    """What is full again is not kept, and what is not full stays."""
    state, _, _ = spend(Limits(), {}, 1)
    assert set(forget_full(Limits(), state, NOW)) < set(state)
    assert {key.limit for key in forget_full(Limits(), state, NOW + HOUR)} == {"same_set"}
    assert not forget_full(Limits(), state, NOW + 200 * HOUR)


def test_a_clock_that_goes_back() -> None:
    """A clock that goes back and forth again fills no bucket."""
    limits = Limits(Bucket(9, HOUR), WIDE.namespace, WIDE.same_set)
    state, granted, _ = spend(limits, {}, 2)
    for at in (NOW - HOUR, NOW, NOW - HOUR, NOW):
        state, more, _ = spend(limits, state, 1, at=at)
        granted += more
    assert granted == 6
    assert remaining(limits, state, Key("le", "orders"), NOW) == 3


STEPS = st.lists(st.tuples(st.integers(-7200, 7200), st.booleans(), st.sampled_from("ab")), max_size=60)


@given(STEPS)
def test_never_more_than_the_limit(steps: list[tuple[int, bool, str]]) -> None:
    """Whatever is asked and however the clock jumps, no more is granted than the bucket and what time has filled in."""
    limits = Limits(Bucket(5, HOUR), Bucket(4, HOUR), Bucket(10**6, HOUR))
    state: State = {}
    now = latest = NOW
    state, granted, _ = spend(limits, state, 1)
    for seconds, renewal, namespace in steps:
        now += dt.timedelta(seconds=seconds)
        latest = max(latest, now)
        state, got, _ = spend(limits, state, 1, renewal=renewal, namespace=namespace, at=now)
        granted += got
        assert remaining(limits, state, Key("le", "orders"), now) >= -1e-9
    assert granted <= 5 + 5 * ((latest - NOW) / HOUR) + 1e-6
