"""Which durations the API server's rules reckon with: all that are written so, and none that CEL cannot hold."""

import re
from datetime import timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from manifests.generate.certificate import _GO_DURATION
from manifests.generate.schema import WITHIN_DURATION
from signer.api.duration import InvalidDuration, format_duration, parse_duration_ns

UNITS = st.sampled_from(["ns", "us", "µs", "ms", "s", "m", "h"])
NUMBERS = st.from_regex(r"0{0,3}[0-9]{0,20}([.][0-9]{0,20})?", fullmatch=True) | st.sampled_from(
    ["2499999", "2500000", "2562047", "99999999", "999999999", "9999999", "9999", "999999999999999999"]
)
PARTS = st.lists(st.tuples(NUMBERS, UNITS).map("".join), min_size=1, max_size=9).map("".join)


@given(PARTS, st.sampled_from(["", "+", "-"]))
@example("2499999.999999h" + "9999.9h" * 6, "")
@example("999999999.9s" + "9999999.9s" * 6, "-")
def test_none_is_too_long_for_cel(text: str, sign: str) -> None:
    """What both rules take fits into 64 bits of nanoseconds, by which CEL's duration() fails or not."""
    text = sign + text
    if len(text) <= 128 and re.fullmatch(_GO_DURATION[1:-1], text) and re.fullmatch(WITHIN_DURATION[1:-1], text):
        parse_duration_ns(text)  # raises


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=2499999)))
def test_all_that_are_written_so_are_taken(duration: timedelta) -> None:
    """Every duration up to the one that the message names is taken, as Go writes it and in one number of one unit."""
    hours, minutes, seconds = (int(duration.total_seconds()) // size for size in (3600, 60, 1))
    for text in (format_duration(duration), f"{hours}h", f"{min(minutes, 99999999)}m", f"{min(seconds, 999999999)}s"):
        assert re.fullmatch(WITHIN_DURATION[1:-1], text), text
        assert re.fullmatch(_GO_DURATION[1:-1], text), text


@given(st.integers(min_value=2500000, max_value=10**30))
def test_what_is_too_long_is_found(hours: int) -> None:
    """Every number of hours above it is refused by that rule; our own reader says what it reads at most."""
    assert not re.fullmatch(WITHIN_DURATION[1:-1], f"{hours}h")
    if hours > 2562047:
        try:
            parse_duration_ns(f"{hours}h")
        except InvalidDuration as error:
            assert "the longest is 2562047h" in str(error)  # noqa: PT017
        else:
            raise AssertionError(hours)
