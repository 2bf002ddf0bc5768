"""From the bytes of lists and watches to objects: what a codec gives, and the one for JSON.

Pure, apart from the small buffer of a Framer that belongs to one connection. One object that cannot be read never costs the
others: it comes out as a Problem. What is broken beyond that (the list itself, the framing) raises CodecError.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (watches, protobuf encoding)
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from signer.kube.encoding.depth import TOO_DEEP, deeper, reader
from signer.kube.encoding.framing import CodecError, Framer, LineFramer
from signer.kube.errors import ApiError, error_from_status
from signer.kube.weight import weight

T = TypeVar("T")

Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is ""."""

LARGEST = 256 * 1024
"""Bytes of an object, as JSON, that is read. Tenants may write six times as much, as often as they like."""


LARGEST_STORED = 4 * 1024 * 1024
"""More than etcd holds of any object: for those that are made small when they are read, and for those of administrators."""


class Withheld(str):
    """What stands in the place of the spec of an object that is not read: why, for people."""

    __slots__ = ()


def named(key: Key | None) -> str:
    """Name an object for people: NAMESPACE/NAME, or what is known of that."""
    if key is None:
        return "(an object without readable metadata)"
    return "/".join(part for part in key if part)


class Problem(NamedTuple):
    """An object that cannot be read: its key if that much could be read, and why."""

    key: Key | None
    message: str


class Listed(NamedTuple, Generic[T]):
    """One object of a list, and its bytes in memory where they count; or why it cannot be read."""

    object: T | None
    size: int = 0
    problem: Problem | None = None


class ListPage(NamedTuple, Generic[T]):
    """One page of a list. `listed` reads one object after the other, since a page may take ten times its bytes when it is read.

    Objects that are not of interest are left out.
    """

    listed: Iterator[Listed[T]]
    resource_version: str
    continue_token: str

    def whole(self) -> tuple[list[T], list[Problem]]:
        """All objects, and what is wrong with others."""
        items: list[T] = []
        problems: list[Problem] = []
        for one in self.listed:
            if one.object is not None:
                items.append(one.object)
            if one.problem is not None:
                problems.append(one.problem)
        return items, problems


class WatchEvent(NamedTuple, Generic[T]):
    """One event of a watch.

    Attributes:
        type: "ADDED", "MODIFIED", "DELETED", "BOOKMARK" or "ERROR".
        key: of the object, also when it is not of interest; None for BOOKMARK, ERROR, and unreadable metadata.
        object: what the codec made of it; None when it is not of interest, gone, or unreadable.
        resource_version: where to go on from; "" if it could not be read.
        status: for ERROR.
        problem: why the object could not be read.
        size: the object's bytes in memory, where they count; else 0.
    """

    type: str
    key: Key | None
    object: T | None
    resource_version: str
    status: ApiError | None = None
    problem: str = ""
    size: int = 0


class Codec(Protocol[T]):
    """How a reflector reads one resource."""

    accept: str
    watch_accept: str

    def framer(self) -> Framer:
        """A fresh framer for a new connection."""

    def decode_list(self, body: bytes) -> ListPage[T]:
        """Read one page; raises CodecError when not even the list's metadata can be read."""

    def decode_event(self, frame: bytes) -> WatchEvent[T]:
        """Read one frame; raises CodecError when it is not a watch event at all."""

    def key(self, obj: T) -> Key:
        """(namespace, name) of an object."""

    def withhold(self, obj: T, why: str) -> T | None:
        """Make what is kept in an object's place when it is too much: its name with the reason, or nothing."""


