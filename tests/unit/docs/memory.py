"""An API server in memory, with as much of one as a walk through the controllers needs: no faults, no conflicts."""

import copy
import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from signer.api.meta import to_rfc3339
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, NotFound
from signer.kube.reflector import Reflector
from signer.kube.resource import Resource
from signer.kube.room import Room

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Json = dict[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Watch:
    """Whom changes of a resource are told: as `kind`, with this label only."""

    reflector: Reflector[Any]
    plural: str
    kind: type
    label: str


def merged(old: object, new: Json) -> Json:
    """Merge as a JSON merge patch does (RFC 7386)."""
    found = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value) if isinstance(value, dict) else value
    return found


class Memory:
    """Objects by plural, namespace and name. The watches are told of what was written when `deliver` is called."""

    def __init__(self) -> None:
        self.room = Room()
        self.objects: dict[Key, Json] = {}
        self._watches: list[Watch] = []
        self._untold: list[Key] = []
        self._numbers = itertools.count(1)

    @property
    def client(self) -> ApiClient:
        """The same, for what wants the real one."""
        return cast("ApiClient", self)

    def watch(self, reflector: Reflector[Any], plural: str, kind: type, label: str = "") -> None:
        """Tell a reflector of this resource from now on; it counts as synced."""
        self._watches.append(Watch(reflector, plural, kind, label))
        reflector.synced.set()

    def _keep(self, key: Key, obj: Json) -> Json:
        meta = obj["metadata"]
        meta.setdefault("uid", f"uid-{next(self._numbers)}")
        meta.setdefault("creationTimestamp", to_rfc3339(NOW))
        meta["resourceVersion"] = str(next(self._numbers))
        self.objects[key] = obj
        self._untold.append(key)
        return copy.deepcopy(obj)

    def deliver(self) -> None:
        """Tell the watches of each object that was written or deleted, as it is now."""
        untold, self._untold = dict.fromkeys(self._untold), []
        for key in untold:
            obj, name = self.objects.get(key), (key[1], key[2])
            for one in self._watches:
                if one.plural != key[0]:
                    continue
                if obj is None:
                    one.reflector._remove(name)
                elif not one.label or one.label in obj["metadata"].get("labels", {}):
                    one.reflector._put(name, msgspec.convert(copy.deepcopy(obj), one.kind))

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        try:
            return copy.deepcopy(self.objects[resource.plural, namespace or "", name])
        except KeyError:
            raise NotFound(404, "NotFound", name) from None

    async def list(self, resource: Resource, namespace: str | None = None, *_: object, **__: object) -> list[Json]:
        return [
            copy.deepcopy(one)
            for (plural, place, _name), one in self.objects.items()
            if plural == resource.plural
            and one.get("apiVersion", resource.api_version) == resource.api_version
            and (not namespace or place == namespace)
        ]

    async def create(self, resource: Resource, body: Json, **_: object) -> Json:
        body = {"apiVersion": resource.api_version, **json.loads(msgspec.json.encode(body))}
        key = (resource.plural, body["metadata"].get("namespace") or "", body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", key[2])
        return self._keep(key, body)

    async def patch(self, resource: Resource, name: str, body: Json, namespace: str | None = None, **_: object) -> Json:
        key = (resource.plural, namespace or "", name)
        there = self.objects.get(key) or {"metadata": {"name": name, "namespace": namespace or ""}}
        return self._keep(key, merged(there, json.loads(msgspec.json.encode(body))))

    async def request(self, method: str, path: str, body: bytes = b"", **_: object) -> Any:
        """List the objects of one namespace, or patch a status."""
        inside = (
            path.partition("/namespaces/")[2] or "/" + path.split("/", 4)[4]
        )  # else /apis/GROUP/VERSION/PLURAL/NAME
        namespace, plural, *name = inside.split("/")
        resource = cast("Resource", SimpleNamespace(plural=plural, api_version="v1"))
        if method == "GET":
            return SimpleNamespace(body=json.dumps({"items": await self.list(resource, namespace)}).encode())
        made = await self.patch(resource, name[0], json.loads(body), namespace)
        return SimpleNamespace(body=json.dumps({"metadata": made["metadata"]}).encode())

    async def replace(self, resource: Resource, body: Json) -> Json:
        meta = body["metadata"]
        return self._keep((resource.plural, meta.get("namespace") or "", meta["name"]), copy.deepcopy(body))

    async def delete(self, resource: Resource, name: str, namespace: str | None = None, **_: object) -> None:
        key = (resource.plural, namespace or "", name)
        self.objects.pop(key, None)
        self._untold.append(key)
