"""The injector over an API server that fails as it likes: everybody gets the CA in the end, and nothing else is ever written."""

import asyncio
import base64
import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from signer.api.casource import CA_SOURCES, CASource, CASourceSpec, source_name
from signer.api.injectable import (
    INJECT_API_SERVER_CA,
    INJECT_CA_FROM_SECRET,
    INJECTABLES,
    VALIDATING_WEBHOOKS,
    Injectable,
    asking,
)
from signer.injector.api_server import OwnCA
from signer.injector.controller import PATIENCE_SECONDS, InjectionController
from signer.injector.rival import Rival
from signer.injector.told import Told
from signer.injector.watched import Watched
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable, api_error
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from signer.observe.controller_queue import ControllerQueue
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from tests import pki
from tests.fakes.virtual_time import virtual_time
from tests.unit.injector.test_decide import without_bundles

Json = dict[str, Any]
FIRST, SECOND, OWN = (pki.CA(name, now=pki.ANY_TIME).pem for name in ("first", "second", "own"))
SOURCE = CASourceSpec(kind="Secret", namespace="a", name="b")


class Faulty:
    """An API server in memory, which tells the watches what it stores. `faults` are drawn from a seed, one in three calls."""

    def __init__(self, seed: int = 0, *, faulty: bool = False) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.events: list[tuple[str, str, str]] = []
        self.patches: list[tuple[str, list[Json]]] = []
        self.leases: dict[str, Json | Exception] = {}
        self.faulty = faulty
        self.watched: Watched | None = None
        self._version = 0
        self._random = random.Random(seed)

    def store(self, resource: Resource, obj: Json) -> None:
        """Keep an object, and tell the watch."""
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        key = (resource.plural, obj["metadata"]["name"])
        self.objects[key] = obj
        self._tell(resource, key[1], obj)

    def remove(self, resource: Resource, name: str) -> None:
        del self.objects[resource.plural, name]
        self._tell(resource, name, None)

    def _tell(self, resource: Resource, name: str, obj: Json | None) -> None:
        assert self.watched is not None
        reflector: Any = self.watched.sources if resource == CA_SOURCES else self.watched.objects[resource]
        if resource == CA_SOURCES:
            new: Any = msgspec.convert(obj, CASource) if obj is not None else None
        else:
            new = asking(msgspec.convert(obj, Injectable)) if obj is not None else None
        old = reflector.store.pop(("", name), None)
        if new is not None:
            reflector.store["", name] = new
        if old is not None or new is not None:
            kind = "deleted" if new is None else "modified" if old is not None else "added"
            cast("Reflector[Any]", reflector)._tell(Change(cast("Any", kind), ("", name), old, new))

    async def _fail(self, *kinds: str) -> str:
        """Fail before the call does anything, or name a failure that comes after it."""
        await asyncio.sleep(0)
        if not self.faulty or self._random.random() > 1 / 3:
            return ""
        kind = self._random.choice(kinds)
        if kind == "unreachable":
            raise Unreachable("cut off")
        if kind.isdigit():
            raise api_error(int(kind), "", "no", None)
        return kind

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        if namespace is not None:
            lease = self.leases.get(namespace, api_error(404))
            if isinstance(lease, Exception):
                raise lease
            return lease
        await self._fail("500", "429", "401", "unreachable")
        if (resource.plural, name) not in self.objects:
            raise api_error(404)
        return msgspec.json.decode(msgspec.json.encode(self.objects[resource.plural, name]), type=dict[str, Any])

    async def create(self, resource: Resource, obj: Json, _namespace: str | None = None) -> Json:
        if resource.plural == "events":
            involved = obj["involvedObject"]
            self.events.append((involved["name"], obj["reason"], obj["message"]))
            return obj
        assert resource == CA_SOURCES
        lost = await self._fail("500", "403", "unreachable", "lost")
        if (resource.plural, obj["metadata"]["name"]) in self.objects:
            raise api_error(409, "AlreadyExists")
        self.store(resource, {"metadata": {**obj["metadata"], "uid": f"u{self._version}"}, "spec": obj["spec"]})
        if lost:
            raise Unreachable("the answer is lost")
        return obj

    async def delete(self, resource: Resource, name: str, *, uid: str | None = None) -> None:
        assert resource == CA_SOURCES
        await self._fail("500", "unreachable")
        assert self.objects[resource.plural, name]["metadata"]["uid"] == uid
        self.remove(resource, name)

    async def patch(self, resource: Resource, name: str, body: list[Json], **options: Any) -> Json:
        if resource.plural == "events":
            return {}
        assert options == {"kind": "json", "field_manager": "mesh-signer-ca-injector"}
        lost = await self._fail("409", "422", "403", "500", "429", "unreachable", "lost", "changed", "gone")
        found = self.objects[resource.plural, name]
        if lost == "gone":  # deleted, and made again
            self.remove(resource, name)
            self.store(resource, injectable(resource, name, found["metadata"]["annotations"]))
            raise api_error(404)
        if lost == "changed":  # somebody was faster
            self.store(resource, {**found, "metadata": {**found["metadata"], "labels": {"a": str(self._version)}}})
            found = self.objects[resource.plural, name]
        if body[0]["value"] != found["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict")
        new = msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Any])
        for step in body[1:]:
            *parents, last = step["path"].split("/")[1:]
            place: Any = new
            for one in parents:
                place = place[int(one)] if isinstance(place, list) else place[one]
            place[last] = step["value"]
        assert without_bundles(new) == without_bundles(found)
        assert new != found, "a write that changes nothing"
        self.patches.append((name, body))
        self.store(resource, new)
        if lost:
            raise Unreachable("the answer is lost")
        return new


