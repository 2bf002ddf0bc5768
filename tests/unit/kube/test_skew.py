"""A clock that is not the API server's is named, with the time of each."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.skew import TOLERATED, ClockSkew, skew_between, skew_of, told

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(st.integers(-(10**7), 10**7))
def test_any_skew(seconds: int) -> None:
    """More than a minute is told, in the right direction and with both times; less is not."""
    there = NOW - timedelta(seconds=seconds)
    skew = skew_of(format_datetime(there, usegmt=True), NOW)
    assert skew == timedelta(seconds=seconds)
    text = told(skew, NOW)
    assert bool(text) == (abs(skew) > TOLERATED)
    if text:
        assert ("ahead of" in text, "behind" in text) == (seconds > 0, seconds < 0)
        assert f"here it is {NOW:%Y-%m-%dT%H:%M:%SZ}, there {there:%Y-%m-%dT%H:%M:%SZ}" in text


@given(st.floats(-(10**7), 10**7), st.floats(0, 30), st.floats(0, 1))
def test_between(ahead: float, took: float, made: float) -> None:
    """What a whole second and the way of the answer explain is no skew; otherwise the least that it can be is told."""
    skew, way = timedelta(seconds=ahead), timedelta(seconds=took)
    there = (NOW + way * made - skew).replace(microsecond=0)
    found = skew_between(format_datetime(there, usegmt=True), NOW, NOW + way)
    assert found is not None
    assert abs(found) <= abs(skew)
    assert abs(skew - found) <= way + timedelta(seconds=1)


@given(st.text(max_size=60))
def test_any_date(date: str) -> None:
    """Whatever an answer has for a date, it breaks nothing."""
    skew_of(date, NOW)
    skew_between(date, NOW, NOW)


def test_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong clock is logged once in ten minutes, shown each time, and its end is told."""
    here, shown = [NOW], list[float]()
    caplog.set_level(logging.INFO)
    skew = ClockSkew(lambda: here[0], shown.append)
    for seconds in range(0, 601, 10):
        here[0] = NOW + timedelta(seconds=seconds)
        skew.seen(format_datetime(here[0] + timedelta(hours=1), usegmt=True))
        skew.seen(None)
    assert len(caplog.messages) == 2
    assert "the clock here is 1:00:00 behind the API server's" in caplog.messages[0]
    assert set(shown) == {-3600.0}
    here[0] += timedelta(seconds=10)
    skew.seen(format_datetime(here[0], usegmt=True))
    assert caplog.messages[-1].endswith("agree again")
