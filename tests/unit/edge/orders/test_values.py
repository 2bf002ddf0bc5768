"""What an order is at the CA, for the Order here: when it has ended, and when it is looked at again."""

import datetime as dt
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import Fatal, Problem, RetryLater
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Authorization, AuthorizationStatus, OrderStatus
from issuers.acme.order import Order as Placed
from signer.api.order import OrderStatus as Status
from signer.edge.orders.values import (
    GRACE,
    LONGEST_LIFE,
    LONGEST_POLL,
    NOT_PLACED,
    UNTOLD_LIFE,
    Ended,
    ended,
    last_moment,
    overdue,
    placed_at,
    proof_of,
    status_of,
    until_next_look,
    waits_since,
)
from tests.unit.edge.issuance import order

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
NAMES = identifiers(["a.example", "b.example"])
PLACED = Placed("https://ca/o", OrderStatus.PENDING, NAMES, ("https://ca/a",), "https://ca/f", expires=LATER)


@pytest.mark.parametrize("status", [one for one in OrderStatus if one is not OrderStatus.INVALID])
def test_going_on(status: OrderStatus) -> None:
    """While something may come of an order it has not ended."""
    assert ended(replace(PLACED, status=status), LATER, NOW) is None


def test_an_invalid_order() -> None:
    """An order that failed ends in the CA's own words, and with what they mean; without any it says that there are none."""
    invalid = replace(PLACED, status=OrderStatus.INVALID)
    found = ended(replace(invalid, error=Problem("badCSR", "no")), LATER, NOW)
    assert found == Ended("invalid", "badCSR: no", Fatal("badCSR", "badCSR: no"))
    untold = ended(invalid, LATER, NOW)
    assert untold is not None
    assert untold.why
    assert isinstance(untold.failure, RetryLater)


@pytest.mark.parametrize("status", OrderStatus)
@pytest.mark.parametrize("certificate", [None, "https://ca/c"])
@given(late=st.timedeltas(dt.timedelta(), dt.timedelta(days=900)))
def test_every_state_ends(status: OrderStatus, certificate: str | None, late: dt.timedelta) -> None:
    """Past its end an order ends in whatever state the CA has it; only one whose certificate is there is fetched all the same.

    Nobody is to blame for one that was not proven; a CA that made nothing of a proven one has failed, which counts.
    """
    placed = replace(PLACED, status=status, certificate=certificate)
    found = ended(placed, NOW, NOW + late)
    if status is OrderStatus.VALID and certificate is not None:
        assert found is None
        return
    assert found is not None
    assert (found.failure is None) == (status is OrderStatus.PENDING)
    if status is not OrderStatus.INVALID:
        assert found.state == "expired"
        assert f'"{status}"' in found.why


@given(
    told=st.none() | st.timedeltas(dt.timedelta(days=-4000), dt.timedelta(days=4000)),
    stored=st.booleans(),
    placed=st.booleans(),
)
def test_every_order_has_an_end(told: dt.timedelta | None, stored: bool, placed: bool) -> None:
    """It is the CA's, within our bounds, or a day after the order was placed; an Order of before has one too."""
    expires = None if told is None else NOW + told
    text = None if expires is None or not stored else expires.isoformat()
    status = {"url": "https://ca/o", "expires": text, "placedAt": NOW.isoformat() if placed else None}
    one = order(status, created=NOW)
    last = last_moment(one, None if stored else expires)
    if stored and expires is not None and expires <= NOW:
        expires = None  # over when it was given: the clocks differ
    assert last == min(expires or NOW + UNTOLD_LIFE, NOW + LONGEST_LIFE)
    assert overdue(one, NOW + LONGEST_LIFE + GRACE)
    assert not overdue(order(None, created=NOW), NOW + dt.timedelta(days=9000)), (
        "what was never placed waits for its turn"
    )


@pytest.mark.parametrize("status", [OrderStatus.PROCESSING, OrderStatus.READY, OrderStatus.VALID, OrderStatus.PENDING])
def test_a_wait_is_told(status: OrderStatus) -> None:
    """An order that takes long says since when, what the CA says, and when it is given up; one that has just begun does not."""
    one = order({"url": "https://ca/o", "placedAt": NOW.isoformat()})
    placed = replace(PLACED, status=status)
    assert not waits_since(one, placed, NOW + dt.timedelta(seconds=9))
    text = waits_since(one, placed, NOW + dt.timedelta(minutes=9))
    assert all(part in text for part in ("2026-11-23T00:00:00Z", f'"{status}"', "2026-11-23T01:00:00Z"))
    assert status_of(placed)["expires"] == "2026-11-23T01:00:00Z"


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


AT_ITS_END = {"certificate", "failureTime"}
"""What nothing can be placed anew beside."""


@given(st.sampled_from(OrderStatus), st.none() | st.just(LATER), st.none() | st.just(LATER), st.booleans())
def test_nothing_of_the_order_before(
    state: OrderStatus, before: dt.datetime | None, after: dt.datetime | None, between: bool
) -> None:
    """An Order that is placed anew has the second order's status alone: its end, above all, and not the first one's."""
    first = placed_at(replace(PLACED, status=state, expires=before), NOW - dt.timedelta(days=1))
    second = placed_at(replace(PLACED, url="https://ca/o2", expires=after), NOW)
    stored = _merged({}, first)
    if between:
        stored = _merged(stored, {**NOT_PLACED, "reason": "x"})
        assert stored == {"reason": "x"}
    assert _merged(stored, second) == _merged({}, second)


def test_each_field_is_of_some_order() -> None:
    """A field that the status gets one day goes with its order too, or is named here."""
    fields = {field.encode_name for field in msgspec.structs.fields(Status)}
    assert fields - AT_ITS_END - {"reason"} == set(NOT_PLACED)


def _merged(status: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**status, **patch}.items() if value is not None}
