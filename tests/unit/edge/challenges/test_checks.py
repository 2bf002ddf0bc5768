"""Self checks: counted in a row, bounded for each namespace, and what was taken away is put back."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from signer.api.challenge import Challenge
from signer.edge.challenges.checks import SelfChecks
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.challenges.step import Checks
from signer.edge.issuers.shares import NAMESPACE_SHARE
from tests.unit.edge.issuance import challenge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Presenter:
    """Finds what it is told to, and counts what is presented."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        self.presented = 0
        self.hang: asyncio.Event | None = None

    async def check(self, _challenge: Challenge) -> Found:
        if self.hang is not None:
            await self.hang.wait()
        return Found(self.cause, "what was seen")

    async def present(self, _challenge: Challenge) -> None:
        self.presented += 1


class Writer:
    """Takes reasons."""

    async def reason(self, challenge: Challenge, _text: str) -> Challenge:
        return challenge


def checks(presenter: Presenter) -> SelfChecks:
    return SelfChecks(presenter, Writer(), clock=lambda: NOW)  # type: ignore[arg-type]  # what it needs of them


async def looked(cause: Cause, times: int) -> tuple[Checks, int]:
    """What is known after so many looks, and how often the answer was presented."""
    presenter, one = Presenter(cause), challenge()
    found = checks(presenter)
    for _ in range(times):
        await found.look(one)
    return found.of(one), presenter.presented


def test_in_a_row() -> None:
    """Passes and failures are counted in a row, and forgotten with the Challenge."""
    assert asyncio.run(looked(Cause.PASSED, 3)) == (Checks(3, 0, NOW), 0)
    assert asyncio.run(looked(Cause.NOT_RESOLVED, 3)) == (Checks(0, 3, NOW), 0)
    found, one = checks(Presenter(Cause.PASSED)), challenge()
    asyncio.run(found.look(one))
    found.forget(one)
    assert found.of(one) == Checks()


def test_put_back() -> None:
    """What is not found at the gateway is presented again now and then; a name without a record needs no new route."""
    assert asyncio.run(looked(Cause.NOT_ROUTED, 4))[1] == 0
    assert asyncio.run(looked(Cause.NOT_ROUTED, 5))[1] == 1
    assert asyncio.run(looked(Cause.WRONG_ANSWER, 11))[1] == 2
    assert asyncio.run(looked(Cause.NOT_RESOLVED, 50))[1] == 0


def test_one_namespaces_part() -> None:
    """Looks that hang at one namespace's Pods leave the others' their turn."""

    async def crowd() -> None:
        presenter = Presenter(Cause.PASSED)
        presenter.hang = asyncio.Event()
        found = checks(presenter)
        hanging: list[Any] = [
            asyncio.create_task(found.look(challenge(f"c{number}", namespace="evil"))) for number in range(20)
        ]
        await asyncio.sleep(0)
        assert sum(one.done() for one in hanging) == 20 - NAMESPACE_SHARE
        assert all(one.result() is None for one in hanging if one.done())
        other = asyncio.create_task(found.look(challenge("other", namespace="other")))
        await asyncio.sleep(0)
        assert not other.done()
        presenter.hang.set()
        assert await other is not None

    asyncio.run(crowd())