class Running:
    """The injector's controller at work over a Faulty; the watches are told by it."""

    def __init__(self, server: Faulty, namespaces: frozenset[str] = frozenset()) -> None:
        self.server = server
        self.metrics = Metrics()
        client = cast("ApiClient", server)
        self.watched = server.watched = Watched(client, namespaces, lambda _resource: None)
        self.queue = ControllerQueue[tuple[str, str]](self.metrics, "cainjector")
        self.watched.enqueue = self.queue.add
        self.own_ca = OwnCA(None, lambda: None)
        self.own_ca.found = OWN
        self.recorder = EventRecorder(client, instance="test", clock=lambda: asyncio.get_running_loop().time())
        told = Told(self.recorder, self.metrics)
        self.controller = InjectionController(client, self.watched, self.own_ca, told, self.queue, self.now)
        for reflector in (self.watched.sources, *self.watched.objects.values()):
            cast("Reflector[Any]", reflector).synced.set()

    @staticmethod
    def now() -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def at_work(self) -> Any:
        tasks = [
            asyncio.create_task(self.queue.run(self.controller.reconcile, workers=2)),
            asyncio.create_task(self.recorder.run()),
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def put(self, resource: Resource, name: str, annotations: dict[str, str]) -> None:
        self.server.store(resource, injectable(resource, name, annotations))

    def answer(self, spec: CASourceSpec, bundle: bytes, reason: str = "Available") -> bool:
        """Answer a question as the controllers do, if there is one."""
        found = self.server.objects.get((CA_SOURCES.plural, source_name(spec)))
        if found is None:
            return False
        status = {"caBundle": base64.b64encode(bundle).decode(), "reason": reason, "message": "from a Secret"}
        self.server.store(CA_SOURCES, {**found, "status": status})
        return True

    def bundles(self, resource: Resource, name: str) -> set[bytes]:
        return set(bundles_in(self.server.objects[resource.plural, name]))

    def counted(self, state: str) -> float:
        found = 0.0
        for family in self.metrics.ca_injectables.collect():
            found += sum(one.value for one in family.samples if one.labels["state"] == state)
        return found


def injectable(resource: Resource, name: str, annotations: dict[str, str]) -> Json:
    config = {"service": {"name": "s", "namespace": "n"}}
    metadata = {"name": name, "uid": name, "annotations": annotations}
    if resource.plural.endswith("webhookconfigurations"):
        hooks: list[Json] = [{"name": one, "clientConfig": dict(config), "rules": []} for one in ("x", "y")]
        return {"metadata": metadata, "webhooks": hooks}
    if resource.plural == "apiservices":
        return {"metadata": metadata, "spec": dict(config)}
    return {"metadata": metadata, "spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": config}}}}


