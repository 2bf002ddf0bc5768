"""When the cluster is read for the page, and what the page shows when it cannot be."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signer.commands.command import NotFoundOut
from signer.commands.page import board as module
from signer.commands.page.board import Board
from signer.commands.page.seen import Seen
from tests.unit.commands.page.samples import SERVER, seen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    monkeypatch.setattr(module, "PART", 0)


def told(board: Board) -> Any:
    return json.loads(board.state)


async def happens(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.001)


async def kept(board: Board, look: Callable[[], Awaitable[Seen]], until: Callable[[], bool]) -> list[str]:
    """Let the board read until something is so; what it said."""
    said: list[str] = []
    task = asyncio.create_task(board.keep(look, said.append))
    async with asyncio.timeout(10):
        while not until():
            board.asked()
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return said


async def test_nothing_is_read_unseen() -> None:
    """While nobody looks at the page, the API server is left alone."""
    looked = []

    async def look() -> Seen:
        looked.append(1)
        return seen()

    board = Board()
    task = asyncio.create_task(board.keep(look, print))
    await asyncio.sleep(0.05)
    assert looked == []
    board.asked()
    await happens(lambda: board.read)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_stops_when_the_page_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once nobody has asked for a while, reading stops, and goes on with the next question."""
    monkeypatch.setattr(module, "LONGEST_UNSEEN", 0.05)
    looked: list[int] = []

    async def look() -> Seen:
        looked.append(1)
        return seen()

    board = Board()
    task = asyncio.create_task(board.keep(look, print))
    board.asked()
    await happens(lambda: not board._asked.is_set())
    count = len(looked)
    await asyncio.sleep(0.1)
    assert len(looked) == count
    board.asked()
    await happens(lambda: len(looked) > count)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_away_and_back() -> None:
    """A cluster that is away is told once, the page keeps what it had and says so, and it comes back by itself."""
    turns: list[str] = []

    async def look() -> Seen:
        turns.append("")
        if 2 <= len(turns) <= 5:
            raise NotFoundOut("no answer from the API server")
        return seen()

    board = Board()
    shown: list[Any] = []

    def until() -> bool:
        shown.append(told(board))
        return len(turns) > 6

    said = await kept(board, look, until)
    assert said == ["no answer from the API server", "the cluster is read again"]
    away = [one for one in shown if one["away"]]
    assert away
    assert all(one["view"]["server"] == SERVER for one in away)
    assert told(board)["away"] == ""


async def test_a_fault_does_not_end_it() -> None:
    """What nobody foresaw is told in one line, without what it was about, and the page goes on."""
    turns: list[str] = []

    async def look() -> Seen:
        turns.append("")
        if len(turns) < 3:
            raise ValueError("something of a tenant's")
        return seen()

    board = Board()
    said = await kept(board, look, lambda: bool(board.read))
    assert len(said) == 2
    assert "fault of mesh-signer's own" in said[0]
    assert "tenant's" not in said[0]


async def test_the_same_state_has_the_same_name() -> None:
    """As long as nothing changes, the page is told that there is nothing new, however often the cluster is read."""
    tags = set()
    turns: list[str] = []
    board = Board()

    async def look() -> Seen:
        turns.append("")
        if board.read:
            tags.add(board.tag)
        return seen()

    await kept(board, look, lambda: len(turns) > 4)
    assert len(tags) == 1
