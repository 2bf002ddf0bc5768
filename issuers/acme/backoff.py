"""How long to leave a CA alone after a failure, for each set of names. Pure.

Let's Encrypt asks for 1, 10, 100 minutes and then once a day, and pauses accounts that go on failing. What is counted is
kept in a status, by `identifiers.set_key`; a changed spec is another set and starts anew. Being rate-limited is no
failure: it names its own time and is not counted.
"""

import datetime as dt
from dataclasses import dataclass, replace

from issuers.acme.errors import Failure, Fatal, RateLimited

STEPS = (dt.timedelta(minutes=1), dt.timedelta(minutes=10), dt.timedelta(minutes=100))
DAILY = dt.timedelta(days=1)
# A certificate of six days cannot wait a day for its fourth try: 13 hours.
_PARTS_OF_LIFE = 12
# Not all that failed together try again together.
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is kept for one set of names at one issuer. `failures` in a row; `not_before` is when to try again."""

    failures: int = 0
    not_before: dt.datetime | None = None
    reason: str = ""

    def may_try(self, now: dt.datetime) -> bool:
        """Whether the wait is over."""
        return self.not_before is None or now >= self.not_before


def after_failure(
    before: Attempts, failure: Failure, now: dt.datetime, fraction: float, life: dt.timedelta | None = None
) -> Attempts:
    """What is kept after one more failure.

    Args:
        before: what was kept until now.
        failure: errors.judge's value.
        now: aware UTC.
        fraction: random, in [0, 1): up to a tenth is added to the wait.
        life: of the certificate that is wanted, when it is known.
    """
    if isinstance(failure, RateLimited):
        return replace(before, not_before=failure.not_before, reason="rateLimited")
    longest = DAILY if life is None else min(DAILY, life / _PARTS_OF_LIFE)
    step = DAILY if isinstance(failure, Fatal) or before.failures >= len(STEPS) else STEPS[before.failures]
    wait = min(step, longest) * (1 + _JITTER * fraction)
    not_before = now + wait
    if not isinstance(failure, Fatal) and failure.not_before is not None:
        not_before = max(not_before, failure.not_before)
    return Attempts(before.failures + 1, not_before, failure.reason)
