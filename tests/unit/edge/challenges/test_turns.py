"""Whose Challenges get turns: only what an Order asks for, whatever others write into theirs."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from signer.api.challenge import FINALIZER, Challenge
from signer.api.order import Order
from signer.edge.challenges.turns import Turns
from signer.edge.orders.step import challenge_name
from tests.unit.edge.issuance import challenge, order, pending

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Store:
    """What a reflector keeps."""

    def __init__(self, *objects: Any) -> None:
        self.store = {(one.metadata.namespace, one.metadata.name): one for one in objects}


class Writer:
    """Notes what was scheduled."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def stale(self, _challenge: Challenge) -> bool:
        return False

    async def patch(self, challenge: Challenge, status: dict[str, Any], *, guarded: bool) -> None:
        assert guarded
        assert status == {"processing": True}
        self.given.append(challenge.metadata.name)

    def emit(self, *_what: object) -> None:
        pass


def given(orders: list[Order], *challenges: Challenge) -> list[str]:
    """The names that get a turn."""
    writer = Writer()
    turns = Turns(Store(*challenges), Store(*orders), writer, clock=lambda: NOW)  # type: ignore[arg-type]  # what it needs of them
    asyncio.run(turns.give())
    return writer.given


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
