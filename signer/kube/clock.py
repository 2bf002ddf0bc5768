"""The wall clock, for whoever is not given another: dates in objects, and times that are compared with them.

What measures how long something takes uses the monotonic clock instead. A function that decides takes the time as an
argument. Safe everywhere.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def to_milliseconds(moment: datetime) -> str:
    """Write a time (UTC) as logs and the audit log do: RFC 3339 with milliseconds and "Z"."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