def weightless(_obj: object) -> int:
    """The weight of what was made small when it was read."""
    return 0


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class _OnlyMeta(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _NameOnly(msgspec.Struct, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class _Named(msgspec.Struct):
    metadata: _NameOnly


class _JsonList(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw] | None = None


class _JsonEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_meta = reader(msgspec.json.Decoder(_OnlyMeta).decode)
_named = reader(msgspec.json.Decoder(_Named).decode)
_json_list = reader(msgspec.json.Decoder(_JsonList).decode)
_json_event = reader(msgspec.json.Decoder(_JsonEvent).decode)


class JsonCodec(Generic[T]):
    """JSON read with msgspec into `type_`, a Struct that has `metadata.name` and `metadata.namespace`.

    Args:
        type_: what to make of an object.
        keep: turns an object into what the store holds, or None when it is not of interest; what it raises is a Problem.
        largest: bytes of an object that is read. Of a larger one the name is kept, with the reason in the place of its spec; of
            a type that has no `raw_spec`, and no `instead`, nothing is, which is a Problem. The same goes for one that is nested too deep.
        weigh: the bytes of an object that count for its namespace's budget (signer/kube/room.py); None for those that it takes.
        instead: makes what is kept of an object that is withheld, of a type without `raw_spec`, with the reason.
    """

    accept = "application/json"
    watch_accept = "application/json"

    def __init__(
        self,
        type_: type[T],
        *,
        keep: Callable[[T], T | None] | None = None,
        largest: int = LARGEST,
        weigh: Callable[[T], int] | None = None,
        instead: Callable[[T, str], T] | None = None,
    ) -> None:
        self._decode = msgspec.json.Decoder(type_).decode
        self._keep = keep
        self._largest = largest
        self._weigh = weigh
        self._instead = instead
        self._has_spec = "raw_spec" in getattr(type_, "__struct_fields__", ())

    def framer(self) -> Framer:
        """See Codec."""
        return LineFramer()

    def key(self, obj: T) -> Key:
        """See Codec."""
        return _metadata_key(obj)

    def withhold(self, obj: T, why: str) -> T | None:
        """See Codec."""
        if self._instead is not None:
            return self._instead(obj, why)
        return self._without_spec(msgspec.convert(obj, _Named, from_attributes=True), why) if self._has_spec else None

    def decode_list(self, body: bytes) -> ListPage[T]:
        """See Codec."""
        try:
            page = _json_list(body)
        except msgspec.DecodeError as error:
            raise CodecError(f"the list cannot be read: {error}") from error
        return ListPage(self._listed(page.items or ()), page.metadata.resource_version, page.metadata.continue_token)

    def _listed(self, items: Iterable[msgspec.Raw]) -> Iterator[Listed[T]]:
        for raw in items:
            try:
                obj = self._read(raw)
                listed = Listed(obj, self._size(obj)) if obj is not None else None
            except Exception as error:  # noqa: BLE001 - one hostile object must not stop the others, whatever it trips over
                listed = Listed(None, 0, Problem(_json_key(raw), why(error)))
            if listed is not None:
                yield listed

    def decode_event(self, frame: bytes) -> WatchEvent[T]:
        """See Codec."""
        try:
            event = _json_event(frame)
        except msgspec.DecodeError as error:
            raise CodecError(f"a watch event cannot be read: {error}") from error
        if event.type == "ERROR":
            return WatchEvent(event.type, None, None, "", error_from_status(bytes(event.object)))
        try:
            meta = _meta(event.object).metadata
        except msgspec.DecodeError as error:
            return WatchEvent(event.type, None, None, "", problem=f"metadata: {error}")
        if event.type == "BOOKMARK":
            return WatchEvent(event.type, None, None, meta.resource_version)
        key = (meta.namespace, meta.name)
        try:
            obj = self._read(event.object)
            size = self._size(obj) if obj is not None else 0
            return WatchEvent(event.type, key, obj, meta.resource_version, size=size)
        except Exception as error:  # noqa: BLE001 - as in JsonCodec._listed
            return WatchEvent(event.type, key, None, meta.resource_version, problem=why(error))

    def _size(self, obj: Any) -> int:
        if self._weigh is not None:
            return self._weigh(obj)
        if self._has_spec and not isinstance(obj.raw_spec, Withheld):
            # They are worked out when they are first asked for, and kept from then on.
            _ = getattr(obj, "spec", None), getattr(obj, "status", None)
        return weight(obj)

    def _read(self, raw: msgspec.Raw) -> T | None:
        size = len(memoryview(raw))
        if size > self._largest:
            why = f"it has {size} bytes, and at most {self._largest} are read; make it smaller"
        elif deeper(bytes(raw)):
            why = TOO_DEEP
        else:
            obj = self._decode(raw)
            return obj if self._keep is None else self._keep(obj)
        if self._has_spec:
            return self._without_spec(_named(raw), why)
        if self._instead is not None:
            return self._instead(self._decode(msgspec.json.encode(_named(raw))), why)
        raise ValueError(why)

    def _without_spec(self, named: _Named, why: str) -> T:
        obj: Any = self._decode(msgspec.json.encode(named))
        return cast("T", msgspec.structs.replace(obj, raw_spec=Withheld(why)))


class MetadataCodec(JsonCodec[T]):
    """The same of objects' metadata alone: the API server sends nothing else, however large the objects are.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables, PartialObjectMetadata.
    """

    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    watch_accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def why(error: Exception) -> str:
    """Say why an object cannot be read, for people; errors that are no ValueError (msgspec's and ProtobufError are) speak only with their class's name."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _metadata_key(obj: Any) -> Key:
    return obj.metadata.namespace, obj.metadata.name


def _json_key(raw: msgspec.Raw) -> Key | None:
    try:
        meta = _meta(raw).metadata
    except msgspec.DecodeError:
        return None
    return meta.namespace, meta.name
