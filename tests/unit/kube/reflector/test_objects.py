"""Bad objects, uninteresting objects, and handlers that fail: none of them costs the others anything."""

import asyncio
import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from signer.kube import paging, reflector
from signer.kube.encoding.codec import JsonCodec
from signer.kube.encoding.depth import TOO_DEEP
from signer.kube.reflector import Change
from tests.fakes.apiserver import FakeApiServer, Hang, Watch, event, page, thing
from tests.fakes.following import Thing, following
from tests.fakes.virtual_time import virtual_time

BAD = 12345  # `value` should be a string


class TestBadObjects:
    @virtual_time
    async def test_in_a_list(self, caplog: pytest.LogCaptureFixture) -> None:
        """An object in a list that cannot be read is named once, with the field, and the others are there."""
        server = FakeApiServer(lists=[page(thing("a"), thing("bad", value=BAD), thing("c"))])
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            assert seen.names() == {"a", "c"}
            (record,) = caplog.records
            assert "things.example.dev ns/bad" in record.getMessage()
            assert "$.value" in record.getMessage()

    @virtual_time
    async def test_in_a_watch(self, caplog: pytest.LogCaptureFixture) -> None:
        """An event with a bad object is reported once; the place to resume from moves on; the connection stays."""
        server = FakeApiServer(
            lists=[page(rv="10")],
            watches=[
                Watch(
                    (
                        event("ADDED", thing("bad", "11", BAD)),
                        event("MODIFIED", thing("bad", "12", BAD)),
                        event("ADDED", thing("c", "13")),
                        event("MODIFIED", thing("bad", "14", BAD)),
                        3.0,
                    )
                ),
                Watch((Hang,)),
            ],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 2)
            assert seen.names() == {"c"}
            assert server.watched()[1].query["resourceVersion"] == "14"
            assert len(caplog.records) == 1

    @virtual_time
    async def test_turns_bad_and_good_again(self, caplog: pytest.LogCaptureFixture) -> None:
        """An object that becomes unreadable counts as deleted, and is there again when it is mended; a second fault is news."""
        server = FakeApiServer(
            lists=[page(thing("a"))],
            watches=[
                Watch(
                    (
                        event("MODIFIED", thing("a", "11", BAD)),
                        event("MODIFIED", thing("a", "12", "fine")),
                        event("MODIFIED", thing("a", "13", BAD)),
                        Hang,
                    )
                )
            ],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(caplog.records) == 2)
            assert seen.told()[2:] == [("deleted", "a"), ("added", "a"), ("deleted", "a")]

    @pytest.mark.parametrize(
        "obj", [{}, {"metadata": {}}, {"metadata": {"name": ""}}, {"metadata": {"name": 7}}, {"metadata": None}]
    )
    @virtual_time
    async def test_without_a_name(self, obj: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
        """Objects without a readable name are skipped in lists and watches."""
        server = FakeApiServer(
            lists=[page(obj, thing("a"))], watches=[Watch((event("ADDED", obj), event("ADDED", thing("b")), Hang))]
        )
        async with following(server) as seen:
            await seen.until(lambda: seen.names() == {"a", "b"})
            assert caplog.records

    @virtual_time
    async def test_a_codec_that_trips(self, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever an object makes the codec raise, only that object is lost."""

        def keep(obj: Thing) -> Thing | None:
            if obj.value == "trip":
                raise KeyError("unforeseen")
            return obj

        server = FakeApiServer(
            lists=[page(thing("x", value="trip"), thing("a"))],
            watches=[Watch((event("ADDED", thing("y", "2", "trip")), event("ADDED", thing("b", "3")), Hang))],
        )
        async with following(server, codec=JsonCodec(Thing, keep=keep)) as seen:
            await seen.until(lambda: seen.names() == {"a", "b"})
            assert len(caplog.records) == 2


@virtual_time
async def test_not_of_interest() -> None:
    """An object that the codec turns into None is absent: never told, and deleted when it was there before."""

    def keep(obj: Thing) -> Thing | None:
        return obj if obj.value != "dull" else None

    server = FakeApiServer(
        lists=[page(thing("a"), thing("b", value="dull"))],
        watches=[
            Watch(
                (
                    event("MODIFIED", thing("b", "11", "dull")),
                    event("MODIFIED", thing("a", "12", "dull")),
                    event("MODIFIED", thing("a", "13", "bright")),
                    Hang,
                )
            )
        ],
    )
    async with following(server, codec=JsonCodec(Thing, keep=keep)) as seen:
        await seen.until(lambda: len(seen.changes) == 4)
        assert seen.told() == [("added", "a"), ("synced", ""), ("deleted", "a"), ("added", "a")]


@virtual_time
async def test_handlers_fail(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that raises is logged with the object's name; the other handlers and the next objects get their turn."""

    def fail(change: Change[Thing]) -> None:
        raise RuntimeError(f"cannot bear {change.kind}")

    server = FakeApiServer(lists=[page(thing("a"))], watches=[Watch((event("ADDED", thing("b")), Hang))])
    async with following(server, handler=fail) as seen:
        await seen.until(lambda: ("added", "b") in seen.told())
        assert seen.told() == [("added", "a"), ("synced", ""), ("added", "b")]
        assert "ns/a" in caplog.records[0].getMessage()
        assert "cannot bear added" in caplog.text


def deep(name: str, depth: int = 9_999) -> bytes:
    """An object as deep as the API server takes it, which a writer of JSON would not write."""
    text = json.dumps(thing(name, "8", value="@"))
    return text.replace('"@"', '{"metadata":{"name":"b"},"a":' * depth + "1" + "}" * depth).encode()


@virtual_time
async def test_nested_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """An object that is nested deeper than any reader goes is named and left out, in a list and in a watch; the others go on."""
    first = page(thing("a"), thing("b"), thing("@"))
    first = replace(first, body=first.body.replace(json.dumps(thing("@")).encode(), deep("deep")))
    steps = (
        b'{"type":"MODIFIED","object":' + deep("a") + b"}\n",
        event("MODIFIED", thing("b", "9", "x")),
        event("MODIFIED", thing("deep", "10", "x")),
        Hang,
    )
    server = FakeApiServer(lists=[first], watches=[Watch(steps)])
    async with following(server) as seen:
        await seen.until(lambda: ("ns", "deep") in seen.reflector.store)
        assert seen.names() == {"b", "deep"}
        assert seen.told() == [
            ("added", "a"),
            ("added", "b"),
            ("synced", ""),
            ("deleted", "a"),
            ("modified", "b"),
            ("added", "deep"),
        ]
        assert [one.getMessage() for one in caplog.records] == [
            f"things.example.dev ns/{name} cannot be read: {TOO_DEEP}" for name in ("deep", "a")
        ]
        assert seen.restarts == []


@virtual_time
async def test_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes us read what takes long has half of the time, whatever he does: the rest of it is others'."""
    for where in (reflector, paging):
        ticks = itertools.count()
        monkeypatch.setattr(where, "time", SimpleNamespace(perf_counter=lambda t=ticks: float(next(t)), monotonic=None))
    loop = asyncio.get_running_loop()
    steps = [event("MODIFIED", thing("a", str(n), str(n))) for n in range(5)]
    server = FakeApiServer(lists=[page(thing("a"))], watches=[Watch((*steps, Hang))])
    async with following(server) as seen:
        await seen.reflector.synced.wait()
        listed = loop.time()
        assert listed >= 1.0
        await seen.until(lambda: seen.reflector.store["ns", "a"].value == "4")
        assert loop.time() - listed >= 4.0
