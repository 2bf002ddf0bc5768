"""What an order is at the CA, for the Order here: when it has ended, and when it is looked at again."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import Fatal, Problem, RetryLater
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Authorization, AuthorizationStatus, OrderStatus
from issuers.acme.order import Order as Placed
from signer.edge.orders.values import LONGEST_POLL, Ended, ended, proof_of, until_next_look

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
NAMES = identifiers(["a.example", "b.example"])
PLACED = Placed("https://ca/o", OrderStatus.PENDING, NAMES, ("https://ca/a",), "https://ca/f", expires=LATER)


@pytest.mark.parametrize("status", [one for one in OrderStatus if one is not OrderStatus.INVALID])
def test_going_on(status: OrderStatus) -> None:
    """While something may come of an order it has not ended."""
    assert ended(replace(PLACED, status=status), NOW) is None


def test_an_invalid_order() -> None:
    """An order that failed ends in the CA's own words, and with what they mean; without any it says that there are none."""
    invalid = replace(PLACED, status=OrderStatus.INVALID)
    found = ended(replace(invalid, error=Problem("badCSR", "no")), NOW)
    assert found == Ended("invalid", "badCSR: no", Fatal("badCSR", "badCSR: no"))
    untold = ended(invalid, NOW)
    assert untold is not None
    assert untold.why
    assert isinstance(untold.failure, RetryLater)


def test_expired() -> None:
    """What has expired is not waited for, though the CA's status lags, and nobody is to blame; a valid order never expires."""
    assert ended(replace(PLACED, expires=NOW), NOW) == Ended("expired", "the order has expired", None)
    assert ended(replace(PLACED, status=OrderStatus.VALID, certificate="https://ca/c", expires=NOW), NOW) is None


@given(st.none() | st.timedeltas(dt.timedelta(days=-3), dt.timedelta(days=30)))
def test_when_to_look_again(wait: dt.timedelta | None) -> None:
    """The CA's time is kept, but not before now and not far away."""
    found = until_next_look(None if wait is None else NOW + wait, NOW)
    assert dt.timedelta() < found <= LONGEST_POLL
    if wait is not None and dt.timedelta(seconds=1) <= wait <= LONGEST_POLL:
        assert found == wait


@pytest.mark.parametrize(
    "status", [AuthorizationStatus.DEACTIVATED, AuthorizationStatus.REVOKED, AuthorizationStatus.INVALID]
)
def test_a_proof_that_ended(status: AuthorizationStatus) -> None:
    """A proof that ended by itself is none: it is not taken for a valid one, nor waited for."""
    assert proof_of(Authorization("https://ca/a", NAMES[0], status, ()))["initialState"] == "invalid"
