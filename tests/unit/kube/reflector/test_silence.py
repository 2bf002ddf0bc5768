"""Connections on which nothing comes any more (half-open TCP, a hanging proxy or server)."""

import pytest

from tests.fakes.apiserver import FakeApiServer, Hang, Watch, bookmark, event, page, thing
from tests.fakes.following import following
from tests.fakes.virtual_time import virtual_time


@virtual_time
async def test_silent_watch_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A watch that says nothing for 90 seconds is given up, and a new one goes on from where it was, without a list."""
    server = FakeApiServer(
        lists=[page(rv="10")],
        watches=[Watch((event("ADDED", thing("a", "15")), Hang)), Watch((event("ADDED", thing("b", "16")), Hang))],
    )
    async with following(server) as seen:
        await seen.until(lambda: seen.names() == {"a", "b"})
        first, second = server.watched()
        assert 90 <= second.at - first.at < 92
        assert second.query["resourceVersion"] == "15"
        assert len(server.listed()) == 1
        assert seen.restarts == ["silent"]
        await seen.until(lambda: server.open_watches == 1)
        assert not caplog.records  # nothing that anybody has to do something about


@virtual_time
async def test_bookmarks_keep_it_alive() -> None:
    """A bookmark each minute is sign of life enough for a watch without events."""
    server = FakeApiServer(
        lists=[page()], watches=[Watch((60.0, bookmark("11"), 60.0, bookmark("12"), 60.0, bookmark("13"), Hang))]
    )
    async with following(server) as seen:
        await seen.until(lambda: len(server.watched()) == 2)
        first, second = server.watched()
        assert 270 <= second.at - first.at < 272
        assert second.query["resourceVersion"] == "13"


@virtual_time
async def test_bytes_without_an_event() -> None:
    """Silence in the middle of an event counts as silence: the half of an event is not kept for the next connection."""
    whole = event("ADDED", thing("a", "15"))
    server = FakeApiServer(lists=[page(rv="10")], watches=[Watch((whole[:20], Hang)), Watch((whole, Hang))])
    async with following(server) as seen:
        await seen.until(lambda: seen.names() == {"a"})
        assert server.watched()[1].query["resourceVersion"] == "10"


@virtual_time
async def test_silent_list() -> None:
    """A list that gets no answer is given up and tried again."""
    server = FakeApiServer(lists=[page(wait=3600.0), page(thing("a"))])
    async with following(server) as seen:
        await seen.reflector.synced.wait()
        first, second = server.listed()
        assert 30 <= second.at - first.at < 32
