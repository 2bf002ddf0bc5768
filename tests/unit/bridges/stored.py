"""An API server in memory whose writes fail as they are told to, and a controller of bridges that lives and dies before it."""

import asyncio
import copy
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal, cast

import msgspec

from signer.api.destinationrule import DESTINATION_RULES, DestinationRule
from signer.api.meta import find_condition
from signer.api.tenantbridge import TenantBridge
from signer.api.tenantbridgepolicy import TenantBridgePolicy
from signer.bridges.controller import BridgeController, Parts
from signer.bridges.record import BridgeRecord
from signer.bridges.watched import Key, Made, Watched
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable, api_error
from signer.kube.objects import Json, ObjectRequests, Response
from signer.kube.paging import LARGEST_BODY, Query
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change
from signer.kube.room import Room
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.observe.notices import Notices
from signer.tenancy.world import World
from tests.fakes.recorder import FakeRecorder
from tests.unit.csr.crafted import FOO, NOW, ready
from tests.unit.docs.memory import merged
from tests.unit.tenancy.worlds import binding, uid, world

BRIDGE, POLICY, SECRET, RULE = "tenantbridges", "tenantbridgepolicies", "secrets", "destinationrules"
NAMESPACE = "namespaces"
Place = tuple[str, str, str]
Way = Literal["conflict", "refused", "lost", "unheard", "killed before", "killed after"]
MOST_LOOKS = 500
"""Of all processes of a scene: who needs more does nothing else."""
WAYS: tuple[Way, ...] = ("conflict", "refused", "lost", "unheard", "killed before", "killed after")
_ANSWERED: dict[Way, Exception] = {
    "conflict": api_error(409, "Conflict", "it has changed"),
    "refused": api_error(500, "InternalError", "etcd"),
    "lost": Unreachable("the connection broke"),
    "unheard": Unreachable("the connection broke"),
}


