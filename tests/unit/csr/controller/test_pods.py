"""Requests of Pods in the hot path: looked at last, lost never, and no way round what holds for istiod's requests."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from signer.api.pod import Surroundings
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.csr.answers.writer import Written
from signer.kube.errors import ApiError, Unreachable
from signer.kube.reflector import Change
from signer.pods.evaluate import evaluate_pod
from signer.tenancy.world import Policy, Rate
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.mesh_scene import OWNED
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, NOW
from tests.unit.pods.crafted import pod, request, seen
from tests.unit.tenancy.worlds import world


class FakePods:
    """A door that a test puts requests to; what is looked at is noted, and answered by `on_look`."""

    def __init__(self) -> None:
        self.store: dict[tuple[str, str], PodCertificateRequest] = {}
        self.handlers: list[Callable[[Change[PodCertificateRequest]], None]] = []
        self.slips: list[Callable[[PodCertificateRequest, str], None]] = []
        self.looked: list[str] = []
        self.on_look: Callable[[], Surroundings] = seen
        self.begun = asyncio.get_running_loop().time()
        self.takes = 0.01

    def subscribe(self, handler: Callable[[Change[PodCertificateRequest]], None]) -> None:
        self.handlers.append(handler)

    def subscribe_slips(self, handler: Callable[[PodCertificateRequest, str], None]) -> None:
        self.slips.append(handler)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def evaluate(self, *given: Any) -> Any:
        return evaluate_pod(*given)

    async def look(self, asked: PodCertificateRequest) -> Surroundings:
        self.looked.append(asked.name)
        at = NOW + timedelta(seconds=asyncio.get_running_loop().time() - self.begun)
        await asyncio.sleep(self.takes)
        return replace(self.on_look(), at=at)

    def put(self, *, silently: bool = False, **fields: Any) -> None:
        made = request(**fields)
        key = (made.namespace, made.name)
        old = self.store.get(key)
        self.store[key] = made
        for handler in [] if silently else self.handlers:
            handler(Change("added" if old is None else "modified", key, old, made))

    def delete(self, name: str, namespace: str = "foo") -> None:
        old = self.store.pop((namespace, name), None)
        if old is None:
            return
        for handler in self.handlers:
            handler(Change("deleted", (namespace, name), old, None))


def scenery(**changes: Any) -> tuple[FakePods, dict[str, Any]]:
    pods = FakePods()
    return pods, {"pods": pods, "world": world(bindings=OWNED)} | changes


@virtual_time
async def test_one_look_and_one_answer() -> None:
    """A request is looked at once and answered once, with two audit lines of its kind; its tenant is told of the mesh."""
    pods, scene_of = scenery()
    async with running(**scene_of) as scene:
        pods.put()
        await scene.until(lambda: scene.names)
        await asyncio.sleep(60)
        assert scene.names == pods.looked == ["request-1"]
        assert not scene.writer.writes[0].answer.refused
        assert [line["audit"] for line in scene.audit] == ["intent", "outcome"]
        assert {line["resource"] for line in scene.audit} == {"PodCertificateRequest"}
        assert scene.mesh is not None
        assert scene.mesh.told_issued == [(FOO, "foo")]


@virtual_time
async def test_what_is_not_granted_costs_no_look() -> None:
    """A request that the wall keeps waiting has nobody look at Pods, and gets no answer; its Pod's Events say why."""
    pods, scene_of = scenery()
    async with running(**scene_of) as scene:
        pods.put(namespace="bar")
        await asyncio.sleep(120)
        assert not pods.looked
        assert not scene.names
        events = scene.recorder.of("Pod")
        assert [(event.reason, event.namespace, event.name) for event in events] == [("TenantMismatch", "bar", "web-0")]
        assert scene.metric("waiting_requests", reason="TenantMismatch") == 1
        assert {line["verdict"] for line in scene.audit} == {"wait"}


@virtual_time
async def test_a_pod_that_is_another() -> None:
    """A request whose Pod is another one is denied, once, and its tenant's refusals count it."""
    pods, scene_of = scenery()
    pods.on_look = lambda: seen(pod(uid="another"))
    async with running(**scene_of) as scene:
        pods.put()
        await scene.until(lambda: scene.names)
        (write,) = scene.writer.writes
        assert write.answer.refused
        assert scene.audit[0]["reasons"][0].startswith("PodMismatch")


