"""An API server in memory that fails as it likes, and the injector's controller at work over it."""

import asyncio
import base64
import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from signer.api.casource import CA_SOURCES, CASource, CASourceSpec, source_name
from signer.api.injectable import (
    Injectable,
    asking,
)
from signer.injector.api_server import OwnCA
from signer.injector.controller import InjectionController
from signer.injector.told import Told
from signer.injector.watched import Watched
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable, api_error
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from signer.kube.room import Room
from signer.observe.controller_queue import ControllerQueue
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from tests import pki
from tests.unit.injector.test_decide import without_bundles

Json = dict[str, Any]
FIRST, SECOND, OWN = (pki.CA(name, now=pki.ANY_TIME).pem for name in ("first", "second", "own"))
SOURCE = CASourceSpec(kind="Secret", namespace="a", name="b")


class Faulty:
    """An API server in memory, which tells the watches what it stores. `faults` are drawn from a seed, one in three calls."""

    def __init__(self, seed: int = 0, *, faulty: bool = False) -> None:
        self.room = Room()
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
