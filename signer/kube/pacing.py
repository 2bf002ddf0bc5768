"""How soon something may be done again that follows itself without end: whatever makes it do so is slowed down.

A few times are free, as a person who edits needs them; then each pause is twice as long as the one before, up to an hour, and
half an hour of quiet starts anew. Used where two parties may undo each other: issuances (signer/certificates/pacing.py), CA
bundles (signer/injector).

Pure, but for the counts that `Pacing` keeps on the loop. They are for peace, not for safety: a new process begins with none.
"""

from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)

FREE = 3
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
QUIET = timedelta(minutes=30)


class Pace(msgspec.Struct, frozen=True):
    """Done so many times in a row, and the last time then."""

    made: int
    last: datetime


def noted(pace: Pace | None, now: datetime) -> Pace:
    """Count one more."""
    if pace is None or now - pace.last > max(QUIET, 2 * _pause(pace)):
        return Pace(1, now)
    return Pace(pace.made + 1, now)


def left(pace: Pace | None, now: datetime) -> timedelta:
    """How long the next one must still wait; zero when it need not. A clock that was put back does not prolong it."""
    if pace is None:
        return timedelta(0)
    return min(max(pace.last + _pause(pace) - now, timedelta(0)), _pause(pace))


def _pause(pace: Pace) -> timedelta:
    if pace.made <= FREE:
        return timedelta(0)
    # 2^9 times the first is beyond the longest; a larger exponent would only overflow.
    return min(FIRST_PAUSE * (1 << min(pace.made - FREE - 1, 9)), LONGEST_PAUSE)


class Pacing(Generic[K]):
    """The pace of each object, by its key."""

    def __init__(self) -> None:
        self._paces: dict[K, Pace] = {}

    def left(self, key: K, now: datetime) -> timedelta:
        """As `left`."""
        return left(self._paces.get(key), now)

    def note(self, key: K, now: datetime) -> None:
        """It was done."""
        self._paces[key] = noted(self._paces.get(key), now)

    def forget(self, key: K) -> None:
        """The object is gone."""
        self._paces.pop(key, None)
