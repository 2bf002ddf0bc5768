"""The rate of an EdgePolicy: new certificates of a namespace in a time; renewals do not count."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from signer.edge.orders.history import HeldByRate, History, ask_rates
from signer.tenancy.world import Rate

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
TWO = ("shop", Rate(2, HOUR))


def made(*minutes: int, policy: str = "shop", renewal: bool = False) -> list[History]:
    """One set for each order, so many minutes ago."""
    return [
        History(f"s{one}", "a").ordered(NOW - dt.timedelta(minutes=ago), [policy], renewal=renewal)
        for one, ago in enumerate(minutes)
    ]


def test_held_until_the_window_has_room() -> None:
    """The third in an hour waits until the first of the two is an hour old, and says so."""
    held = ask_rates([TWO], made(50, 10), NOW)
    assert held == HeldByRate("shop", Rate(2, HOUR), NOW + dt.timedelta(minutes=10))
    text = held.text("foo")
    assert "2 new certificates in 1h" in text
    assert "2026-11-23T12:10:00Z" in text
    assert "foo" in text


def test_within() -> None:
    """What is older than the time, of other policies, or a renewal does not count."""
    assert ask_rates([TWO], made(61, 10), NOW) is None
    assert ask_rates([TWO], made(5, 10, 20, policy="other"), NOW) is None
    assert ask_rates([TWO], made(5, 10, 20, renewal=True), NOW) is None
    assert ask_rates([], made(5, 10, 20), NOW) is None


def test_the_longest_counts() -> None:
    """Of several policies that hold it back, the one that does so longest is told."""
    histories = [*made(10, 20), *made(10, policy="all")]
    held = ask_rates([TWO, ("all", Rate(1, 5 * HOUR))], histories, NOW)
    assert isinstance(held, HeldByRate)
    assert held.policy == "all"


@given(st.lists(st.integers(0, 120), max_size=20), st.integers(1, 5))
def test_never_more_than_the_rate(ago: list[int], most: int) -> None:
    """Whoever orders whenever it is let has at most so many orders in any hour."""
    histories: list[History] = []
    times = []
    for minute in sorted(ago):
        now = NOW + dt.timedelta(minutes=minute)
        if ask_rates([("shop", Rate(most, HOUR))], histories, now) is None:
            times.append(now)
            histories.append(History(f"s{len(times)}", "a").ordered(now, ["shop"], renewal=False))
    for one in times:
        assert sum(1 for other in times if one - HOUR < other <= one) <= most
