"""From the bytes of lists and watches to objects, in Kubernetes protobuf. As codec.py says; pure.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (protobuf encoding)
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from signer.kube.encoding import protobuf
from signer.kube.encoding.codec import Key, Listed, ListPage, Problem, WatchEvent, why
from signer.kube.encoding.framing import CodecError, Framer, LengthFramer
from signer.kube.errors import error_from_status

T = TypeVar("T")


class ProtobufCodec(Generic[T]):
    """Kubernetes protobuf, for built-in types only (custom resources have none).

    Args:
        decode: makes an object of its raw message (without envelope), or None when it is not of interest; what it raises is a
            Problem. The bytes are the caller's to keep.
        key: (namespace, name) of an object.
    """

    accept = "application/vnd.kubernetes.protobuf"
    watch_accept = "application/vnd.kubernetes.protobuf;stream=watch"

    def __init__(self, decode: Callable[[bytes], T | None], key: Callable[[T], Key]) -> None:
        self._decode = decode
        self._key = key

    def framer(self) -> Framer:
        """See Codec."""
        return LengthFramer()

    def key(self, obj: T) -> Key:
        """See Codec."""
        return self._key(obj)

    def withhold(self, obj: T, why: str) -> T | None:  # noqa: ARG002 - see Codec
        """See Codec. Objects of these codecs are bounded where they are decoded."""
        return obj

    def decode_list(self, body: bytes) -> ListPage[T]:
        """See Codec. Lists of all types are 1: ListMeta {2: resourceVersion, 3: continue}, 2: repeated items."""
        resource_version = continue_token = ""
        spans: list[tuple[int, int]] = []
        try:
            start, end = protobuf.raw_span(body)
            for tag, a, b in protobuf.scan(body, start, end):
                if tag == 0x0A:
                    for inner, c, d in protobuf.scan(body, a, b):
                        if inner == 0x12:
                            resource_version = protobuf.text(body, c, d)
                        elif inner == 0x1A:
                            continue_token = protobuf.text(body, c, d)
                elif tag == 0x12:
                    spans.append((a, b))
        except protobuf.ProtobufError as error:
            raise CodecError(f"the list cannot be read: {error}") from error
        return ListPage(self._listed(body, spans), resource_version, continue_token)

    def _listed(self, body: bytes, spans: list[tuple[int, int]]) -> Iterator[Listed[T]]:
        for start, end in spans:
            raw = body[start:end]
            try:
                listed = Listed(self._decode(raw))
            except Exception as error:  # noqa: BLE001 - as in JsonCodec._listed
                listed = Listed(None, 0, Problem(_protobuf_meta(raw)[0], why(error)))
            if listed.object is not None or listed.problem is not None:
                yield listed

    def decode_event(self, frame: bytes) -> WatchEvent[T]:
        """See Codec. A frame is a bare meta/v1 WatchEvent {1: type, 2: RawExtension {1: the enveloped object}}."""
        try:
            kind, start, end = _opened(frame) or _walked(frame)
            if kind == "ERROR":
                return WatchEvent(kind, None, None, "", error_from_status(frame[start:end]))
        except protobuf.ProtobufError as error:
            raise CodecError(f"a watch event cannot be read: {error}") from error
        raw = frame[start:end]
        key, resource_version = _protobuf_meta(raw)
        if kind == "BOOKMARK":
            return WatchEvent(kind, None, None, resource_version)
        if kind == "DELETED":
            return WatchEvent(kind, key, None, resource_version)
        try:
            return WatchEvent(kind, key, self._decode(raw), resource_version)
        except Exception as error:  # noqa: BLE001 - as in JsonCodec._listed
            return WatchEvent(kind, key, None, resource_version, problem=why(error))


# What the API server writes behind the object: contentEncoding and contentType, both empty.
_REST = (b"\x1a\x00\x22\x00", b"")
_KINDS = {kind.encode(): kind for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")}


def _opened(frame: bytes) -> tuple[str, int, int] | None:
    """Type and place of the raw object in a frame of just the form that the API server writes; None for any other.

    This is done for each event, and the walk takes three times as long. All lengths must fit to the byte, so both find the same.
    """
    try:
        pos = 2 + frame[1]
        kind = _KINDS.get(frame[2:pos])
        if kind is None or frame[0] != 0x0A or frame[pos] != 0x12:
            return None
        size, pos = protobuf.read_varint(frame, pos + 1)
        if pos + size != len(frame) or frame[pos] != 0x0A:
            return None
        size, pos = protobuf.read_varint(frame, pos + 1)
        if pos + size != len(frame) or not frame.startswith(_ENVELOPE, pos) or frame[pos + 5] >= 0x80:
            return None
        pos += 6 + frame[pos + 5]
        if frame[pos] != 0x12:
            return None
        size, pos = protobuf.read_varint(frame, pos + 1)
    except (IndexError, protobuf.ProtobufError):
        return None
    return (kind, pos, pos + size) if frame[pos + size :] in _REST and pos + size <= len(frame) else None


_ENVELOPE = protobuf.MAGIC + b"\x0a"


def _walked(frame: bytes) -> tuple[str, int, int]:
    """The same of any frame; of an ERROR the place of the envelope."""
    kind = ""
    span = (0, 0)
    for tag, a, b in protobuf.scan(frame):
        if tag == 0x0A:
            kind = protobuf.text(frame, a, b)
        elif tag == 0x12:
            for inner, c, d in protobuf.scan(frame, a, b):
                if inner == 0x0A:
                    span = (c, d)
    return (kind, *span) if kind == "ERROR" else (kind, *protobuf.raw_span(frame, *span))


def _protobuf_meta(raw: bytes) -> tuple[Key | None, str]:
    """Key and resourceVersion of any object: 1: ObjectMeta {1: name, 3: namespace, 6: resourceVersion}.

    Kubernetes' generated code writes these three always, empty ones too, and fields in ascending order, so all are found in the
    first bytes: this is done for each event, and a walk over everything takes longer. Else everything is walked.
    """
    try:
        if raw[:1] == b"\x0a":
            size, pos = protobuf.read_varint(raw, 1)
            end = pos + size
            name = namespace = version = None
            while pos < end:
                tag = raw[pos]
                if tag > 0x32 or tag & 7 != protobuf.LENGTH:
                    break
                size = raw[pos + 1]
                pos += 2
                if size >= 0x80:
                    size, pos = protobuf.read_varint(raw, pos - 1)
                stop = pos + size
                if tag == 0x0A:
                    name = raw[pos:stop]
                elif tag == 0x1A:
                    namespace = raw[pos:stop]
                elif tag == 0x32:
                    version = raw[pos:stop]
                pos = stop
            if pos <= end <= len(raw) and name is not None and namespace is not None and version is not None:
                return (namespace.decode(), name.decode()), version.decode()
        return _walk_meta(raw)
    except (IndexError, UnicodeDecodeError, protobuf.ProtobufError):
        return None, ""


def _walk_meta(raw: bytes) -> tuple[Key, str]:
    name = namespace = resource_version = ""
    for tag, a, b in protobuf.scan(raw):
        if tag == 0x0A:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == 0x0A:
                    name = protobuf.text(raw, c, d)
                elif inner == 0x1A:
                    namespace = protobuf.text(raw, c, d)
                elif inner == 0x32:
                    resource_version = protobuf.text(raw, c, d)
            break
    return (namespace, name), resource_version
