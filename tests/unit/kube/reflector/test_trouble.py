"""Broken connections, refusals, and servers that give no sense: backing off, and coming back."""

import asyncio
import itertools
import logging

import pytest

from signer.kube.reflector import GOOD_CONNECTION, RESUMES_BEFORE_RELIST
from tests.fakes.apiserver import (
    Cut,
    FakeApiServer,
    Hang,
    Reply,
    Watch,
    bookmark,
    event,
    page,
    status,
    status_object,
    thing,
)
from tests.fakes.following import following
from tests.fakes.virtual_time import virtual_time

LONG = GOOD_CONNECTION + 1


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


class TestEndsAtOnce:
    @virtual_time
    async def test_backs_off(self) -> None:
        """Watches that end as soon as they begin are begun again ever more slowly, up to five seconds, without a new list."""
        server = FakeApiServer(lists=[page()], watches=[Watch()] * 12)
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 13)
            waits = gaps([r.at for r in server.watched()])
            assert waits[0] < 0.3
            assert waits[3] > 2 * waits[1]
            assert all(3 < wait < 5.2 for wait in waits[8:])
            assert len(server.listed()) == 1

    @virtual_time
    async def test_an_event_is_no_excuse(self) -> None:
        """A server that sends one thing and ends each time is a storm just the same."""
        server = FakeApiServer(lists=[page()], watches=[Watch((bookmark(str(n)),)) for n in range(20, 32)])
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 13)
            assert gaps([r.at for r in server.watched()])[-1] > 3
            assert server.watched()[-1].query["resourceVersion"] == "31"

    @virtual_time
    async def test_a_long_watch_makes_good(self) -> None:
        """After a watch that lasted, the next trouble starts with the shortest pause again."""
        server = FakeApiServer(lists=[page()], watches=[*[Watch()] * 10, Watch((LONG,)), Watch(), Watch()])
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 14)
            waits = gaps([r.at for r in server.watched()])
            assert waits[9] > 3
            assert waits[10] < LONG + 0.1
            assert waits[11] < 0.3


class TestBroken:
    @virtual_time
    async def test_cut(self) -> None:
        """A watch that is cut goes on from the last event, without a list."""
        server = FakeApiServer(
            lists=[page(rv="10")],
            watches=[
                Watch((event("ADDED", thing("a", "15")), LONG, Cut)),
                Watch((event("ADDED", thing("b", "16")), Hang)),
            ],
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a", "b"})
            assert server.watched()[1].query["resourceVersion"] == "15"
            assert seen.restarts == ["unreachable"]
            assert len(server.listed()) == 1
            # A long watch that broke: the shortest pause.
            assert gaps([r.at for r in server.watched()])[0] < LONG + 0.3

    @virtual_time
    async def test_cut_over_and_over(self) -> None:
        """Being cut any number of times in a row never leads to a list, only to longer pauses."""
        server = FakeApiServer(lists=[page(rv="10")], watches=[Watch((Cut,))] * 10)
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 11)
            assert len(server.listed()) == 1
            assert gaps([r.at for r in server.watched()])[-1] > 3


