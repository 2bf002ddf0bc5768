"""The wall clock, for whoever is not given another: dates in objects, and times that are compared with them.

What measures how long something takes uses the monotonic clock instead. A function that decides takes the time as an
argument. Safe everywhere.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
