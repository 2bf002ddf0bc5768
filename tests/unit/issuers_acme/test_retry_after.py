"""Retry-After in both forms, in whichever time zone the machine is."""

import datetime as dt
import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.retry_after import parse

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@given(st.integers(0, 10**9 - 1))
def test_seconds(seconds: int) -> None:
    """Seconds count from now."""
    assert parse(f" {seconds} ", NOW) == NOW + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_dates(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """An HTTP date is UTC wherever we run."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse("Mon, 23 Nov 2026 14:00:00 GMT", NOW) == NOW + dt.timedelta(hours=2)
        assert parse("Mon, 23 Nov 2026 14:00:00 -0000", NOW) == NOW + dt.timedelta(hours=2)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_any_date(at: dt.datetime) -> None:
    """What is written as an HTTP date is read as the same second."""
    aware = at.replace(tzinfo=dt.UTC, microsecond=0)
    assert parse(email.utils.format_datetime(aware, usegmt=True), NOW) == aware


@given(st.text())
def test_nonsense(text: str) -> None:
    """Nonsense is not a time, and no error."""
    found = parse(text, NOW)
    assert found is None or found.tzinfo is not None


def test_none() -> None:
    """No header, no time; nor have negative, broken or unbounded numbers one."""
    assert [parse(one, NOW) for one in (None, "", "-5", "1.5", "9" * 40, "Fri, 31 Dec 9999 23:59:59 -1200")] == [
        None
    ] * 6