def bundles_in(part: Any) -> list[bytes]:
    """Every place for a bundle, b"" where there is none."""
    if isinstance(part, dict):
        own = [base64.b64decode(part.get("caBundle", ""))] if "service" in part else []
        return own + [found for value in part.values() for found in bundles_in(value)]
    return [found for one in part for found in bundles_in(one)] if isinstance(part, list) else []


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_everybody_gets_the_ca(seed: int) -> None:
    """Over any mixture of failures, lost answers and others' writes, all end with the CA, and no write changes anything else."""

    @virtual_time
    async def run() -> None:
        server = Faulty(seed, faulty=True)
        running = Running(server)
        for resource in INJECTABLES:
            running.put(resource, "secret", {INJECT_CA_FROM_SECRET: "a/b"})
            running.put(resource, "own", {INJECT_API_SERVER_CA: "true"})
            running.put(resource, "broken", {INJECT_CA_FROM_SECRET: "nothing"})
        async with running.at_work():
            await asyncio.sleep(2000)
            assert running.answer(SOURCE, FIRST)
            await asyncio.sleep(2000)
            server.faulty = False
            assert running.answer(SOURCE, SECOND)
            await asyncio.sleep(8000)
        for resource in INJECTABLES:
            assert running.bundles(resource, "secret") == {SECOND}
            assert running.bundles(resource, "own") == {OWN}
            assert running.bundles(resource, "broken") == {b""}
        assert (running.counted("Injected"), running.counted("InvalidAnnotation")) == (8, 4)
        assert running.counted("WriteRefused") == 0
        settled = len(server.patches)
        async with running.at_work():
            for resource in INJECTABLES:
                for name in ("secret", "own", "broken"):
                    running.queue.add((resource.plural, name))
            await asyncio.sleep(1000)
        assert len(server.patches) == settled

    run()


