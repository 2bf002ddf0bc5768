"""Comforts for slow paths: objects as dicts over the client's bytes. The hot path uses `ApiClient.request` itself.

No state of its own; as safe to share as the client that it is part of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from signer.kube.encoding.codec import LARGEST
from signer.kube.errors import Unreachable
from signer.kube.paging import FIRST_PAGE, PAGE, next_page
from signer.kube.resource import Resource
from signer.kube.room import BUDGET, FREE, Room

Json = dict[str, Any]
JsonPatch = list[Json]
Query = Mapping[str, str | int | bool]

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of less than 300. `headers` looks names up case-insensitively."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ObjectRequests(ABC):
    """The dict methods of ApiClient. Each raises what `ApiClient.request` raises."""

    @abstractmethod
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Response:
        """Send one request; see ApiClient."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return _object(await self.request("GET", resource.path(namespace, name)))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        label_selector: str | None = None,
        *,
        page_size: int = PAGE,
        whole: bool = False,
    ) -> list[Json]:
        """Read all objects, page by page, as one snapshot; raises Gone when the snapshot was compacted meanwhile.

        Each item carries apiVersion and kind, which the API server leaves out in lists of built-in types. Bounded as a watch
        is: of an object for which there is no room only name and labels are given, unless a person wants the `whole` of it.
        """
        items: JsonPatch = []
        size, room = min(FIRST_PAGE, page_size), Room(BUDGET)
        query: dict[str, str | int | bool] = {}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            body = (await self.request("GET", resource.path(namespace), query=query | {"limit": size})).body
            page = _page(body)
            items.extend(_decode(raw) if whole else _within(raw, room) for raw in page.items or ())
            if not page.metadata.following:
                break
            size = next_page(size, len(body), page_size)
            query["continue"] = page.metadata.following
        for item in items:
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return items

    async def create(self, resource: Resource, obj: Json, namespace: str | None = None) -> Json:
        """Create an object, in its own metadata.namespace when no other is given."""
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        return _object(await self.request("POST", resource.path(namespace), body=_encode(_typed(resource, obj))))

    async def replace(self, resource: Resource, obj: Json, subresource: str | None = None) -> Json:
        """Write a whole object back (PUT); Conflict when its resourceVersion is stale."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        return _object(await self.request("PUT", path, body=_encode(_typed(resource, obj))))

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Json | JsonPatch,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        kind: Literal["merge", "json", "apply"] = "merge",
        field_manager: str | None = None,
        force: bool = False,
    ) -> Json:
        """Patch an object: JSON merge patch (RFC 7386), JSON patch (RFC 6902) or server-side apply (needs field_manager)."""
        query: dict[str, str | int | bool] = {}
        if field_manager:
            query["fieldManager"] = field_manager
        if force:
            query["force"] = True
        path = resource.path(namespace, name, subresource)
        return _object(
            await self.request("PATCH", path, query=query, body=_encode(body), content_type=_PATCH_TYPES[kind])
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        """Delete an object, only if uid and resourceVersion are as given (else Conflict)."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {field: value for field, value in wanted.items() if value is not None}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation:
            options["propagationPolicy"] = propagation
        await self.request("DELETE", resource.path(namespace, name), body=_encode(options))


class _Named(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}


class _OnlyNamed(msgspec.Struct):
    metadata: _Named = msgspec.field(default_factory=_Named)


class _ListMeta(msgspec.Struct):
    following: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_name = msgspec.json.Decoder(_OnlyNamed).decode


def _page(body: bytes) -> _Page:
    try:
        return _decode_page(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the answer is not a list in JSON: {error}") from error


def _within(raw: msgspec.Raw, room: Room) -> Json:
    """Read one object of a list, or only its name when it is too large."""
    size = len(memoryview(raw))
    if size <= FREE:
        return cast("Json", _decode(raw))
    named = _decode_name(raw)
    if size > LARGEST or room.take((named.metadata.namespace, named.metadata.name), size):
        if len(msgspec.json.encode(named.metadata.labels)) > FREE:
            named.metadata.labels = {}
        return {"metadata": msgspec.to_builtins(named.metadata)}
    return cast("Json", _decode(raw))


def _object(response: Response) -> Json:
    try:
        found = _decode(response.body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreachable("the answer is not a JSON object")
    return found


def _typed(resource: Resource, obj: Json) -> Json:
    if "kind" in obj and "apiVersion" in obj:
        return obj
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
