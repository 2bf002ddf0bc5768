"""Go's duration text ("2160h", "1h30m", "-1.5s"), which Kubernetes objects carry. Pure.

Own code: no maintained library reads this grammar exactly (signs, fractions, "µs"), and what cert-manager refuses we
must refuse too. Source: Go's time.ParseDuration and time.Duration.String.
"""

import re
from datetime import timedelta

NO_LONGER_UNIT = "there is no unit longer than an hour, and 90 days are 2160h"
"""What is said of durations with days and longer units wherever one is written: in CRDs, policies and Certificates."""

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONG_UNIT = re.compile(r"([0-9]{1,7}) ?(d|days?|w|weeks?|y|years?)", re.ASCII | re.IGNORECASE)
_LIMIT = 1 << 63
_MAX_TEXT = 128


class InvalidDuration(ValueError):
    """The text is not a duration in Go's grammar, or is out of the range of 64 bits of nanoseconds."""


def parse_duration_ns(text: str) -> int:
    """Read Go's duration text; nanoseconds. Raises InvalidDuration."""
    if len(text) > _MAX_TEXT:
        raise InvalidDuration(f"time: invalid duration of {len(text)} characters")
    rest, negative = text, False
    if rest[:1] in {"-", "+"}:
        negative, rest = rest[0] == "-", rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise _invalid(text)
        unit = _UNITS[part[3]]
        total += int(part[1] or 0) * unit
        if part[2]:
            total += _fraction(part[2], unit)
        if total > _LIMIT - (not negative):
            raise InvalidDuration(f"time: invalid duration {text!r}; the longest is 2562047h (292 years)")
        position = part.end()
    return -total if negative else total


def _invalid(text: str) -> InvalidDuration:
    """Say how to write what people mean by days, weeks and years, which Go's grammar has no units for."""
    match = _LONG_UNIT.fullmatch(text)
    if match is None:
        return InvalidDuration(
            f"time: invalid duration {text!r}; write hours, minutes and seconds, such as 2160h or 1h30m"
        )
    hours = int(match[1]) * {"d": 24, "w": 7 * 24, "y": 365 * 24}[match[2][0].lower()]
    return InvalidDuration(f"time: invalid duration {text!r}; write {hours}h: there is no unit longer than an hour")


def _fraction(digits: str, unit: int) -> int:
    """Read what stands behind the point as Go does: digits beyond 63 bits are dropped, the product is a float's."""
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if value > (_LIMIT - 1) // 10 or longer > _LIMIT:
            break
        value, scale = longer, scale * 10
    return int(value * (unit / scale))


def parse_duration(text: str) -> timedelta:
    """Read Go's duration text, cut to whole microseconds. Raises InvalidDuration."""
    nanoseconds = parse_duration_ns(text)
    return timedelta(microseconds=nanoseconds // 1_000)


def format_duration(duration: timedelta) -> str:
    """Write a duration as Go does: 1h30m0s, 1.5s, 0s. Microseconds are the smallest unit here."""
    microseconds = duration // timedelta(microseconds=1)
    if microseconds == 0:
        return "0s"
    sign, microseconds = ("-" if microseconds < 0 else ""), abs(microseconds)
    if microseconds < 1_000:
        return f"{sign}{microseconds}µs"
    if microseconds < 1_000_000:
        return f"{sign}{_decimal(microseconds, 1_000)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(scale)) - 1}d}".rstrip("0")
