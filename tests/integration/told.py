"""The table of what the API server may answer to a write, and what the object shows that it stopped."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import pytest

from signer.api.event import EVENTS
from signer.observe import write_errors
from tests.fakes.refusals import ANSWERS, Answer, Refusals
from tests.integration.slow_controllers import Json, World

AT_ONCE = [one for one in ANSWERS if not one.lasts]
LASTING = [one for one in ANSWERS if one.lasts]


@dataclass(frozen=True)
class Row:
    """A write that a controller makes, and what it is for.

    `write` is a pattern of tests.fakes.refusals, `about` the kind of the object that the write is for, and a pattern of its
    name; both have {name}, that of one case of the test. `shown` tells whether an object's status says the words; None where it can't,
    since that is the write.
    """

    controller: str
    write: str
    about: tuple[str, str]
    shown: Callable[[Json, str], bool] | None = None

    def __str__(self) -> str:
        return f"{self.controller}: {self.write.partition(' ')[2].replace('/', ' ').split()[0]}"


def in_conditions(obj: Json, words: str) -> bool:
    """Whether a condition says it."""
    return any(words in one.get("message", "") for one in obj.get("status", {}).get("conditions", []))


def in_reason(obj: Json, words: str) -> bool:
    """Whether status.reason says it."""
    return words in obj.get("status", {}).get("reason", "")


def refuse(refusals: Refusals, row: Row, answers: Collection[Answer]) -> None:
    """Answer so from now on, each to the case of its name."""
    for answer in answers:
        refusals.refuse(row.write.format(name=f"x-{answer.name}"), answer)


async def events_on(here: World, kind: str, name: str) -> list[str]:
    """The messages of the Events about objects whose name fits, wherever they live."""
    found = await here.client.list(EVENTS, here.namespace) + await here.client.list(EVENTS, "default")
    about = [(one["involvedObject"], one.get("message", "")) for one in found]
    return [text for ref, text in about if ref["kind"] == kind and re.fullmatch(name, ref["name"])]


async def check(here: World, refusals: Refusals, row: Row, get: Callable[[str, str], object]) -> None:
    """Hold what is shown against the table, with the objects of all cases already made: x-policy, x-quota, and so on.

    What somebody must mend is on the object at once, and what may pass is not, though it was tried again.
    """
    kind, named = row.about
    for answer in AT_ONCE:
        await said(here, row, answer, get)
    for answer in LASTING:

        async def tried(answer: Answer = answer) -> bool:
            return refusals.tries[answer.name] > 1

        await here.until(f"a second try after {answer.name}", tried)
        assert not any(
            answer.words in one for one in await events_on(here, kind, named.format(name=f"x-{answer.name}"))
        )


async def said(here: World, row: Row, answer: Answer, get: Callable[[str, str], object]) -> None:
    """Wait until an Event, and the status where that can be written, says the API server's words."""
    kind, named = row.about[0], row.about[1].format(name=f"x-{answer.name}")

    async def event() -> bool:
        return any(answer.words in one for one in await events_on(here, kind, named))

    await here.until(f"an Event on {kind} {named} that says {answer.words!r}", event)
    if (shown := row.shown) is not None:

        async def status() -> bool:
            obj = await get(kind, named)  # type: ignore[misc]  # a coroutine of the world's
            return obj is not None and shown(obj, answer.words)

        await here.until(f"a status of {kind} {named} that says {answer.words!r}", status)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may pass is told at once, as if it had lasted."""
    monkeypatch.setattr(write_errors, "LASTS", 0.0)