class Stored(ObjectRequests):
    """Objects by plural, namespace and name. `fails` is asked of each write, by its number: how it fails, None: not at all."""

    def __init__(self) -> None:
        self.room = Room()
        self.objects: dict[Place, Json] = {}
        self.told: Callable[[Place], None] = lambda _: None
        self.fails: Callable[[int], Way | None] = lambda _: None
        self.kill: Callable[[], object] = lambda: None
        self.writes: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,  # of which labels and pages are of no use here
        body: bytes | None = None,
        content_type: str = "application/json",
        largest: int = LARGEST_BODY,  # noqa: ARG002 - as the client's
    ) -> Response:
        parts = path.strip("/").split("/")[2 if path.startswith("/api/") else 3 :]
        namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""
        plural, name, sub = [*(parts[2:] if namespace else parts), "", ""][:3]
        if method == "GET":
            await asyncio.sleep(0)
            only = str(dict(query or {}).get("fieldSelector", "")).removeprefix("metadata.name=")
            return _answer(self._read(plural, namespace, name, only))
        if plural == "subjectaccessreviews":
            return _answer({"status": {"allowed": True}})
        sent = json.loads(body or b"{}")
        place = (plural, namespace, name or sent["metadata"]["name"])
        self.writes.append((method, f"{plural}/{sub}" if sub else plural))
        way = self.fails(len(self.writes) - 1)
        if way == "killed before":
            await self._die()
        if way in {"conflict", "refused", "lost"}:
            raise _ANSWERED[way]
        made = self._write(method, place, sent, sub, json_patch="json-patch" in content_type)
        if way == "killed after":
            await self._die()
        if way == "unheard":
            raise _ANSWERED[way]
        await asyncio.sleep(0)
        return _answer(made)

    async def _die(self) -> None:
        self.kill()
        await asyncio.get_running_loop().create_future()

    def _read(self, plural: str, namespace: str, name: str, only: str) -> Json:
        if name:
            if (found := self.objects.get((plural, namespace, name))) is None:
                raise api_error(404, "NotFound", name)
            return found
        there = self.objects.items()
        items = [
            one for (kind, place, name), one in there if (kind, place) == (plural, namespace) and only in ("", name)
        ]
        return {"metadata": {}, "items": items}

    def _write(self, method: str, place: Place, sent: Any, sub: str, *, json_patch: bool) -> Json:
        there = self.objects.get(place)
        if method == "POST":
            if there is not None:
                raise api_error(409, "AlreadyExists", place[2])
            return self.put(place, sent)
        if there is None:
            raise api_error(404, "NotFound", place[2])
        if method == "DELETE":
            _hold(there, sent.get("preconditions", {}))
            self.remove(place)
            return {}
        if json_patch:
            sent = {"metadata": {"resourceVersion": sent[0]["value"]}, "spec": sent[1]["value"]}
            there = {**there, "spec": {}}
        _hold(self.objects[place], sent.get("metadata", {}))
        if there.get("immutable") and "data" in sent:
            raise api_error(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
        new = merged(there, sent)
        if sub:
            new = {**there, "status": new["status"]}
        elif "status" in there:
            new["status"] = there["status"]
        return self.put(place, new)

    def put(self, place: Place, obj: Json) -> Json:
        """Store an object, as whoever; the watches see it."""
        obj, before = copy.deepcopy(obj), self.objects.get(place, {})
        meta = obj.setdefault("metadata", {})
        meta |= {"name": place[2], **({"namespace": place[1]} if place[1] else {})}
        meta["uid"] = meta.get("uid") or f"uid-{next(self._numbers)}"
        if {**obj, "metadata": _own(meta)} == {**before, "metadata": _own(before.get("metadata", {}))}:
            return before
        changed = obj.get("spec") != before.get("spec")
        meta["generation"] = before.get("metadata", {}).get("generation", 0) + changed
        meta["resourceVersion"] = str(next(self._numbers))
        self.objects[place] = obj
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            del self.objects[place]
        self.told(place)
        return obj

    def remove(self, place: Place) -> None:
        """Delete an object, as whoever; a finalizer keeps it."""
        there = self.objects[place]
        if there["metadata"].get("finalizers"):
            meta = {**there["metadata"], "deletionTimestamp": "2026-11-22T12:00:00Z"}
            self.put(place, {**there, "metadata": meta})
        else:
            del self.objects[place]
            self.told(place)

    def named(self, plural: str) -> dict[str, Json]:
        """The objects of a kind by name."""
        return {name: one for (kind, _, name), one in self.objects.items() if kind == plural}


def _own(meta: Json) -> Json:
    return {name: value for name, value in meta.items() if name not in {"resourceVersion", "generation"}}


def _hold(there: Json, wanted: Json) -> None:
    for name in ("uid", "resourceVersion"):
        if name in wanted and wanted[name] != there["metadata"][name]:
            raise api_error(409, "Conflict", f"{name} is another")


def _answer(obj: Json) -> Response:
    return Response(200, {}, json.dumps(obj).encode())


class Queue(WorkQueue[Key]):
    """Counts the looks, and keeps what was not foreseen."""

    def __init__(self) -> None:
        super().__init__(cap=30.0, on_error=self._failed)
        self.unforeseen: list[Exception] = []

    def _failed(self, _key: Key, error: Exception) -> None:
        if type(error).__module__ != "signer.kube.errors":
            self.unforeseen.append(error)


@dataclass
class Scene:
    """Foo's bridge for the gateway in istio-system, in a stored world of its own; processes come and go."""

    api: Stored = field(default_factory=Stored)
    key: Key = ("foo", "ingress")
    looks: int = 0
    listed: Callable[[], object] = lambda: None
    """Called when a process has listed what there is, before it looks at anything."""

    def __post_init__(self) -> None:
        self.mesh: World = world(bindings=(binding(FOO, "foo"),))
        self.metrics = Metrics()
        self.log = io.BytesIO()
        self.recorder = FakeRecorder()
        self.reasons: list[str] = []
        self.unforeseen: list[Exception] = []
        for name in ("foo", "istio-system"):
            self.api.put((NAMESPACE, "", name), {"metadata": {"uid": uid(name)}})
        self.healthy()
        self.policy(there=True)
        self.bridge("a")

    def healthy(self) -> None:
        """All that a bridge rests on and does not watch."""
        self.api.put(("peerauthentications", "foo", "default"), {"spec": {"mtls": {"mode": "STRICT"}}})
        for name in "abcd":
            self.api.put(("services", "foo", name), {"spec": {"ports": [{"name": "http"}]}})
        self.api.put(("serviceaccounts", "foo", "httpbin"), {})
        self.api.put(("serviceaccounts", "istio-system", "gateway"), {})
        containers = [{"name": "istio-proxy", "args": ["proxy", "router"]}]
        spec = {"serviceAccountName": "gateway", "containers": containers}
        self.api.put(("pods", "istio-system", "gateway"), {"spec": spec})

    def policy(self, *, there: bool, **servers: Any) -> None:
        """What an admin says: foo's services, or those of `servers`, may be reached by the gateway."""
        place = (POLICY, "", "p")
        if not there:
            self.api.remove(place)
            return
        spec = {
            "servers": servers or {"names": ["foo"]},
            "clients": [{"namespace": "istio-system", "serviceAccounts": ["gateway"]}],
        }
        self.api.put(
            place,
            {"spec": spec, "status": {"namespaceUIDs": {name: uid(name) for name in ("foo", "istio-system")}}},
        )

    @property
    def place(self) -> Place:
        return (BRIDGE, *self.key)

    def bridge(self, *hosts: str) -> None:
        """What foo says: these of its services."""
        client = {"namespace": "istio-system", "serviceAccount": "gateway", "matchLabels": {"istio": "ingressgateway"}}
        spec = {
            "client": client,
            "hosts": [f"{one}.foo.svc.cluster.local" for one in hosts],
            "serviceAccounts": ["httpbin"],
        }
        there = self.api.objects.get(self.place, {})
        self.api.put(self.place, {**there, "spec": spec})

    @property
    def lines(self) -> list[Json]:
        """The audit log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def _note(self) -> None:
        obj = self.stored
        ready = find_condition(obj.status.conditions, "Ready") if obj is not None else None
        if ready is not None:
            self.reasons.append(ready.reason)

    @property
    def stored(self) -> TenantBridge | None:
        found = self.api.objects.get(self.place)
        return msgspec.convert(found, TenantBridge) if found is not None else None

    def now(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time() - 1000)

    async def live(self, seconds: float) -> None:
        """Let processes work for so long: when one is killed, another begins."""
        ends = asyncio.get_running_loop().time() + seconds
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            working = asyncio.create_task(self._process())
            self.api.kill = working.cancel
            await asyncio.wait([working], timeout=left)
            killed = working.cancelled()
            working.cancel()
            await asyncio.wait([working])
            if not killed:
                assert working.cancelled()
                return

    async def _process(self) -> None:
        client, nobody = cast("ApiClient", self.api), cast("Any", None)
        watched, queue = Watched(client, lambda _: None), Queue()
        watched.served.resource = DESTINATION_RULES
        watched.enqueue = queue.add
        self.unforeseen = queue.unforeseen
        known: dict[str, DestinationRule] = {}

        def tell(place: Place) -> None:
            plural, namespace, name = place
            self._note()
            found = copy.deepcopy(self.api.objects.get(place))
            if plural == RULE:
                old = known.pop(name, None)
                new = known[name] = msgspec.convert(found, DestinationRule) if found else nobody
                watched._rule_changed(Change("modified", (namespace, name), old, new))
                return
            kinds: dict[str, Any] = {
                BRIDGE: (watched.bridges, TenantBridge),
                POLICY: (watched.policies, TenantBridgePolicy),
                SECRET: (watched.secrets, Made),
            }
            if plural in kinds:
                reflector, kind = kinds[plural]
                if found is None:
                    reflector._remove((namespace, name))
                else:
                    reflector._put((namespace, name), msgspec.convert(found, kind))

        for place in tuple(self.api.objects):
            tell(place)
        self.api.told = lambda place: _soon(tell, place)
        mesh = SimpleNamespace(world=self.mesh, confirm=self._confirm)
        registry = SimpleNamespace(get=lambda ref: ready(FOO) if ref == FOO else None)
        record = BridgeRecord(self.metrics, AuditLog(cast("Any", self.log)), self.now)
        parts = Parts(
            client, cast("Any", registry), cast("Any", mesh), watched, Notices(self.recorder.typed), record, self.now
        )
        controller = BridgeController(parts, queue)

        async def look(key: Key) -> None:
            self.looks += 1
            assert self.looks < MOST_LOOKS, "it spins"
            await controller.reconcile(key)

        self.listed()
        watched.enqueue_all()
        await queue.run(look, workers=2)

    async def _confirm(self, *_: object) -> None:
        raise AssertionError("nothing has to be confirmed here")


def _soon(tell: Callable[[Place], None], place: Place) -> None:
    asyncio.get_running_loop().call_later(0.01, tell, place)
