"""Comforts for slow paths: objects as dicts over the client's bytes. The hot path uses `ApiClient.request` itself.

No state of its own; as safe to share as the client that it is part of.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec

from signer.kube.encoding.codec import LARGEST, Problem, named
from signer.kube.encoding.depth import TOO_DEEP, cut, deeper, reader
from signer.kube.errors import NotFound, TooMuch, Unreachable
from signer.kube.paging import LARGEST_BODY, PAGE, Query, paged
from signer.kube.resource import NoName, Resource
from signer.kube.weight import MOST, weight

Json = dict[str, Any]
JsonPatch = list[Json]

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}

LISTED = 4 * 1024 * 1024
"""Bytes of memory of one namespace's objects in a list: more of one kind than a Pod or a challenge ever needs."""
_LABELS = 8 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Response(msgspec.Struct, frozen=True):
    """An answer of less than 300. `headers`: those that http/answer.py names, in lower case."""

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
        largest: int = LARGEST_BODY,
    ) -> Response:
        """Send one request; see ApiClient."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        """Read one object. One that no object can be called is not found: whoever refers to it is told as of any other."""
        response = await self.request("GET", _path(resource, namespace, name))
        if deeper(response.body):
            raise TooMuch(f"{resource.kind} {named((namespace or '', name))} cannot be read: {TOO_DEEP}")
        return _parsed(response.body)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        label_selector: str | None = None,
        *,
        name: str = "",
        page_size: int = PAGE,
        whole: Callable[[Problem], object] | None = None,
    ) -> list[Json]:
        """Read all objects, page by page, as one snapshot; raises Gone when the snapshot was compacted meanwhile.

        Each item carries apiVersion and kind, which the API server leaves out in lists of built-in types. Bounded as a watch
        is: of an object that is too large or nested too deep, or one of too many in its namespace, only name and labels are
        given. `whole`: for people, who want all of it; it is told which are nested too deep, and those are left out.
        `name`: those of this name alone, in all namespaces as a rule; RBAC may allow just that (resourceNames).
        """
        items: JsonPatch = []
        read = dict[str, int]()
        query: dict[str, str | int | bool] = {}
        if label_selector:
            query["labelSelector"] = label_selector
        if name:
            query["fieldSelector"] = f"metadata.name={name}"

        async def ask(asked: Query, largest: int) -> bytes:
            return (await self.request("GET", resource.path(namespace), query=asked, largest=largest)).body

        async for page, _ in paged(ask, _page, lambda page: page.metadata.following, query=query, most=page_size):
            for raw in page.items or ():
                if whole is None:
                    items.append(_within(raw, read))
                elif deeper(bytes(raw)):
                    meta = _decode_name(raw).metadata
                    whole(Problem((meta.namespace, meta.name), TOO_DEEP))
                else:
                    items.append(_decode(raw))
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
        path = _path(resource, namespace, name, subresource)
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
        await self.request("DELETE", _path(resource, namespace, name), body=_encode(options))


def _path(resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> str:
    try:
        return resource.path(namespace, name, subresource)
    except NoName as error:
        raise NotFound(404, "NotFound", f"{resource}: {error}") from error


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


_decode_page = reader(msgspec.json.Decoder(_Page).decode)
_decode_name = reader(msgspec.json.Decoder(_OnlyNamed).decode)


def _page(body: bytes) -> _Page:
    try:
        return _decode_page(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the answer is not a list in JSON: {error}") from error


def _within(raw: msgspec.Raw, read: dict[str, int]) -> Json:
    """Read one object of a list, or only its name when that is too much, or its namespace's are too many. Counts in `read`."""
    if len(memoryview(raw)) <= LARGEST and not deeper(bytes(raw)):
        obj = cast("Json", _decode(raw))
        namespace = obj.get("metadata", {}).get("namespace", "")
        if namespace:
            # Half of a Pod, and asked for by nobody of what tenants write.
            obj["metadata"].pop("managedFields", None)
        size, before = weight(obj), read.get(namespace, 0)
        if size <= MOST and (not namespace or before + size <= LISTED):
            read[namespace] = before + size
            return obj
    meta = _decode_name(raw).metadata
    if len(msgspec.json.encode(meta.labels)) > _LABELS:
        meta.labels = {}
    return {"metadata": msgspec.to_builtins(meta)}


def _object(response: Response) -> Json:
    """Read what was written; somebody else may have made it too deep, which is no reason not to know that it was."""
    return read_answer(response.body)


def read_answer(body: bytes, path: str = "") -> Json:
    """Read an answer to `path`, without what is nested too deep. Raises Unreachable."""
    return _parsed(cut(body) if deeper(body) else body, path)


def _parsed(body: bytes, path: str = "") -> Json:
    where = f"{path}: " if path else ""
    try:
        found = _decode(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"{where}the answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreachable(f"{where}the answer is not a JSON object")
    return found


def _typed(resource: Resource, obj: Json) -> Json:
    if "kind" in obj and "apiVersion" in obj:
        return obj
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
