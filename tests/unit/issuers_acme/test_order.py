"""What to do next with an order: the state machine of RFC 8555, section 7.1.6."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import Problem
from issuers.acme.identifiers import identifiers
from issuers.acme.order import (
    LONGEST_POLL,
    POLL,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Download,
    Failed,
    FetchAuthorizations,
    Finalize,
    Order,
    OrderAnew,
    OrderStatus,
    Poll,
    Solve,
    Step,
    Wish,
    next_step,
)

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
WISH = Wish(identifiers(["a.example", "b.example"]))
URLS = ("https://ca/a", "https://ca/b")
ORDER = Order("https://ca/o", OrderStatus.PENDING, WISH.identifiers, URLS, "https://ca/f", expires=LATER)


def proof(
    number: int = 0,
    status: AuthorizationStatus = AuthorizationStatus.PENDING,
    challenge: ChallengeStatus = ChallengeStatus.PENDING,
    error: Problem | None = None,
) -> Authorization:
    offered = (
        Challenge("dns-01", "https://ca/d", "t" * 43, ChallengeStatus.PENDING),
        Challenge("http-01", "https://ca/h", "t" * 43, challenge, error),
    )
    return Authorization(URLS[number], WISH.identifiers[number], status, offered, LATER)


def step(order: Order, *found: Authorization) -> Step:
    return next_step(order, {one.url: one for one in found}, NOW)


VALID = [proof(number, AuthorizationStatus.VALID, ChallengeStatus.VALID) for number in (0, 1)]


def test_the_whole_way() -> None:
    """An order is walked from its authorizations to the download."""
    assert step(ORDER) == FetchAuthorizations(URLS)
    assert step(ORDER, proof(0)) == FetchAuthorizations(URLS[1:])
    assert step(ORDER, proof(0), proof(1)) == Solve((proof(0), proof(1)))
    working = [proof(number, challenge=ChallengeStatus.PROCESSING) for number in (0, 1)]
    assert step(ORDER, working[0], proof(1)) == Solve((proof(1),))
    assert step(ORDER, *working) == Poll(URLS, NOW + POLL)
    assert step(ORDER, VALID[0], working[1]) == Poll(URLS[1:], NOW + POLL)
    assert step(ORDER, *VALID) == Poll((ORDER.url,), NOW + POLL)
    assert step(replace(ORDER, status=OrderStatus.READY)) == Finalize()
    assert step(replace(ORDER, status=OrderStatus.PROCESSING)) == Poll((ORDER.url,), NOW + POLL)
    assert step(replace(ORDER, status=OrderStatus.VALID, certificate="https://ca/c")) == Download("https://ca/c")


def test_used_again() -> None:
    """A name that is proven already is not proven again: the CA may give an order that is ready, or even valid."""
    assert step(ORDER, VALID[0], proof(1)) == Solve((proof(1),))
    assert step(replace(ORDER, status=OrderStatus.READY, authorizations=())) == Finalize()


def test_a_failed_proof() -> None:
    """A failed proof ends the order with the CA's words, though others still wait, and before the order says so."""
    error = Problem("unauthorized", "wrong answer")
    failed = proof(1, AuthorizationStatus.INVALID, ChallengeStatus.INVALID, error)
    assert step(ORDER, proof(0), failed) == Failed(error, failed)
    invalid = replace(ORDER, status=OrderStatus.INVALID, error=Problem("compound", ""))
    assert step(invalid, proof(0), failed) == Failed(error, failed)


def test_an_invalid_order() -> None:
    """The reason of an invalid order is its own error, or is looked for in its authorizations."""
    error = Problem("badCSR", "no")
    invalid = replace(ORDER, status=OrderStatus.INVALID)
    assert step(replace(invalid, error=error)) == Failed(error)
    assert step(invalid) == FetchAuthorizations(URLS)
    found = step(invalid, *VALID)
    assert isinstance(found, Failed)
    assert found.problem.text()


@pytest.mark.parametrize(
    "status", [AuthorizationStatus.DEACTIVATED, AuthorizationStatus.EXPIRED, AuthorizationStatus.REVOKED]
)
def test_a_proof_that_ended(status: AuthorizationStatus) -> None:
    """A proof that ended by itself is nobody's failure: order anew."""
    assert isinstance(step(ORDER, VALID[0], proof(1, status)), OrderAnew)


def test_expired() -> None:
    """What has expired is not waited for, though the CA's status lags; a valid order never expires."""
    for status in (OrderStatus.PENDING, OrderStatus.READY):
        assert isinstance(step(replace(ORDER, status=status, expires=NOW)), OrderAnew)
    assert isinstance(step(ORDER, VALID[0], replace(proof(1), expires=NOW)), OrderAnew)
    done = replace(ORDER, status=OrderStatus.VALID, certificate="https://ca/c", expires=NOW)
    assert step(done) == Download("https://ca/c")


@given(st.timedeltas(dt.timedelta(days=-3), dt.timedelta(days=30)))
def test_when_to_look_again(wait: dt.timedelta) -> None:
    """The CA's time is kept, but not before now and not far away."""
    order = replace(ORDER, status=OrderStatus.PROCESSING, retry_after=NOW + wait)
    found = step(order)
    assert isinstance(found, Poll)
    assert NOW <= found.at <= NOW + LONGEST_POLL
    if dt.timedelta() <= wait <= LONGEST_POLL:
        assert found.at == NOW + wait


@given(
    st.sampled_from(OrderStatus),
    st.lists(st.tuples(st.sampled_from(AuthorizationStatus), st.sampled_from(ChallengeStatus)), max_size=2),
    st.booleans(),
)
def test_always_an_answer(
    status: OrderStatus, proofs: list[tuple[AuthorizationStatus, ChallengeStatus]], certificate: bool
) -> None:
    """Every combination has a next step, and none asks for what is there already."""
    order = replace(ORDER, status=status, certificate="https://ca/c" if certificate else None)
    known = [proof(number, *both) for number, both in enumerate(proofs)]
    found = step(order, *known)
    if isinstance(found, FetchAuthorizations):
        assert not {one.url for one in known} & set(found.urls)
    if isinstance(found, Solve):
        assert all(one.status is AuthorizationStatus.PENDING for one in found.authorizations)
