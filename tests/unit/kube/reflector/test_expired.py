"""410: the server's history no longer reaches back to where we are."""

import pytest

from tests.fakes.apiserver import FakeApiServer, Hang, Reply, Watch, event, page, status, status_object, thing
from tests.fakes.following import following
from tests.fakes.virtual_time import virtual_time

IN_THE_STREAM = Watch((event("ERROR", status_object(410, "Expired", "too old resource version")),))
AS_ANSWER = status(410, "Expired", "too old resource version")


@pytest.mark.parametrize("refusal", [IN_THE_STREAM, AS_ANSWER], ids=["event", "answer"])
@virtual_time
async def test_lists_again(refusal: Watch | Reply) -> None:
    """A 410, as an answer or as an event, means a new list, and the watch goes on from that list."""
    server = FakeApiServer(lists=[page(rv="10"), page(thing("a"), rv="500")], watches=[refusal, Watch((Hang,))])
    async with following(server) as seen:
        await seen.until(lambda: len(server.watched()) == 2)
        assert seen.names() == {"a"}
        assert [r.query["resourceVersion"] for r in server.watched()] == ["10", "500"]
        assert seen.restarts == ["expired"]


@virtual_time
async def test_no_storm() -> None:
    """A server whose every watch is answered by 410 gets fewer and fewer lists, not a storm of them."""
    server = FakeApiServer(lists=[page()], watches=[AS_ANSWER] * 100, repeat_list=True)
    async with following(server) as seen:
        await seen.until(lambda: len(server.listed()) == 12)
        times = [r.at for r in server.listed()]
        assert times[1] - times[0] < 0.5
        assert times[11] - times[10] > 3
