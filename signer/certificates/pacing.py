"""How soon a Certificate may ask again: whatever makes it ask again and again is slowed down, and told.

Two parties that undo each other (a sync that puts another key pair into the Secret, a webhook that changes our requests, two
tools that disagree about the spec) would otherwise get a new certificate for each round, for ever. A few requests are free,
as a person who edits a spec needs them; then each pause is twice as long as the one before, up to an hour, and half an hour
without a request starts anew. Renewals do not count: their dates pace them.

Pure, but for the counts that `Pacing` keeps on the loop. They are for peace, not for safety: a new process begins with none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from signer.api.text import shown
from signer.certificates.objects import Key
from signer.certificates.policies import EXPIRED, RENEWING
from signer.certificates.spec_check import Defect

FREE = 3
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
QUIET = timedelta(minutes=30)
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """So many requests in a row, and when the last one was made."""

    made: int
    last: datetime


def noted(pace: Pace | None, now: datetime) -> Pace:
    """Count one more request."""
    if pace is None or now - pace.last > max(QUIET, 2 * _pause(pace)):
        return Pace(1, now)
    return Pace(pace.made + 1, now)


def left(pace: Pace | None, now: datetime) -> timedelta:
    """How long the next request must still wait; zero when it need not. A clock that was put back does not prolong it."""
    if pace is None:
        return timedelta(0)
    return min(max(pace.last + _pause(pace) - now, timedelta(0)), _pause(pace))


def counts(reason: str) -> bool:
    """Whether an issuance for this reason is one of those that are paced."""
    return reason not in (RENEWING, EXPIRED)


def paused(why: Defect, writers: Sequence[str], until: datetime) -> Defect:
    """What is said meanwhile: why a certificate is to be made again, who else writes, and when it goes on."""
    others = ", ".join(shown(name) for name in writers[:_NAMED])
    # We write Secrets under cert-manager's name, so that each may take them over; one that works beside us is not told apart.
    who = f"; written by {others} too" if others else "; no other writer is named: does a cert-manager work here too?"
    message = (
        f"{why.message}{who}. It was issued too often in a short time: the next try is after {until:%Y-%m-%dT%H:%M:%SZ}"
    )
    return Defect(why.reason, message)


def _pause(pace: Pace) -> timedelta:
    if pace.made <= FREE:
        return timedelta(0)
    # 2^9 times the first is beyond the longest; a larger exponent would only overflow.
    return min(FIRST_PAUSE * (1 << min(pace.made - FREE - 1, 9)), LONGEST_PAUSE)


class Pacing:
    """The pace of each Certificate, by its key."""

    def __init__(self) -> None:
        self._paces: dict[Key, Pace] = {}

    def left(self, key: Key, now: datetime) -> timedelta:
        """As `left`."""
        return left(self._paces.get(key), now)

    def note(self, key: Key, now: datetime) -> None:
        """A request was made."""
        self._paces[key] = noted(self._paces.get(key), now)

    def forget(self, key: Key) -> None:
        """The Certificate is gone."""
        self._paces.pop(key, None)