class TestRefused:
    @virtual_time
    async def test_forbidden_is_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """A 403 is retried for ever but logged once; when it works again that is said once too."""
        caplog.set_level(logging.INFO)
        refusal = status(403, "Forbidden", "things is forbidden: no RBAC")
        server = FakeApiServer(lists=[*[refusal] * 8, page(thing("a"))])
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
            assert len(warnings) == 1
            assert "things.example.dev" in warnings[0]
            assert "no RBAC" in warnings[0]
            assert sum("works again" in r.getMessage() for r in caplog.records) == 1

    @virtual_time
    async def test_forbidden_is_tried_less_often(self) -> None:
        """Rights that are missing are asked for ever more seldom, up to half a minute: there may be a thousand such watches."""
        server = FakeApiServer(lists=[*[status(403, "Forbidden")] * 12, page(thing("a"))])
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a"}, 3600)
            waits = gaps([r.at for r in server.listed()])
            assert waits[0] < 0.3
            assert all(14 < wait < 31 for wait in waits[8:])

    @virtual_time
    async def test_where_rights_never_come(self) -> None:
        """Where that may stay so, as with Secrets of others, the pauses grow on, to what whoever watches says."""
        server = FakeApiServer(lists=[*[status(403, "Forbidden")] * 20, page(thing("a"))])
        async with following(server, forbidden_delay=600.0) as seen:
            await seen.until(lambda: seen.names() == {"a"}, 20_000)
            waits = gaps([r.at for r in server.listed()])
            assert waits[0] < 0.3
            assert all(250 < wait < 601 for wait in waits[14:])

    @virtual_time
    async def test_a_new_trouble_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        """Another kind of trouble, or the same one after a recovery, is logged again."""
        server = FakeApiServer(
            lists=[
                status(403, "Forbidden"),
                status(503, "ServiceUnavailable"),
                page(),
                status(403, "Forbidden"),
                page(),
            ],
            watches=[status(410, "Expired")],
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.told().count(("synced", "")) == 2)
            assert sum(r.levelno >= logging.WARNING for r in caplog.records) == 3

    @virtual_time
    async def test_an_event_is_a_recovery(self, caplog: pytest.LogCaptureFixture) -> None:
        """A watch that brings something has recovered, so the same trouble later is news."""
        refusal = status(403, "Forbidden")
        server = FakeApiServer(
            lists=[page()],
            watches=[refusal, refusal, Watch((event("ADDED", thing("a")), LONG)), refusal, Watch((Hang,))],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 5)
            assert sum(r.levelno >= logging.WARNING for r in caplog.records) == 2

    @virtual_time
    async def test_a_quiet_watch_works_again_soon(self, caplog: pytest.LogCaptureFixture) -> None:
        """A watch that lasts works, though nothing happens on it: that is said within seconds, and not with the next bookmark."""
        caplog.set_level(logging.INFO)
        server = FakeApiServer(lists=[page()], watches=[status(403, "Forbidden"), Watch((Hang,))])
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 2)
            assert "works again" not in caplog.text
            await asyncio.sleep(GOOD_CONNECTION + 0.5)
            assert caplog.text.count("works again") == 1
            assert seen.reflector.trouble == ""

    @virtual_time
    async def test_crd_comes_later(self) -> None:
        """A resource that is not there yet (404) is found within ten seconds of its appearance, however long it took."""
        server = FakeApiServer(lists=[*[status(404, "NotFound")] * 40, page(thing("a"))])
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a"}, 3600)
            assert max(gaps([r.at for r in server.listed()])) < 10
            assert server.listed()[-1].at - server.listed()[0].at > 120

    @virtual_time
    async def test_crd_goes_and_comes(self) -> None:
        """When the whole resource goes away under a watch (404), the next thing that works is a new list."""
        server = FakeApiServer(
            lists=[page(thing("a"), rv="10"), status(404, "NotFound"), page(rv="50")],
            watches=[Watch((LONG,)), status(404, "NotFound"), Watch((Hang,))],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 3)
            assert server.watched()[2].query["resourceVersion"] == "50"
            assert seen.names() == set()

    @pytest.mark.parametrize("code", [429, 503])
    @virtual_time
    async def test_retry_after(self, code: int) -> None:
        """Retry-After is waited for, by list and by watch."""
        busy = status(code, "Busy", headers={"Retry-After": "17"})
        server = FakeApiServer(lists=[busy, page()], watches=[busy, Watch((Hang,))])
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 2)
            assert gaps([r.at for r in server.listed()])[0] >= 17
            assert gaps([r.at for r in server.watched()])[0] >= 17
            assert len(server.listed()) == 2

    @pytest.mark.parametrize("code", [401, 403, 429, 503])
    @virtual_time
    async def test_overload_brings_no_list(self, code: int) -> None:
        """Refusals that a list would meet as well never turn watches into lists."""
        server = FakeApiServer(lists=[page()], watches=[status(code)] * 10)
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 11)
            assert len(server.listed()) == 1


class TestErrorEvents:
    FAILED = Watch((event("ERROR", status_object(500, "InternalError", "etcdserver: no leader")),))

    @virtual_time
    async def test_resumes_first(self) -> None:
        """An ERROR event other than 410 means a pause and then going on from the last event."""
        server = FakeApiServer(
            lists=[page(rv="10")],
            watches=[
                Watch((event("ADDED", thing("a", "15")), *self.FAILED.steps)),
                Watch((event("ADDED", thing("b")), Hang)),
            ],
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a", "b"})
            assert server.watched()[1].query["resourceVersion"] == "15"
            assert len(server.listed()) == 1
            assert seen.restarts == ["error"]

    @virtual_time
    async def test_lists_in_the_end(self) -> None:
        """When going on fails again and again (etcd restored from a backup), a new list is the way out."""
        server = FakeApiServer(
            lists=[page(rv="10"), page(thing("a"), rv="3")],
            watches=[*[self.FAILED] * RESUMES_BEFORE_RELIST, Watch((Hang,))],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == RESUMES_BEFORE_RELIST + 1)
            assert server.watched()[-1].query["resourceVersion"] == "3"
            assert seen.names() == {"a"}
            assert len(server.listed()) == 2

    @virtual_time
    async def test_a_long_watch_makes_good(self) -> None:
        """Errors between watches that lasted do not add up to a new list."""
        late = Watch((LONG, *self.FAILED.steps))
        server = FakeApiServer(lists=[page()], watches=[late] * (RESUMES_BEFORE_RELIST + 1))
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == RESUMES_BEFORE_RELIST + 2)
            assert len(server.listed()) == 1

    @virtual_time
    async def test_without_a_status(self) -> None:
        """An ERROR event with nonsense in it is trouble like any other, not the end of the reflector."""
        server = FakeApiServer(
            lists=[page()],
            watches=[Watch((b'{"type":"ERROR","object":7}\n',)), Watch((event("ADDED", thing("a")), Hang))],
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a"})


class TestNonsense:
    @pytest.mark.parametrize(
        "line",
        [
            b"<html>\n",
            b"{}\n",
            b'{"type": 1, "object": {}}\n',
            b'{"type": "ADDED"}\n',
            b"[" * 5000 + b"\n",
            b"\xff\xfe\n",
        ],
        ids=["html", "empty", "wrong type", "no object", "deep", "not utf-8"],
    )
    @virtual_time
    async def test_lines(self, line: bytes) -> None:
        """A line that is not a watch event costs the connection, not the reflector."""
        server = FakeApiServer(lists=[page()], watches=[Watch((line, Hang)), Watch((event("ADDED", thing("a")), Hang))])
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a"})

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items": 3}', b'{"metadata": {}, "items": {}}'])
    @virtual_time
    async def test_lists(self, body: bytes) -> None:
        """A list that is none is tried again."""
        server = FakeApiServer(lists=[Reply(body=body), page(thing("a"))])
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            assert seen.names() == {"a"}
