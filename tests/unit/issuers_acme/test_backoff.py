"""How long a CA is left alone after failures."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.backoff import DAILY, Attempts, after_failure
from issuers.acme.errors import Failure, Fatal, RateLimited, RetryLater

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
AGAIN = RetryLater("dns", "x")
MINUTE = dt.timedelta(minutes=1)


def test_steps() -> None:
    """1, 10, 100 minutes, then once a day."""
    found, waits = Attempts(), []
    for _ in range(6):
        found = after_failure(found, AGAIN, NOW, 0)
        assert found.not_before is not None
        waits.append((found.not_before - NOW) / MINUTE)
    assert waits == [1, 10, 100, 1440, 1440, 1440]
    assert found.failures == 6


def test_fatal_is_daily() -> None:
    """What only a person can mend is tried once a day from the first time on."""
    assert after_failure(Attempts(), Fatal("caa", "x"), NOW, 0).not_before == NOW + DAILY


def test_limits_are_no_failures() -> None:
    """Being rate-limited names its time and counts for nothing."""
    before = Attempts(2, NOW, "dns")
    until = NOW + 3 * DAILY
    assert after_failure(before, RateLimited("x", until), NOW, 0.9) == Attempts(2, until, "rateLimited")


def test_short_lives() -> None:
    """A certificate of 160 hours is not left alone for more than a twelfth of them."""
    found = after_failure(Attempts(9), AGAIN, NOW, 0, dt.timedelta(hours=160))
    assert found.not_before == NOW + dt.timedelta(hours=160) / 12


def test_the_cas_own_time() -> None:
    """A time that the CA named is waited for when it is later than ours."""
    late, soon = NOW + 2 * DAILY, NOW + dt.timedelta(seconds=1)
    assert after_failure(Attempts(), RetryLater("x", "x", late), NOW, 0).not_before == late
    assert after_failure(Attempts(), RetryLater("x", "x", soon), NOW, 0).not_before == NOW + MINUTE


def test_may_try() -> None:
    """Nothing that failed may try before its time, and may at its time."""
    assert Attempts().may_try(NOW)
    assert not Attempts(1, NOW + MINUTE).may_try(NOW)
    assert Attempts(1, NOW).may_try(NOW)


FAILURES = st.sampled_from([AGAIN, Fatal("caa", "x")])


@given(st.lists(FAILURES, min_size=1, max_size=20), st.floats(0, 1, exclude_max=True))
def test_bounds(failures: list[Failure], fraction: float) -> None:
    """A wait is at least a minute and at most a tenth more than a day; each failure is counted once."""
    found = Attempts()
    for one in failures:
        found = after_failure(found, one, NOW, fraction)
        assert found.not_before is not None
        assert MINUTE <= found.not_before - NOW <= 1.1 * DAILY
    assert found.failures == len(failures)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.99])
def test_spread(fraction: float) -> None:
    """The random part is a tenth at most, and only later."""
    found = after_failure(Attempts(3), AGAIN, NOW, fraction)
    assert found.not_before == NOW + DAILY * (1 + 0.1 * fraction)