@virtual_time
async def test_questions_come_and_go() -> None:
    """One question is asked for one source, asked again when somebody deletes it, and taken away with its last user."""
    running = Running(Faulty())
    key = (CA_SOURCES.plural, source_name(SOURCE))
    objects = running.server.objects
    stranger = CASourceSpec(kind="Secret", namespace="x", name="y")
    running.server.store(CA_SOURCES, {"metadata": {"name": "stray", "uid": "u"}, "spec": msgspec.to_builtins(stranger)})
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    running.put(VALIDATING_WEBHOOKS, "two", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        assert set(objects) - {(VALIDATING_WEBHOOKS.plural, "one"), (VALIDATING_WEBHOOKS.plural, "two")} == {key}
        running.server.remove(CA_SOURCES, key[1])
        await asyncio.sleep(1)
        assert key in objects
        running.server.remove(VALIDATING_WEBHOOKS, "one")
        await asyncio.sleep(1)
        assert key in objects
        running.put(VALIDATING_WEBHOOKS, "two", {"other": "x"})
        await asyncio.sleep(1)
        assert key not in objects


@virtual_time
async def test_nothing_is_taken_away_before_all_is_read() -> None:
    """A question that nobody seems to ask stays while any kind of object was not read yet."""
    running = Running(Faulty())
    running.watched.objects[VALIDATING_WEBHOOKS].synced.clear()
    running.server.store(
        CA_SOURCES, {"metadata": {"name": source_name(SOURCE), "uid": "u"}, "spec": msgspec.to_builtins(SOURCE)}
    )
    async with running.at_work():
        await asyncio.sleep(100)
        assert (CA_SOURCES.plural, source_name(SOURCE)) in running.server.objects
        reflector = running.watched.objects[VALIDATING_WEBHOOKS]
        reflector.synced.set()
        reflector._tell(Change("synced", ("", ""), None, None))
        await asyncio.sleep(1)
        assert (CA_SOURCES.plural, source_name(SOURCE)) not in running.server.objects


@virtual_time
async def test_controllers_that_do_not_answer() -> None:
    """An answer that does not come is told after half a minute, with what to look at; one that comes is followed."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(PATIENCE_SECONDS - 1)
        assert running.server.events == []
        await asyncio.sleep(5)
        ((name, reason, message),) = running.server.events
        assert (name, reason) == ("one", "Waiting")
        assert "casources" in message
        running.answer(SOURCE, FIRST)
        await asyncio.sleep(1)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {FIRST}


@virtual_time
async def test_an_answer_without_a_ca() -> None:
    """An answer that says why there is none is told once, and what was injected before stays; a forged one is not believed."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        running.answer(SOURCE, FIRST)
        await asyncio.sleep(1)
        for _ in range(3):
            running.answer(SOURCE, b"", "SecretNotFound")
            await asyncio.sleep(1)
        running.answer(SOURCE, b"no certificates")
        await asyncio.sleep(1)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {FIRST}
        assert [reason for _, reason, _ in running.server.events] == ["Injected", "SecretNotFound", "InvalidCA"]


@virtual_time
async def test_somebody_who_undoes_it() -> None:
    """Two who undo each other write a dozen times in an hour, not without end, and the other one is named."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_API_SERVER_CA: "true"})
    entry = {"manager": "some-sync", "fieldsV1": {"f:webhooks": {"f:caBundle": {}}}}
    async with running.at_work():
        for _ in range(3600):
            await asyncio.sleep(1)
            if running.bundles(VALIDATING_WEBHOOKS, "one") == {OWN}:
                undone = injectable(VALIDATING_WEBHOOKS, "one", {INJECT_API_SERVER_CA: "true"})
                undone["metadata"]["managedFields"] = [entry]
                running.server.store(VALIDATING_WEBHOOKS, undone)
    assert 4 <= len(running.server.patches) <= 13
    conflicts = [message for _, reason, message in running.server.events if reason == "FieldConflict"]
    assert conflicts
    assert all("'some-sync'" in message for message in conflicts)


@virtual_time
async def test_a_ca_that_changes_all_the_time() -> None:
    """A source that changes every second is followed in a dozen writes an hour, and is said to do so; the last CA arrives."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        for number in range(3600):
            running.answer(SOURCE, (FIRST, SECOND)[number % 2])
            await asyncio.sleep(1)
        assert 4 <= len(running.server.patches) <= 13
        assert {reason for _, reason, _ in running.server.events} == {"Injected", "SourceChanges"}
        await asyncio.sleep(3700)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {SECOND}


def lease(holder: str, version: int) -> Json:
    return {
        "metadata": {"resourceVersion": str(version)},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60},
    }


@virtual_time
async def test_while_cert_managers_cainjector_lives() -> None:
    """It is there while its Lease changes or is fresh, in either namespace; one that nobody renews any more runs out."""
    server, told = Faulty(), list[str]()
    rival = Rival(cast("ApiClient", server), ("kube-system", "cert-manager", "kube-system"), told.append)
    assert rival.trouble
    await rival.look()
    assert rival.trouble == ""
    server.leases["cert-manager"] = lease("it", 1)
    await rival.until(present=True)
    assert "Lease cert-manager/cert-manager-cainjector-leader-election, held by it" in rival.trouble
    for version in range(2, 40):
        server.leases["cert-manager"] = lease("it", version)
        await asyncio.sleep(10)
        await rival.look()
        assert rival.trouble
    before = asyncio.get_running_loop().time()
    await rival.until(present=False)
    assert 55 <= asyncio.get_running_loop().time() - before <= 70
    server.leases["kube-system"] = lease("it", 50)
    await rival.until(present=True)
    server.leases["kube-system"] = lease("", 51)
    await rival.until(present=False)
    assert len(told) == 5


@pytest.mark.parametrize("error", [api_error(403, "Forbidden", "no"), Unreachable("cut off"), api_error(500)])
def test_who_cannot_tell_whether_it_lives(error: Exception) -> None:
    """Nothing begins before it is known that nobody else injects; what was known counts while it cannot be asked."""

    @virtual_time
    async def run() -> None:
        server = Faulty()
        server.leases["kube-system"] = error
        rival = Rival(cast("ApiClient", server), ("kube-system",), lambda _text: None)
        await rival.look()
        assert "cannot see" in rival.trouble
        del server.leases["kube-system"]
        await rival.look()
        assert rival.trouble == ""
        server.leases["kube-system"] = error
        await rival.look()
        assert rival.trouble == ""

    run()
