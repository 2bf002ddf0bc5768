"""Whether our clock and the API server's agree: by the Date of its answers. Used on the loop; one value, last told.

Certificates, Leases and the dates of CAs go by our clock, the rest of the cluster by the API server's. A clock that is wrong
looks like anything else: a CA that is not valid yet, requests from the future. So it is named as what it is.
Source: RFC 9110 section 6.6.1 (Date: to the second, when the answer was made).
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

log = logging.getLogger(__name__)

TOLERATED = timedelta(minutes=1)
"""Between two clocks: a Date is made while the answer is, and read when all of it has arrived."""
_SECOND = timedelta(seconds=1)
# Answers that are looked at, and warnings that are repeated, are so far apart.
_LOOKS = timedelta(seconds=10)
_AGAIN = timedelta(minutes=10)


def skew_of(date: str, now: datetime) -> timedelta | None:
    """Return how far `now` is ahead of an answer's Date; None where that cannot be read. Pure."""
    try:
        there = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return now - (there if there.tzinfo is not None else there.replace(tzinfo=UTC))


def skew_between(date: str, asked: datetime, answered: datetime) -> timedelta | None:
    """Return the least by which the clock here is ahead of an answer's Date, given when it was asked for and arrived.

    A Date is to the second, and made at some moment between the two: what that explains is no skew, so zero. Pure.
    """
    most = skew_of(date, answered)
    if most is None:
        return None
    least = most - (answered - asked) - _SECOND
    return max(least, min(most, timedelta(0)))


def told(skew: timedelta, now: datetime) -> str:
    """Say how two clocks differ, with the time of each; "" where they agree. Pure."""
    if abs(skew) <= TOLERATED:
        return ""
    way = "ahead of" if skew > timedelta(0) else "behind"
    seconds = timedelta(seconds=round(abs(skew).total_seconds()))
    return (
        f"the clock here is {seconds} {way} the API server's: here it is {now:%Y-%m-%dT%H:%M:%SZ}, there "
        f"{now - skew:%Y-%m-%dT%H:%M:%SZ}"
    )


class ClockSkew:
    """Takes the Date of answers; `show` gets the seconds by which our clock is ahead."""

    def __init__(self, clock: Callable[[], datetime], show: Callable[[float], object]) -> None:
        self._clock = clock
        self._show = show
        self._looked: datetime | None = None
        self._told: datetime | None = None

    def seen(self, date: str | None) -> None:
        """Take the Date of an answer that has just arrived; a warning is logged where the clocks differ."""
        now = self._clock()
        # A clock that is put back must not keep us from looking.
        if not date or (self._looked is not None and timedelta(0) <= now - self._looked < _LOOKS):
            return
        self._looked = now
        skew = skew_of(date, now)
        if skew is None:
            return
        self._show(skew.total_seconds())
        if not (text := told(skew, now)):
            if self._told is not None:
                log.info("the clock here and the API server's agree again")
            self._told = None
        elif self._told is None or not timedelta(0) <= now - self._told < _AGAIN:
            self._told = now
            log.warning("%s. Set the clock of this node: CAs and certificates are judged by it", text)
