"""From the bytes of lists and watches to objects: what a codec gives, and the one for JSON.

Pure, apart from the small buffer of a Framer that belongs to one connection. One object that cannot be read never costs the
others: it comes out as a Problem. What is broken beyond that (the list itself, the framing) raises CodecError.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (watches, protobuf encoding)
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from signer.kube.encoding.framing import CodecError, Framer, LineFramer
from signer.kube.errors import ApiError, error_from_status

T = TypeVar("T")

Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is ""."""


def named(key: Key | None) -> str:
    """Name an object for people: NAMESPACE/NAME, or what is known of that."""
    if key is None:
        return "(an object without readable metadata)"
    return "/".join(part for part in key if part)


class Problem(NamedTuple):
    """An object that cannot be read: its key if that much could be read, and why."""

    key: Key | None
    message: str


class ListPage(NamedTuple, Generic[T]):
    """One page of a list. Objects that are not of interest are left out."""

    items: list[T]
    resource_version: str
    continue_token: str
    problems: list[Problem]


class WatchEvent(NamedTuple, Generic[T]):
    """One event of a watch.

    Attributes:
        type: "ADDED", "MODIFIED", "DELETED", "BOOKMARK" or "ERROR".
        key: of the object, also when it is not of interest; None for BOOKMARK, ERROR, and unreadable metadata.
        object: what the codec made of it; None when it is not of interest, gone, or unreadable.
        resource_version: where to go on from; "" if it could not be read.
        status: for ERROR.
        problem: why the object could not be read.
    """

    type: str
    key: Key | None
    object: T | None
    resource_version: str
    status: ApiError | None = None
    problem: str = ""


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


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")


class _OnlyMeta(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _JsonList(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw] | None = None


class _JsonEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_meta = msgspec.json.Decoder(_OnlyMeta).decode
_json_list = msgspec.json.Decoder(_JsonList).decode
_json_event = msgspec.json.Decoder(_JsonEvent).decode


class JsonCodec(Generic[T]):
    """JSON read with msgspec into `type_`, a Struct that has `metadata.name` and `metadata.namespace`.

    Args:
        type_: what to make of an object.
        keep: turns an object into what the store holds, or None when it is not of interest; what it raises is a Problem.
    """

    accept = "application/json"
    watch_accept = "application/json"

    def __init__(self, type_: type[T], *, keep: Callable[[T], T | None] | None = None) -> None:
        self._decode = msgspec.json.Decoder(type_).decode
        self._keep = keep

    def framer(self) -> Framer:
        """See Codec."""
        return LineFramer()

    def key(self, obj: T) -> Key:
        """See Codec."""
        return _metadata_key(obj)

    def decode_list(self, body: bytes) -> ListPage[T]:
        """See Codec."""
        try:
            page = _json_list(body)
        except msgspec.DecodeError as error:
            raise CodecError(f"the list cannot be read: {error}") from error
        items: list[T] = []
        problems: list[Problem] = []
        for raw in page.items or ():
            try:
                obj = self._read(raw)
            except Exception as error:  # noqa: BLE001 - one hostile object must not stop the others, whatever it trips over
                problems.append(Problem(_json_key(raw), why(error)))
            else:
                if obj is not None:
                    items.append(obj)
        return ListPage(items, page.metadata.resource_version, page.metadata.continue_token, problems)

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
            return WatchEvent(event.type, key, self._read(event.object), meta.resource_version)
        except Exception as error:  # noqa: BLE001 - as in JsonCodec.decode_list
            return WatchEvent(event.type, key, None, meta.resource_version, problem=why(error))

    def _read(self, raw: msgspec.Raw) -> T | None:
        obj = self._decode(raw)
        return obj if self._keep is None else self._keep(obj)


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
