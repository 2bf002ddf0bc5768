"""What a reflector makes of a healthy watch."""

from signer.kube.reflector import GOOD_CONNECTION
from tests.fakes.apiserver import FakeApiServer, Hang, Watch, bookmark, event, page, thing
from tests.fakes.following import following
from tests.fakes.virtual_time import virtual_time

LONG = GOOD_CONNECTION + 1


@virtual_time
async def test_events() -> None:
    """Added, modified and deleted objects change the store and are told with the former and the new object."""
    server = FakeApiServer(
        lists=[page(thing("a", value="0"))],
        watches=[
            Watch(
                (
                    event("ADDED", thing("b", "11", "1")),
                    event("MODIFIED", thing("b", "12", "2")),
                    event("DELETED", thing("a", "13")),
                    Hang,
                )
            )
        ],
    )
    async with following(server) as seen:
        await seen.until(lambda: ("deleted", "a") in seen.told())
        assert seen.told()[2:] == [("added", "b"), ("modified", "b"), ("deleted", "a")]
        modified, deleted = seen.changes[3:]
        assert (modified.old and modified.old.value, modified.new and modified.new.value) == ("1", "2")
        assert (deleted.old and deleted.old.value, deleted.new) == ("0", None)
        assert seen.names() == {"b"}


@virtual_time
async def test_split_events() -> None:
    """An event cut into pieces by the network, or several in one piece, are the same events."""
    stream = event("ADDED", thing("b", "11")) + event("ADDED", thing("c", "12"))
    pieces: list[bytes | float] = []
    for n in range(0, len(stream), 7):
        pieces += [stream[n : n + 7], 0.01]
    server = FakeApiServer(lists=[page()], watches=[Watch((*pieces, stream.replace(b'"b"', b'"d"'), Hang))])
    async with following(server) as seen:
        await seen.until(lambda: ("added", "d") in seen.told())
        assert seen.names() == {"b", "c", "d"}


@virtual_time
async def test_asks_for_bookmarks_and_an_end() -> None:
    """A watch asks for bookmarks and for its own end after four to five minutes."""
    server = FakeApiServer(lists=[page(rv="10")])
    async with following(server) as seen:
        await seen.until(server.watched)
        query = server.watched()[0].query
        assert (query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "10")
        assert 240 <= int(query["timeoutSeconds"]) <= 300


@virtual_time
async def test_resumes_after_the_end() -> None:
    """After the server's proper end the watch goes on from the last event, at once and without a new list."""
    server = FakeApiServer(
        lists=[page(rv="10")],
        watches=[Watch((event("ADDED", thing("a", "15")), LONG)), Watch((event("ADDED", thing("b", "16")), Hang))],
    )
    async with following(server) as seen:
        await seen.until(lambda: ("added", "b") in seen.told())
        first, second = server.watched()
        assert (first.query["resourceVersion"], second.query["resourceVersion"]) == ("10", "15")
        assert second.at - first.at < LONG + 0.1
        assert len(server.listed()) == 1
        assert seen.restarts == ["eof"]


@virtual_time
async def test_bookmarks_move_the_start() -> None:
    """A bookmark moves the place to resume from, is not an object, and is told to nobody."""
    server = FakeApiServer(
        lists=[page(rv="10")], watches=[Watch((event("ADDED", thing("a", "15")), bookmark("99"), LONG)), Watch((Hang,))]
    )
    async with following(server) as seen:
        await seen.until(lambda: len(server.watched()) == 2)
        assert server.watched()[1].query["resourceVersion"] == "99"
        assert seen.told() == [("synced", ""), ("added", "a")]


@virtual_time
async def test_deleted_moves_the_start() -> None:
    """A deletion moves the place to resume from too, even of an object that we did not hold."""
    server = FakeApiServer(
        lists=[page(rv="10")], watches=[Watch((event("DELETED", thing("never seen", "77")), LONG)), Watch((Hang,))]
    )
    async with following(server) as seen:
        await seen.until(lambda: len(server.watched()) == 2)
        assert server.watched()[1].query["resourceVersion"] == "77"
        assert seen.told() == [("synced", "")]


@virtual_time
async def test_last_contact() -> None:
    """last_contact is when the server last said anything, a bookmark included."""
    server = FakeApiServer(
        lists=[page()], watches=[Watch((30.0, bookmark("11"), 40.0, event("ADDED", thing("a")), Hang))]
    )
    async with following(server) as seen:
        assert seen.reflector.last_contact == float("-inf")
        await seen.reflector.synced.wait()
        start = seen.reflector.last_contact
        await seen.until(lambda: seen.reflector.last_contact > start + 29)
        assert seen.reflector.last_contact < start + 31
        await seen.until(seen.names)
        assert start + 69 < seen.reflector.last_contact < start + 71
