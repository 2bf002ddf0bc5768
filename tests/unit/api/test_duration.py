"""Durations are read and written exactly as Go does, since cert-manager's API is made of Go's durations."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.duration import InvalidDuration, format_duration, parse_duration, parse_duration_ns

# (text, nanoseconds, what Go prints): made with Go 1.26's time.ParseDuration and Duration.String.
GO = [
    ("0", 0, "0s"),
    ("-0", 0, "0s"),
    ("+0", 0, "0s"),
    ("000s", 0, "0s"),
    ("0h0m0s", 0, "0s"),
    ("5s", 5_000_000_000, "5s"),
    ("1478s", 1_478_000_000_000, "24m38s"),
    ("-5s", -5_000_000_000, "-5s"),
    ("+5s", 5_000_000_000, "5s"),
    ("5.0s", 5_000_000_000, "5s"),
    ("5.6s", 5_600_000_000, "5.6s"),
    ("5.s", 5_000_000_000, "5s"),
    (".5s", 500_000_000, "500ms"),
    ("-.5m", -30_000_000_000, "-30s"),
    ("1.0040s", 1_004_000_000, "1.004s"),
    ("100.00100s", 100_001_000_000, "1m40.001s"),
    ("10ns", 10, "10ns"),
    ("11us", 11_000, "11µs"),
    ("12\u00b5s", 12_000, "12µs"),
    ("12\u03bcs", 12_000, "12µs"),
    ("13ms", 13_000_000, "13ms"),
    ("15m", 900_000_000_000, "15m0s"),
    ("16h", 57_600_000_000_000, "16h0m0s"),
    ("1h1h", 7_200_000_000_000, "2h0m0s"),
    ("10.5s4m", 250_500_000_000, "4m10.5s"),
    ("-2m3.4s", -123_400_000_000, "-2m3.4s"),
    ("1h2m3s4ms5us6ns", 3_723_004_005_006, "1h2m3.004005006s"),
    ("39h9m14.425s", 140_954_425_000_000, "39h9m14.425s"),
    ("52763797000ns", 52_763_797_000, "52.763797s"),
    ("0.0000000001s", 0, "0s"),
    ("1.9999999999s", 1_999_999_999, "1.999999999s"),
    ("0.3333333333333333333h", 1_200_000_000_000, "20m0s"),
    ("0.100000000000000000000h", 360_000_000_000, "6m0s"),
    ("0.830103483285477580700h", 2_988_372_539_827, "49m48.372539827s"),
    ("0.9223372036854775807h", 3_320_413_933_267, "55m20.413933267s"),
    ("9007199254740993ns", 9_007_199_254_740_993, "2501h59m59.254740993s"),
    ("9223372036854775807ns", (1 << 63) - 1, "2562047h47m16.854775807s"),
    ("9223372036854775.807us", (1 << 63) - 1, "2562047h47m16.854775807s"),
    ("9223372036s854ms775us807ns", (1 << 63) - 1, "2562047h47m16.854775807s"),
    ("-9223372036854775808ns", -(1 << 63), "-2562047h47m16.854775808s"),
    ("2160h", 7_776_000_000_000_000, "2160h0m0s"),
    ("8760h0m0s", 31_536_000_000_000_000, "8760h0m0s"),
    ("0" * 100 + "1s", 1_000_000_000, "1s"),
]

REFUSED = [
    "",
    "3",
    "00",
    "-",
    "+",
    "s",
    ".",
    "-.",
    ".s",
    "+.s",
    "1d",
    "1w",
    " 5s",
    "5s ",
    "5 s",
    "5s\n",
    "--5s",
    "+-5s",
    "1h-5m",
    "5S",
    "5H",
    "1_0s",
    "1e3s",
    "0x5s",
    "\u0663s",
    "\u221eh",
    "5\u00b5",
    "1.1.1s",
    "1..s",
    "9223372036854775808ns",
    "9223372036854775.808us",
    "9223372036854ms775us808ns",
    "-9223372036854775809ns",
    "3000000h",
    "9" * 30 + "h",
]


@pytest.mark.parametrize(("text", "nanoseconds", "_shown"), GO)
def test_read_as_go_reads(text: str, nanoseconds: int, _shown: str) -> None:
    """Every spelling that Go takes gives Go's number of nanoseconds."""
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", REFUSED)
def test_refused_as_go_refuses(text: str) -> None:
    """What Go does not take we do not take either, and the message quotes it."""
    with pytest.raises(InvalidDuration, match="time: invalid duration") as caught:
        parse_duration_ns(text)
    assert repr(text) in str(caught.value)


def test_a_text_without_end_is_not_quoted() -> None:
    """A text of more than 128 characters is refused unread, with its length in place of itself."""
    with pytest.raises(InvalidDuration, match=r"^time: invalid duration of 1000000 characters$"):
        parse_duration("9" * 1_000_000)


@pytest.mark.parametrize(("text", "nanoseconds", "shown"), GO)
def test_written_as_go_writes(text: str, nanoseconds: int, shown: str) -> None:
    """A duration of whole microseconds is written as Go's String writes it."""
    if nanoseconds % 1000:
        assert parse_duration(text) == timedelta(microseconds=nanoseconds // 1000)
    else:
        assert format_duration(timedelta(microseconds=nanoseconds // 1000)) == shown


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_round_trip(duration: timedelta) -> None:
    """What is written is read back as the same duration."""
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="0123456789.+-nsuµmh \n\u0663", max_size=40))
def test_never_anything_but_its_own_error(text: str) -> None:
    """Any text is either a duration that fits 64 bits of nanoseconds, or InvalidDuration."""
    try:
        nanoseconds = parse_duration_ns(text)
    except InvalidDuration:
        return
    assert -(1 << 63) <= nanoseconds < 1 << 63
