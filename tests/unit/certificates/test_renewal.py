"""Renewal times and backoff: numbers, at given times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signer.api.meta import to_rfc3339
from signer.api.retry import RETRY
from signer.certificates.renewal import backoff_left, renewal_time
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "lifetime", "before"),
    [
        ({}, timedelta(days=90), timedelta(days=30)),
        ({}, timedelta(hours=1), timedelta(minutes=20)),
        ({"renewBefore": "240h"}, timedelta(days=90), timedelta(days=10)),
        ({"renewBefore": "2160h"}, timedelta(days=90), timedelta(days=30)),
        ({"renewBefore": "3000h"}, timedelta(days=90), timedelta(days=30)),
        ({"renewBefore": "0s"}, timedelta(days=90), timedelta(days=30)),
        ({"renewBefore": "junk"}, timedelta(days=90), timedelta(days=30)),
        ({"renewBeforePercentage": 50}, timedelta(days=90), timedelta(days=45)),
        ({"renewBeforePercentage": 10}, timedelta(days=90), timedelta(days=9)),
        ({"renewBeforePercentage": 0}, timedelta(days=90), timedelta(days=30)),
        ({"renewBeforePercentage": 100}, timedelta(days=90), timedelta(days=30)),
    ],
)
def test_renewal_time(spec: dict[str, Any], lifetime: timedelta, before: timedelta) -> None:
    """A third of the life is for renewal, unless the spec names a time that the real lifetime has room for."""
    end = BEGIN + lifetime
    assert renewal_time(samples.certificate(**spec).spec, BEGIN, end) == end - before


@pytest.mark.parametrize(
    ("spec", "lifetime", "age"),
    [
        ({"renewBefore": "59m59s"}, timedelta(hours=1), timedelta(minutes=5)),
        ({"renewBefore": "55m1s"}, timedelta(hours=1), timedelta(minutes=5)),
        ({"renewBefore": "54m59s"}, timedelta(hours=1), timedelta(minutes=5, seconds=1)),
        ({"renewBefore": "8m59s"}, timedelta(minutes=9), timedelta(minutes=3)),
        ({"renewBeforePercentage": 99}, timedelta(hours=1), timedelta(minutes=5)),
        ({"renewBeforePercentage": 99}, timedelta(days=90), timedelta(days=90) / 100),
    ],
)
def test_never_at_once(spec: dict[str, Any], lifetime: timedelta, age: timedelta) -> None:
    """A certificate is left alone for 5 minutes, or a third of a shorter life, whatever the spec says."""
    assert renewal_time(samples.certificate(**spec).spec, BEGIN, BEGIN + lifetime) == BEGIN + age


def test_whole_seconds() -> None:
    """The time is cut to seconds, as in the status: a timer set by the status must not come too early."""
    end = BEGIN + timedelta(seconds=100)
    due = renewal_time(samples.certificate().spec, BEGIN, end)
    assert due == BEGIN + timedelta(seconds=66)
    assert to_rfc3339(due) == "2026-01-01T00:01:06Z"


def failed(attempts: int | None, generation: int = 3, minutes_ago: float = 0) -> timedelta:
    certificate = samples.with_status(
        samples.certificate(),
        lastFailureTime=to_rfc3339(NOW - timedelta(minutes=minutes_ago)),
        failedIssuanceAttempts=attempts,
        conditions=[{"type": "Issuing", "status": "False", "observedGeneration": generation}],
    )
    return backoff_left(certificate, NOW)


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(None, 5), (0, 5), (1, 5), (2, 60), (3, 120), (4, 240), (6, 960), (7, 1920), (8, 1920), (1000, 1920)],
)
def test_backoff(attempts: int | None, minutes: int) -> None:
    """Five minutes, then an hour, doubled by each failure, 32 hours at most."""
    assert failed(attempts) == timedelta(minutes=minutes)


def test_backoff_passes() -> None:
    """What has passed since the failure counts, and the wait never becomes negative."""
    assert failed(2, minutes_ago=45) == timedelta(minutes=15)
    assert failed(2, minutes_ago=60) == timedelta(0)
    assert failed(1, minutes_ago=5) == timedelta(0)
    assert failed(1, minutes_ago=600) == timedelta(0)


def test_a_new_wish_does_not_wait() -> None:
    """A spec that changed after the failure is tried at once; a Certificate that never failed too."""
    assert failed(5, generation=2) == timedelta(0)
    assert backoff_left(samples.certificate(), NOW) == timedelta(0)


@pytest.mark.parametrize(("asked", "minutes"), [(1, 0), (0, 0), (5, 15), (6, 15), (-1, 15)])
def test_who_asks_does_not_wait(asked: float, minutes: int) -> None:
    """A time after the failure that has come ends the wait; one before it, or to come, does not."""
    sample = samples.certificate()
    sample.metadata.annotations[RETRY] = to_rfc3339(NOW - timedelta(minutes=asked))
    certificate = samples.with_status(
        sample,
        lastFailureTime=to_rfc3339(NOW - timedelta(minutes=5)),
        failedIssuanceAttempts=2,
        conditions=[{"type": "Issuing", "status": "False", "observedGeneration": 3}],
    )
    assert backoff_left(certificate, NOW) == timedelta(minutes=55 if minutes else 0)


@pytest.mark.parametrize(
    ("life", "left", "hours"),
    [
        (timedelta(days=6), timedelta(days=3), 12),
        (timedelta(days=6), timedelta(hours=7), 1),
        (timedelta(days=90), timedelta(days=30), 32),
        (timedelta(days=90), timedelta(days=4), 1),
        (timedelta(days=90), timedelta(days=-1), 1),
        (timedelta(hours=2), timedelta(hours=1), 1),
    ],
)
def test_what_is_in_use_does_not_wait_for_its_end(life: timedelta, left: timedelta, hours: int) -> None:
    """The wait is a twelfth of the life at most, and an hour when hardly anything is left: never over the end of it."""
    certificate = samples.with_status(
        samples.certificate(),
        lastFailureTime=to_rfc3339(NOW),
        failedIssuanceAttempts=9,
        notBefore=to_rfc3339(NOW + left - life),
        notAfter=to_rfc3339(NOW + left),
        conditions=[{"type": "Issuing", "status": "False", "observedGeneration": 3}],
    )
    assert backoff_left(certificate, NOW) == timedelta(hours=hours)
