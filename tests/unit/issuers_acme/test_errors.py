"""What a failed request means for the next one, and what of a CA's text people see."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import (
    FATAL,
    MAX_TEXT,
    Fatal,
    ForbiddenTarget,
    MalformedAnswer,
    Problem,
    RateLimited,
    Refused,
    RetryLater,
    Unreachable,
    judge,
    judge_problem,
    printable,
)

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


@pytest.mark.parametrize("code", sorted(FATAL))
def test_fatal(code: str) -> None:
    """What only a person can change is fatal, whatever the status, and also as one of several problems."""
    assert judge_problem(Problem(code, "no", 403), NOW) == Fatal(code, f"{code}: no")
    compound = Problem("compound", "", 400, "", (Problem("dns", "x"), Problem(code, "no")))
    assert judge_problem(compound, NOW) == Fatal(code, f"compound; dns: x; {code}: no")


@pytest.mark.parametrize("status", [500, 503, 408, 404, 409, 0])
def test_passing(status: int) -> None:
    """Trouble of the CA, a forgotten order and a failed proof pass."""
    assert isinstance(judge_problem(Problem("", "", status), NOW), RetryLater)


@pytest.mark.parametrize("status", [400, 401, 403, 405])
def test_other_refusals(status: int) -> None:
    """What is refused for an unknown reason is refused again: not tried at once."""
    assert isinstance(judge_problem(Problem("malformed", "", status), NOW), Fatal)


@pytest.mark.parametrize(
    "problem", [Problem("rateLimited", "x", 503), Problem("", "", 429), Problem("malformed", "", 429)]
)
def test_limits_without_a_time(problem: Problem) -> None:
    """A limit without Retry-After lasts an hour."""
    verdict = judge_problem(problem, NOW)
    assert isinstance(verdict, RateLimited)
    assert verdict.not_before == NOW + dt.timedelta(hours=1)


@given(st.timedeltas(dt.timedelta(days=-400), dt.timedelta(days=4000)))
def test_named_times_are_bounded(wait: dt.timedelta) -> None:
    """Whatever time a CA names, it is later than now and at most a week away."""
    for problem in (Problem("rateLimited", "", 429), Problem("", "", 503)):
        verdict = judge_problem(problem, NOW, NOW + wait)
        assert isinstance(verdict, RateLimited | RetryLater)
        assert verdict.not_before is not None
        assert NOW < verdict.not_before <= NOW + dt.timedelta(days=7)


def test_other_errors() -> None:
    """A target that is not allowed is fatal; no answer and a wrong answer pass."""
    assert judge(ForbiddenTarget("x"), NOW) == Fatal("ForbiddenTarget", "x")
    assert judge(MalformedAnswer("x"), NOW) == RetryLater("MalformedAnswer", "x")
    assert judge(Unreachable("x"), NOW) == RetryLater("Unreachable", "x")
    assert judge(Refused(Problem("badNonce", "x", 400)), NOW) == RetryLater("badNonce", "badNonce: x")


@given(st.text(max_size=4000))
def test_printable(text: str) -> None:
    """One line of at most 512 printable characters, whatever a stranger wrote."""
    shown = printable(text)
    assert len(shown) <= MAX_TEXT
    assert shown.isprintable()


@given(
    st.recursive(
        st.builds(Problem, st.text(), st.text(), st.just(400), st.text()),
        lambda inner: st.builds(
            Problem, st.text(), st.text(), st.just(400), st.text(), st.lists(inner, max_size=5).map(tuple)
        ),
    )
)
def test_text_of_a_problem(problem: Problem) -> None:
    """The text of any problem with all its parts is short, one line, and says something."""
    assert 0 < len(problem.text()) <= MAX_TEXT
    assert problem.text().isprintable()
