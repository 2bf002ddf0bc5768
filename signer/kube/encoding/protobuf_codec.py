"""From the bytes of lists and watches to objects, in Kubernetes protobuf. As codec.py says; pure.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (protobuf encoding)
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from signer.kube.encoding import protobuf
from signer.kube.encoding.codec import Key, ListPage, Problem, WatchEvent, why
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
        items: list[T] = []
        problems: list[Problem] = []
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
                    raw = body[a:b]
                    try:
                        obj = self._decode(raw)
                    except Exception as error:  # noqa: BLE001 - as in JsonCodec.decode_list
                        problems.append(Problem(_protobuf_meta(raw)[0], why(error)))
                    else:
                        if obj is not None:
                            items.append(obj)
        except protobuf.ProtobufError as error:
            raise CodecError(f"the list cannot be read: {error}") from error
        return ListPage(items, resource_version, continue_token, problems, [0] * len(items))

    def decode_event(self, frame: bytes) -> WatchEvent[T]:
        """See Codec. A frame is a bare meta/v1 WatchEvent {1: type, 2: RawExtension {1: the enveloped object}}."""
        kind = ""
        span = (0, 0)
        try:
            for tag, a, b in protobuf.scan(frame):
                if tag == 0x0A:
                    kind = protobuf.text(frame, a, b)
                elif tag == 0x12:
                    for inner, c, d in protobuf.scan(frame, a, b):
                        if inner == 0x0A:
                            span = (c, d)
            if kind == "ERROR":
                return WatchEvent(kind, None, None, "", error_from_status(frame[span[0] : span[1]]))
            start, end = protobuf.raw_span(frame, *span)
        except protobuf.ProtobufError as error:
            raise CodecError(f"a watch event cannot be read: {error}") from error
        raw = frame[start:end]
        key, resource_version = _protobuf_meta(raw)
        if kind == "BOOKMARK":
            return WatchEvent(kind, None, None, resource_version)
        try:
            return WatchEvent(kind, key, self._decode(raw), resource_version)
        except Exception as error:  # noqa: BLE001 - as in JsonCodec.decode_list
            return WatchEvent(kind, key, None, resource_version, problem=why(error))


def _protobuf_meta(raw: bytes) -> tuple[Key | None, str]:
    """Key and resourceVersion of any object: 1: ObjectMeta {1: name, 3: namespace, 6: resourceVersion}.

    Kubernetes' generated code writes these three always, empty ones too, and fields in ascending order, so all are found in the
    first bytes: this is done for each event, and a walk over everything takes longer. Else everything is walked.
    """
    try:
        if raw[:1] == b"\x0a":
            size, pos = protobuf.read_varint(raw, 1)
            end = pos + size
            found: dict[int, bytes] = {}
            while pos < end:
                tag = raw[pos]
                if tag > 0x32 or tag & 7 != protobuf.LENGTH:
                    break
                size, pos = protobuf.read_varint(raw, pos + 1)
                found[tag] = raw[pos : pos + size]
                pos += size
            if pos <= end <= len(raw) and 0x0A in found and 0x1A in found and 0x32 in found:
                return (found[0x1A].decode(), found[0x0A].decode()), found[0x32].decode()
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
