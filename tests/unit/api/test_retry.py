"""When an owner's word ends a pause, and that it ends no other."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import to_rfc3339
from signer.api.retry import RETRY, ends_pause, retry_time

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TIMES = st.integers(-100_000, 100_000).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(TIMES, st.lists(TIMES, min_size=1, max_size=6))
def test_once(asked: datetime, failures: list[datetime]) -> None:
    """A time ends pauses after failures before it only, and never before it has come: so one word ends one pause."""
    ended = [one for one in failures if ends_pause(asked, one, NOW)]
    assert all(one < asked <= NOW for one in ended)
    assert not ends_pause(asked, NOW, NOW)
    assert not ends_pause(None, failures[0], NOW)
    assert not ends_pause(asked, None, NOW)


@given(TIMES)
def test_what_is_written(moment: datetime) -> None:
    """What the command writes is read as that time."""
    assert retry_time({RETRY: to_rfc3339(moment)}) == moment


@given(st.one_of(st.text(), st.integers(), st.none(), st.just("2026-11-30T12:00:00Z" + " " * 5000)))
def test_anything_else(text: Any) -> None:
    """Whatever is written there: a time, or nothing."""
    found = retry_time({RETRY: text})
    assert found is None or found.tzinfo is not None