@pytest.mark.parametrize(
    "error", [Unreachable("cut"), ApiError(500, "InternalError", "x"), ApiError(403, "Forbidden", "no")]
)
def test_a_look_that_fails(error: Exception) -> None:
    """A Pod that cannot be looked at is looked at again with growing pauses; that it lasts is told, and in the end it is issued."""

    @virtual_time
    async def scenario() -> None:
        pods, scene_of = scenery()

        def fail() -> Surroundings:
            raise error

        pods.on_look = fail
        async with running(**scene_of) as scene:
            pods.put()
            await asyncio.sleep(60)
            assert not scene.names
            assert 5 < len(pods.looked) < 30
            assert "InquiryFailed" in scene.recorder.reasons
            pods.on_look = seen
            await scene.until(lambda: scene.names, 15)
            assert not scene.writer.writes[0].answer.refused

    scenario()


@virtual_time
async def test_deleted_while_it_is_looked_at() -> None:
    """What is deleted meanwhile is not answered, and nothing of it is left."""
    pods, scene_of = scenery()
    pods.takes = 5.0
    async with running(**scene_of) as scene:
        pods.put()
        await scene.until(lambda: pods.looked)
        pods.delete("request-1")
        await asyncio.sleep(60)
        assert not scene.names


@virtual_time
async def test_changed_while_it_is_looked_at() -> None:
    """What was seen for one version of a request says nothing of the next: its Pod is looked at again."""
    pods, scene_of = scenery()
    pods.takes = 5.0
    async with running(**scene_of) as scene:
        pods.put()
        await scene.until(lambda: pods.looked)
        pods.put(version="8", pod_uid="other")
        await scene.until(lambda: scene.names, 30)
        assert pods.looked == ["request-1"] * 2
        assert scene.writer.writes[0].answer.refused


@virtual_time
async def test_a_conflict() -> None:
    """After a 409 the request is decided anew on what it says now, and answered once."""
    pods, scene_of = scenery()
    async with running(**scene_of) as scene:
        scene.writer.script.append(Written("conflict", latest=request(version="8")))
        pods.put()
        await scene.until(lambda: len(scene.names) == 2)
        await asyncio.sleep(60)
        assert len(scene.names) == len(pods.looked) == 2
        assert [line.get("outcome") for line in scene.audit] == [None, "conflict", None, "stored"]


@virtual_time
async def test_an_unknown_outcome() -> None:
    """An answer of which nobody knows whether it was stored is sent again as it is: no second certificate is made."""
    pods, scene_of = scenery()
    async with running(**scene_of) as scene:
        scene.writer.script.append(Written("unknown", "cut"))
        pods.put()
        await scene.until(lambda: len(scene.names) == 2)
        first, second = scene.writer.writes
        assert first.answer is second.answer
        assert second.unsure


@virtual_time
async def test_what_the_watch_did_not_tell() -> None:
    """A request that is there and of which nobody told is found within the half minute."""
    pods, scene_of = scenery()
    async with running(**scene_of) as scene:
        pods.put(silently=True)
        await scene.until(lambda: scene.names, 40)


@virtual_time
async def test_a_policys_rate_is_one_for_both_doors() -> None:
    """What istiod asks for a namespace and what its nodes ask come out of one rate."""
    policy = Policy("team", frozenset({FOO}), namespaces=frozenset({"foo"}), rate=Rate(6, timedelta(minutes=1)))
    pods, scene_of = scenery(world=world(policies=(policy,)))
    async with running(**scene_of) as scene:
        scene.put_many(4)
        for number in range(4):
            pods.put(name=f"p{number}", uid=f"pu{number}")
        await asyncio.sleep(2)
        assert len(scene.names) == 6
        await scene.until(lambda: len(scene.names) == 8, 60)


@virtual_time
async def test_another_replicas() -> None:
    """A request of another replica is left to it, and taken over when that one is silent."""
    pods, scene_of = scenery(members=("a", "b"))
    async with running(**scene_of) as scene:
        for number in range(20):
            pods.put(name=f"p{number}", uid=f"pu{number}")
        await asyncio.sleep(0.5)
        mine = len(set(scene.names))
        assert 0 < mine < 20
        await scene.until(lambda: len(set(scene.names)) == 20, 30)


@virtual_time
async def test_the_audit_log_comes_first() -> None:
    """Nothing is issued to a Pod that could not be written down."""
    pods, scene_of = scenery(audit_stop=True)
    async with running(**scene_of) as scene:
        scene.disk.full = True
        scene.put_many(1)  # whose line finds that the disk is full
        await asyncio.sleep(5)
        before = len(scene.names)
        pods.put()
        await asyncio.sleep(30)
        assert len(scene.names) == before
        scene.disk.full = False
        await scene.until(lambda: "request-1" in scene.names, 30)
