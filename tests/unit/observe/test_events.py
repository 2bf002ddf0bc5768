"""Events are a courtesy: bounded, merged, and in nobody's way."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from signer.api.event import ObjectReference
from signer.kube.client import ApiClient
from signer.kube.turns import Turns
from signer.observe.events import EventRecorder, event_object
from tests.fakes.apiserver import FakeApiServer, Reply, Seen, status
from tests.fakes.virtual_time import virtual_time

REF = ObjectReference("certificates.k8s.io/v1", "CertificateSigningRequest", "", "request-1", "u1", "7")


class Recording:
    def __init__(self, server: FakeApiServer, client: ApiClient) -> None:
        self.server = server
        self.dropped = 0
        self.recorder = EventRecorder(
            client, instance="pod-a", on_drop=self._dropped, clock=asyncio.get_running_loop().time
        )

    def _dropped(self) -> None:
        self.dropped += 1

    def emit(self, reason: str = "Failed", message: str = "m", **more: Any) -> None:
        self.recorder.emit(REF, "Warning", reason, message, **more)

    async def until(self, count: int) -> list[Seen]:
        for _ in range(10_000):
            if len(self.server.seen) >= count:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        return self.server.seen


@contextlib.asynccontextmanager
async def recording(*replies: Reply, endless: bool = False) -> AsyncIterator[Recording]:
    server = FakeApiServer(lists=[Reply(201)] if endless else None, others=list(replies), repeat_list=endless)
    async with server, ApiClient(server.config) as client:
        made = Recording(server, client)
        task = asyncio.create_task(made.recorder.run())
        try:
            yield made
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait([task])


@virtual_time
async def test_one_event() -> None:
    """An Event about a cluster-scoped object lands in the namespace default, and names the object whole."""
    async with recording(endless=True) as made:
        made.emit()
        (seen,) = await made.until(1)
        assert (seen.method, seen.path) == ("POST", "/api/v1/namespaces/default/events")
        body = json.loads(seen.body)
        assert body["involvedObject"] == {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "name": "request-1",
            "uid": "u1",
            "resourceVersion": "7",
        }
        assert (body["type"], body["reason"], body["message"], body["count"]) == ("Warning", "Failed", "m", 1)
        assert body["reportingInstance"] == "pod-a"
        assert body["source"] == {"component": "mesh-signer"}


@virtual_time
async def test_repeats_are_counted() -> None:
    """The same Event again raises the count of the first; another message is another Event."""
    async with recording(endless=True) as made:
        for _ in range(3):
            made.emit()
        made.emit(message="other")
        seen = await made.until(4)
        assert [request.method for request in seen] == ["POST", "PATCH", "PATCH", "POST"]
        name = json.loads(seen[0].body)["metadata"]["name"]
        assert seen[1].path == seen[2].path == f"/api/v1/namespaces/default/events/{name}"
        assert [json.loads(request.body)["count"] for request in seen[1:3]] == [2, 3]


@virtual_time
async def test_made_anew_when_it_ran_out() -> None:
    """An Event that the API server has dropped meanwhile is made anew."""
    async with recording(Reply(201), status(404, "NotFound"), Reply(201), Reply()) as made:
        for _ in range(3):
            made.emit()
        seen = await made.until(4)
        assert [request.method for request in seen] == ["POST", "PATCH", "POST", "PATCH"]
        assert made.dropped == 0


@virtual_time
async def test_trouble_is_not_retried() -> None:
    """An Event that the API server refuses is dropped and counted, and the next one is written."""
    async with recording(status(403, "Forbidden"), status(429, "TooManyRequests"), Reply(201)) as made:
        for reason in ("A", "B", "C"):
            made.emit(reason)
        seen = await made.until(3)
        assert [json.loads(request.body)["reason"] for request in seen] == ["A", "B", "C"]
        assert made.dropped == 2


@virtual_time
async def test_a_bounded_queue() -> None:
    """More than a thousand waiting Events are dropped and counted, never waited for."""
    async with recording(endless=True) as made:
        for n in range(1200):
            made.emit(message=str(n))
        assert made.dropped == 200
        assert len(made.recorder._queue) == 1000


@virtual_time
async def test_courtesies_give_way() -> None:
    """What the object shows anyway is told ten times at once and once a second; more is left out, uncounted."""
    async with recording(endless=True) as made:
        for n in range(25):
            made.emit(message=str(n), courtesy=True)
        assert len(made.recorder._queue) == 10
        made.emit(message="important")
        assert len(made.recorder._queue) == 11
        await asyncio.sleep(3.5)
        assert len(made.recorder._queue) == 0
        for n in range(25, 50):
            made.emit(message=str(n), courtesy=True)
        assert len(made.recorder._queue) == 3
        assert made.dropped == 0


@virtual_time
async def test_shares() -> None:
    """One tenant's Warnings take twenty places at once and one in two seconds; another tenant's find theirs free."""
    async with recording(endless=True) as made:
        for n in range(500):
            made.emit(message=str(n), share="bar")
        assert len(made.recorder._queue) == 20
        assert made.dropped == 480
        made.emit(message="foo", share="foo")
        made.emit(message="nobody's")
        assert len(made.recorder._queue) == 22
        await asyncio.sleep(6.5)
        for n in range(500):
            made.emit(message=f"again {n}", share="bar")
        assert len(made.recorder._queue) == 3


@virtual_time
async def test_shares_are_bounded() -> None:
    """Ten thousand tenants do not fill the memory."""
    async with recording(endless=True) as made:
        for n in range(10_000):
            made.emit(message="m", share=f"n{n}")
            made.recorder._queue = Turns()  # as if each were written at once: a full queue asks for no share
        assert len(made.recorder._shares) == 2048


@virtual_time
async def test_a_bounded_rate() -> None:
    """Fifty at once, then ten a second: each Event costs the API server as much as a certificate."""
    async with recording(endless=True) as made:
        start = asyncio.get_running_loop().time()
        for n in range(100):
            made.emit(message=str(n))
        seen = await made.until(100)
        assert seen[49].at - start < 1
        assert 4.5 < seen[99].at - start < 6


@virtual_time
async def test_long_messages_are_cut() -> None:
    """A message is cut at what the API server takes."""
    async with recording(endless=True) as made:
        made.emit(message="x" * 5000)
        (seen,) = await made.until(1)
        assert len(json.loads(seen.body)["message"]) == 1024


@virtual_time
async def test_memory_of_repeats_is_bounded() -> None:
    """Only the last few thousand Events are remembered for counting."""
    async with recording(endless=True) as made:
        made.recorder._known.update((n, None) for n in range(4096))  # type: ignore[misc]  # only the number matters
        made.emit()
        await made.until(1)
        assert len(made.recorder._known) == 4096


def test_the_name_fits() -> None:
    """The longest object name still makes an Event's name of at most 253 characters; two are never the same."""
    ref = ObjectReference("v1", "Secret", "shop", "n" * 253, "u")
    events = [event_object(ref, "Normal", "R", "m", now="t", instance="i") for _ in range(2)]
    names = {event["metadata"]["name"] for event in events}
    assert len(names) == 2
    assert all(len(name) <= 253 for name in names)
    assert events[0]["metadata"]["namespace"] == "shop"
    assert events[0]["involvedObject"]["namespace"] == "shop"


def about(namespace: str, number: int = 0) -> ObjectReference:
    return ObjectReference("cert-manager.io/v1", "CertificateRequest", namespace, f"request-{number}", f"u{number}")


@virtual_time
async def test_namespaces_take_turns() -> None:
    """Thousands of one namespace's Events delay another's by one, whoever tells them and whether he names a share or not."""
    async with recording(endless=True) as made:
        for number in range(3000):
            made.recorder.emit(about("bar", number), "Warning", "Refused", "m")
        made.recorder.emit(about("foo"), "Warning", "Refused", "m")
        made.emit("Cluster")
        seen = await made.until(4)
        names = [json.loads(request.body)["metadata"]["namespace"] for request in seen[:4]]
        assert {"foo", "default"} <= set(names)
        assert made.dropped == 2750


@virtual_time
async def test_there_is_always_room() -> None:
    """Whoever fills the whole queue, with however many namespaces, leaves the first Events of another one theirs."""
    async with recording(endless=True) as made:
        for number in range(3000):
            made.recorder.emit(about(f"bar-{number % 8}", number), "Warning", "Refused", "m")
        dropped = made.dropped
        for number in range(5):
            made.recorder.emit(about("foo", number), "Warning", "Refused", "m")
        assert made.dropped == dropped
