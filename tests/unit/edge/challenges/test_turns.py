"""Whose Challenges get turns: only what an Order asks for, whatever others write into theirs."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from signer.api.challenge import FINALIZER, Challenge
from signer.api.event import ObjectReference
from signer.api.order import Order
from signer.edge.challenges.turns import Turns
from signer.edge.orders.step import challenge_name
from signer.kube.errors import Forbidden, api_error
from signer.observe.write_errors import WriteErrors
from tests.unit.edge.issuance import authorization, challenge, order, pending

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Store:
    """What a reflector keeps."""

    def __init__(self, *objects: Any) -> None:
        self.store = {(one.metadata.namespace, one.metadata.name): one for one in objects}


class Writer:
    """Notes what was scheduled."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.refused: set[str] = set()

    def stale(self, _challenge: Challenge) -> bool:
        return False

    async def patch(self, challenge: Challenge, status: dict[str, Any], *, guarded: bool) -> None:
        assert guarded
        assert status == {"processing": True}
        if challenge.metadata.name in self.refused:
            raise api_error(403, "Forbidden", "not here")
        self.given.append(challenge.metadata.name)

    def emit(self, *_what: object) -> None:
        pass


class Recorder:
    """Notes on which objects Events are."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def offer(self, ref: ObjectReference, *_what: str, **_more: object) -> bool:
        self._names.append(ref.name)
        return True


def given(orders: list[Order], *challenges: Challenge) -> list[str]:
    """The names that get a turn."""
    writer = Writer()
    asyncio.run(_turns(orders, challenges, writer, []).give())
    return writer.given


def _turns(orders: list[Order], challenges: tuple[Challenge, ...], writer: Writer, events: list[str]) -> Turns:
    errors = WriteErrors(Recorder(events))  # type: ignore[arg-type]  # it only offers
    return Turns(Store(*challenges), Store(*orders), writer, clock=lambda: NOW, errors=errors)  # type: ignore[arg-type]  # what it needs of them


def ours() -> tuple[Order, Challenge]:
    """An Order and the Challenge that it asks for."""
    one = order(pending())
    return one, challenge(challenge_name(one, one.status.authorizations[0]))


def test_ours() -> None:
    """What an Order asks for gets its turn; what looks like it, with the Order as owner, does not."""
    one, wanted = ours()
    assert given([one], wanted, challenge("other")) == [wanted.metadata.name]
    assert given([], wanted) == []


def test_forged_ones_take_no_place() -> None:
    """Challenges that say of themselves that they are worked on keep nobody from a turn, nor a name from being proven."""
    one, wanted = ours()
    forged = [challenge(f"forged-{number}", owner="none", status={"processing": True}) for number in range(70)]
    assert given([one], wanted, *forged) == [wanted.metadata.name]
    leaving = challenge("x", owner="none", status={"processing": True}, deletionTimestamp="2026-06-01T12:00:00Z")
    assert given([one], wanted, leaving) == [wanted.metadata.name]


def test_another_name_under_a_name_of_ours() -> None:
    """Under the name that an Order's Challenge has, another host gets no turn."""
    one, wanted = ours()
    raw = {"metadata": msgspec.to_builtins(wanted.metadata), "spec": wanted.raw_spec | {"dnsName": "victim.example"}}
    assert given([one], msgspec.convert(raw, Challenge)) == []


def test_one_that_leaves_has_its_place() -> None:
    """What was presented is taken away before the same name begins anew."""
    one, wanted = ours()
    leaving = challenge(
        "gone",
        owner="none",
        status={"processing": True},
        deletionTimestamp="2026-06-01T12:00:00Z",
        finalizers=[FINALIZER],
    )
    assert given([one], wanted, leaving) == []


def test_one_that_cannot_be_written() -> None:
    """Where the API server refuses one namespace's turn, that Challenge says so, and the others have theirs."""
    one = order(pending(authorization(), authorization("b.example.com", 2)))
    first, second = (
        challenge(challenge_name(one, asked), spec={"dnsName": asked.identifier}) for asked in one.status.authorizations
    )
    writer, events = Writer(), list[str]()
    writer.refused = {first.metadata.name}
    with pytest.raises(Forbidden):
        asyncio.run(_turns([one], (first, second), writer, events).give())
    assert events == [first.metadata.name]
    assert writer.given == [second.metadata.name]
