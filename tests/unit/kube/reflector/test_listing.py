"""What a reflector makes of lists."""

import asyncio
import math

import pytest

from signer.kube import paging
from signer.kube.paging import LARGEST_BODY
from signer.kube.reflector import Change
from tests.fakes.apiserver import FakeApiServer, Hang, Watch, event, page, status, thing
from tests.fakes.following import Thing, following
from tests.fakes.virtual_time import virtual_time


class TestFirstList:
    @virtual_time
    async def test_order(self) -> None:
        """Every object is told as added, in order and with its value, before "synced" is."""
        server = FakeApiServer(lists=[page(thing("a", value="1"), thing("b"))])
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            assert seen.told() == [("added", "a"), ("added", "b"), ("synced", "")]
            first = seen.changes[0]
            assert (first.old, first.new and first.new.value, first.key) == (None, "1", ("ns", "a"))
            assert first.new is seen.reflector.store["ns", "a"]

    @virtual_time
    async def test_not_synced_early(self) -> None:
        """Nothing counts as synced while a page is still missing."""
        server = FakeApiServer(lists=[page(thing("a"), token="more"), page(thing("b"), wait=20.0)])
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a"})
            assert not seen.reflector.synced.is_set()
            await seen.reflector.synced.wait()
            assert seen.names() == {"a", "b"}

    @virtual_time
    async def test_pages(self) -> None:
        """Lists are asked for in pages, each with the token of the one before, and the watch starts where the last one says."""
        server = FakeApiServer(
            lists=[
                page(thing("a"), token="t1", rv="70"),
                page(thing("b"), token="t2", rv="70"),
                page(thing("c"), rv="70"),
            ]
        )
        async with following(server, page_size=1, label_selector="x=y") as seen:
            await seen.until(server.watched)
            assert seen.names() == {"a", "b", "c"}
            assert [r.query.get("continue") for r in server.listed()] == [None, "t1", "t2"]
            for request in server.listed():
                assert request.query["limit"] == "1"
            for request in server.seen:
                assert request.query["labelSelector"] == "x=y"
                assert request.path == "/apis/example.dev/v1/things"
            assert server.watched()[0].query["resourceVersion"] == "70"

    @virtual_time
    async def test_pages_of_the_largest_objects(self) -> None:
        """A page full of the largest objects that etcd takes can be read, and leaves room: tenants may write such."""
        server = FakeApiServer(lists=[page()])
        async with following(server) as seen:
            await seen.until(server.watched)
            (asked,) = server.listed()
            assert int(asked.query["limit"]) * 1.5 * 1024 * 1024 <= LARGEST_BODY / 3

    @virtual_time
    async def test_one_namespace(self) -> None:
        """A namespace given means requests for that namespace only."""
        server = FakeApiServer(lists=[page()])
        async with following(server, namespace="shop") as seen:
            await seen.until(server.watched)
            assert {"/apis/example.dev/v1/namespaces/shop/things"} == {r.path for r in server.seen}

    @virtual_time
    async def test_expired_token(self) -> None:
        """A continue token that expired between pages means a new list from the start, and the result is the new list's."""
        server = FakeApiServer(
            lists=[
                page(thing("a"), thing("gone"), token="t1"),
                status(410, "Expired"),
                page(thing("a"), token="t2"),
                page(thing("b")),
            ]
        )
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            assert seen.names() == {"a", "b"}
            assert [r.query.get("continue") for r in server.listed()] == [None, "t1", None, "t2"]
            assert ("deleted", "gone") in seen.told()
            assert seen.told().count(("synced", "")) == 1

    @virtual_time
    async def test_ten_thousand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """While many objects come in, other tasks get their turn."""
        # A page that took long to decode is slept off, and no time passes while this test is always at work.
        monkeypatch.setattr(paging, "COSTLY", math.inf)
        server = FakeApiServer(lists=[page(*(thing(f"t{n}") for n in range(5000)))], watches=[Watch((Hang,))])
        turns = 0

        async with following(server) as seen:
            while not seen.reflector.synced.is_set():
                before = len(seen.reflector.store)
                await asyncio.sleep(0)
                turns += 0 < before < 5000
            assert turns >= 50


class TestRelist:
    @virtual_time
    async def test_differences_are_told(self) -> None:
        """After a new list, what was added, changed and deleted meanwhile is told, what stayed is not, and then "synced"."""
        server = FakeApiServer(
            lists=[
                page(thing("same"), thing("changes", "1", "old"), thing("goes")),
                page(thing("same"), thing("changes", "2", "new"), thing("comes")),
            ],
            watches=[status(410, "Expired")],
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.told().count(("synced", "")) == 2)
            assert seen.told()[4:] == [("modified", "changes"), ("added", "comes"), ("deleted", "goes"), ("synced", "")]
            modified, _, deleted, _ = seen.changes[4:]
            assert (modified.old, modified.new) != (None, None)
            assert (modified.old and modified.old.value, modified.new and modified.new.value) == ("old", "new")
            assert deleted.new is None
            assert deleted.old is not None
            assert seen.names() == {"same", "changes", "comes"}

    @virtual_time
    async def test_a_late_subscriber(self) -> None:
        """Who subscribes after the list knows all the same what is there: several may share one reflector."""
        server = FakeApiServer(lists=[page(thing("a"), thing("b"))])
        async with following(server) as seen:
            await seen.until(server.watched)
            late: list[Change[Thing]] = []
            seen.reflector.subscribe(late.append)
            assert [(change.kind, change.key[1], change.old) for change in late] == [
                ("added", "a", None),
                ("added", "b", None),
                ("synced", "", None),
            ]

    @virtual_time
    async def test_first_sync_stays(self) -> None:
        """Once in sync, a reflector stays so while it lists again: what it holds is still the best there is."""
        server = FakeApiServer(
            lists=[page(thing("a")), status(503, headers={"Retry-After": "5"}), page(thing("a"))],
            watches=[Watch((event("ERROR", {"kind": "Status", "code": 410}),))],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.listed()) == 2)
            assert seen.reflector.synced.is_set()
            assert seen.names() == {"a"}
            await seen.until(lambda: seen.told().count(("synced", "")) == 2)
            assert ("deleted", "a") not in seen.told()
