"""Issuances that follow one another without end are slowed down, and said to be."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.certificates.pacing import counts, paused
from signer.certificates.spec.check import Defect
from signer.kube.pacing import FREE, LONGEST_PAUSE, QUIET, Pace, Pacing, left, noted
from tests.unit.certificates.samples import NOW

HOUR = timedelta(hours=1)


def rounds(pause_of_the_other: timedelta, length: timedelta) -> int:
    """How many requests are made when somebody undoes each certificate so long after it."""
    pace: Pace | None = None
    now, made = NOW, 0
    while now < NOW + length:
        if left(pace, now):
            now += left(pace, now)
            continue
        pace = noted(pace, now)
        made += 1
        now += pause_of_the_other
    return made


@pytest.mark.parametrize(("seconds", "most"), [(0, 13), (1, 13), (60, 13), (600, 13), (1700, 13)])
def test_two_parties_that_undo_each_other(seconds: int, most: int) -> None:
    """However fast the other one is, a dozen requests are made in the first two hours, and about one an hour after them."""
    first = rounds(timedelta(seconds=max(seconds, 0.01)), 2 * HOUR)
    assert first <= most
    assert rounds(timedelta(seconds=max(seconds, 0.01)), 26 * HOUR) - first <= 30


def test_a_person_who_edits() -> None:
    """The first requests need not wait, nor the next ones after a quiet time."""
    pace: Pace | None = None
    now = NOW
    for _ in range(20):
        for _ in range(FREE):
            assert left(pace, now) == timedelta(0)
            pace = noted(pace, now)
            now += timedelta(seconds=20)
        now += QUIET + timedelta(seconds=1)


@given(
    made=st.integers(1, 10**6),
    ahead=st.integers(-(10**6), 10**6),
)
def test_bounded(made: int, ahead: int) -> None:
    """No pause is longer than the longest, whatever the count is and wherever the clock jumps."""
    assert timedelta(0) <= left(Pace(made, NOW), NOW + timedelta(seconds=ahead)) <= LONGEST_PAUSE


def test_renewals_are_not_counted() -> None:
    """A certificate that is renewed in time is paced by its dates alone."""
    assert [reason for reason in ("Renewing", "Expired", "SecretMismatch", "RequestChanged") if counts(reason)] == [
        "SecretMismatch",
        "RequestChanged",
    ]


def test_each_certificate_has_its_own() -> None:
    """One Certificate's pace is not another's, and one that is gone has none."""
    pacing = Pacing[tuple[str, str]]()
    for _ in range(FREE + 2):
        pacing.note(("shop", "a"), NOW)
    assert pacing.left(("shop", "a"), NOW)
    assert not pacing.left(("shop", "b"), NOW)
    pacing.forget(("shop", "a"))
    assert not pacing.left(("shop", "a"), NOW)


def test_what_is_said() -> None:
    """Who else writes is named, in bounded words, and when it goes on."""
    said = paused(Defect("SecretMismatch", "Secret contains another key"), ["sync\n", "b", "c", "d"], NOW)
    assert said.reason == "SecretMismatch"
    assert "written by 'sync\\n', 'b', 'c' too" in said.message
    assert "the next try is after 2026-06-01T12:00:00Z" in said.message
    assert "written" not in paused(Defect("RequestChanged", "changed"), (), NOW).message
    # One that works under the name that we write under is not told apart: it is asked about.
    assert "does a cert-manager work here too?" in paused(Defect("SecretMismatch", "changed"), (), NOW).message
