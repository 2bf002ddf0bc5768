"""The one formula for pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.backoff import LONGEST_RETRY_AFTER, delay


def test_doubles_up_to_the_cap() -> None:
    """Pauses double from the first one and stop growing at the cap."""
    assert [delay(n, first=0.2, cap=5.0, random=lambda: 1.0) for n in range(1, 8)] == pytest.approx(
        [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    )


def test_nothing_failed() -> None:
    """Without a failure there is no pause."""
    assert delay(0, first=1.0, cap=5.0) == 0.0


def test_spread() -> None:
    """Replicas that fail together do not come back together."""
    assert delay(3, first=0.5, cap=300.0, random=lambda: 0.0) == 1.0
    assert delay(3, first=0.5, cap=300.0, random=lambda: 0.5) == 1.5


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter(attempt: int, dice: float) -> None:
    """Chance takes off at most half, and never adds; any number of failures is fine."""
    full = delay(attempt, first=0.5, cap=300.0, random=lambda: 1.0)
    assert full / 2 <= delay(attempt, first=0.5, cap=300.0, random=lambda: dice) <= full <= 300


def test_retry_after() -> None:
    """What the server asks for is the least pause, but only up to a bound; a longer pause of our own stays."""
    assert delay(1, first=0.2, cap=5.0, retry_after=7.0, random=lambda: 0.0) == 7.0
    assert 7.0 <= delay(1, first=0.2, cap=5.0, retry_after=7.0, random=lambda: 0.99) <= 7.7
    assert delay(9, first=1.0, cap=50.0, retry_after=7.0, random=lambda: 1.0) == 50.0
    assert delay(1, first=0.2, cap=5.0, retry_after=1e9, random=lambda: 0.0) == LONGEST_RETRY_AFTER
    assert delay(0, first=0.2, cap=5.0, retry_after=3.0, random=lambda: 0.0) == 3.0
    assert delay(1, first=0.2, cap=5.0, retry_after=-3.0, random=lambda: 1.0) == 0.2
