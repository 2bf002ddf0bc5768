"""The next step of one Challenge: a pure function of what is stored and of the self checks so far.

    queued -> processing -> synced with the CA -> presented -> self check passes -> accepted -> valid or invalid
    -> what was presented is taken away, the finalizer goes

What is kept in memory only (how many self checks passed) may be lost: they are made again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from signer.api.challenge import FINALIZER, Challenge
from signer.api.meta import from_rfc3339
from signer.api.order import FINAL_STATES

PASSES = 3
"""Self checks in a row before the CA is told: a gateway has several replicas, and routes reach them one by one."""
CHECK_INTERVAL = timedelta(seconds=1)
POLL_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(seconds=30)


class Do(Enum):
    """What to do with a Challenge now."""

    NOTHING = "nothing, or it is finished"
    AWAIT_TURN = "wait until it is scheduled"
    SYNC = "ask the CA how the challenge is, and store its state"
    PRESENT = "put the answer in place, then store presented and presentedAt"
    SELF_CHECK = "check whether the answer can be seen"
    ACCEPT = "tell the CA that the answer is in place, then store state processing"
    POLL = "ask the CA how the authorization is"
    CLEAN_UP = "take away what was presented, then store presented false and processing false"
    RELEASE = (
        "take away whatever was presented (a crash may have kept that from being stored), then remove the finalizer"
    )


@dataclass(frozen=True, slots=True)
class Checks:
    """Self checks so far: passes in a row, failures in a row, when the last was. Lost by a restart, without harm."""

    passes: int = 0
    failures: int = 0
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Do this, not before `at` (None: now)."""

    do: Do
    at: datetime | None = None


def challenge_step(challenge: Challenge, finalizers: tuple[str, ...], checks: Checks, now: datetime) -> Step:
    """Decide the next step."""
    status = challenge.status
    finished = status.state in FINAL_STATES
    if finished or challenge.metadata.deletion_timestamp:
        if status.presented or (status.processing and finished):
            return Step(Do.CLEAN_UP)
        return Step(Do.RELEASE if FINALIZER in finalizers and challenge.metadata.deletion_timestamp else Do.NOTHING)
    if challenge.problem:
        return Step(Do.NOTHING)
    if not status.processing:
        return Step(Do.AWAIT_TURN)
    if status.state == "":
        return Step(Do.SYNC)
    if status.state == "processing":
        return Step(Do.POLL, _after(checks.last, POLL_INTERVAL))
    if not status.presented:
        return Step(Do.PRESENT)
    if checks.passes < PASSES:
        return Step(Do.SELF_CHECK, _later(_after(checks.last, interval(checks.failures)), now))
    return Step(Do.ACCEPT)


def interval(failures: int) -> timedelta:
    """How long to wait for the next self check: a second at first, half a minute at most, however long DNS takes."""
    return min(CHECK_INTERVAL * (1 << min(max(failures - 3, 0), 10)), LONGEST_INTERVAL)


def waited(challenge: Challenge, now: datetime) -> timedelta:
    """How long the answer has been in place; zero when that is not known."""
    since = from_rfc3339(challenge.status.presented_at)
    return max(now - since, timedelta(0)) if since is not None else timedelta(0)


def _after(last: datetime | None, wait: timedelta) -> datetime | None:
    return last + wait if last is not None else None


def _later(moment: datetime | None, now: datetime) -> datetime | None:
    """A moment that has come is now; one that a clock put right has moved far away is not waited for."""
    if moment is None or moment <= now or moment - now > LONGEST_INTERVAL:
        return None
    return moment
