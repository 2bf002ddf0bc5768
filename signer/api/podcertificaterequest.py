"""PodCertificateRequests, read from and written as the bytes that the API server keeps them in.

As certificatesigningrequest.py does it, and for the same reason: a kubelet that starts again asks for every Pod of its node at
once. The answer is one write: the object's own bytes with a status behind them, since protobuf merges what comes in two parts.

Pure. Sources: k8s.io/api/certificates/v1beta1/generated.proto (v0.36), whose field numbers are the constants below; v1 lacks
pkixPublicKey and proofOfPossession and has the same numbers; ValidatePodCertificateRequestStatusUpdate for what a status may say.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, cast

from signer.api.text import fitted
from signer.kube.encoding import protobuf
from signer.kube.resource import Resource

POD_CERTIFICATE_REQUESTS = Resource(
    "certificates.k8s.io", "v1", "podcertificaterequests", "PodCertificateRequest", namespaced=True
)
# The versions whose fields are known here; v1alpha1 has none of them for certain.
KNOWN_VERSIONS = ("v1", "v1beta1")

# The API server takes none but these two reasons for granted; others say themselves what they mean.
UNSUPPORTED_KEY = "UnsupportedKeyType"
INVALID_ANNOTATIONS = "InvalidUnverifiedUserAnnotations"

# Tags: field number << 3 | wire type (2: length-delimited, 0: varint).
_METADATA, _SPEC, _STATUS = 0x0A, 0x12, 0x1A
_META_TEXTS = {0x0A: "name", 0x1A: "namespace", 0x2A: "uid", 0x32: "resource_version"}
_SPEC_EXPIRATION, _SPEC_ANNOTATIONS = 0x40, 0x5A
_SPEC_BYTES = {0x4A: "key", 0x52: "proof", 0x62: "stub"}
_SPEC_TEXTS = {
    0x0A: "signer_name",
    0x12: "pod_name",
    0x1A: "pod_uid",
    0x22: "service_account",
    0x2A: "service_account_uid",
    0x32: "node_name",
    0x3A: "node_uid",
}
_STATUS_CONDITIONS, _STATUS_CHAIN = 0x0A, 0x12
_CONDITION_TYPE = 0x0A
_ENTRY_KEY = 0x0A
# Of annotations that mean nothing to us so many keys are told; of each, so many bytes.
_KEYS_TOLD = 5
_KEY_BYTES = 253
_DEFAULT_SECONDS = 86_400

_FINAL = frozenset({"Issued", "Denied", "Failed"})


@dataclass(frozen=True, slots=True)
class PodCertificateRequest:
    """A request, read in one walk over its bytes. What its spec says is a claim, but for namespace and key's owner.

    `version` is that of the API in which it was read, and is written. `raw` is the object's protobuf message as received.
    The key comes as `stub` (a CSR, DER), or as `key` (SubjectPublicKeyInfo, DER) with `proof` (a signature over `pod_uid`).
    `annotations` are the keys of unverifiedUserAnnotations, the first few. `max_seconds` is the longest life that is taken.
    """

    version: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    signer_name: str
    pod_name: str
    pod_uid: str
    service_account: str
    service_account_uid: str
    node_name: str
    node_uid: str
    max_seconds: int
    conditions: frozenset[str]
    raw: bytes = field(repr=False, compare=False)
    stub: bytes = field(default=b"", repr=False, compare=False)
    key: bytes = field(default=b"", repr=False, compare=False)
    proof: bytes = field(default=b"", repr=False, compare=False)
    annotations: tuple[str, ...] = ()

    @property
    def approved(self) -> bool:
        """Nobody approves these: that it is there is all that is needed to look at it."""
        return True

    @property
    def answered(self) -> bool:
        """Nothing is left to do: it was issued, was denied, or has failed."""
        return not self.conditions.isdisjoint(_FINAL)

    @property
    def resource(self) -> Resource:
        """The resource in the version in which it was read."""
        return POD_CERTIFICATE_REQUESTS.at(self.version)

    @property
    def requester(self) -> str:
        """The user who may have made it: the API server records none, and lets a node ask for its own Pods only."""
        return f"system:node:{self.node_name}"


class _Spec(TypedDict):
    """The fields of a spec, by the names that a PodCertificateRequest has for them."""

    signer_name: str
    pod_name: str
    pod_uid: str
    service_account: str
    service_account_uid: str
    node_name: str
    node_uid: str
    max_seconds: int
    stub: bytes
    key: bytes
    proof: bytes
    annotations: tuple[str, ...]


def read_pod_request(buf: bytes, version: str, start: int = 0, end: int | None = None) -> PodCertificateRequest:
    """Read a PodCertificateRequest message in buf[start:end]. Raises ProtobufError."""
    raw = buf[start:end]
    meta = dict.fromkeys(_META_TEXTS.values(), "")
    spec = _read_spec(raw, 0, 0)
    conditions: set[str] = set()
    for tag, a, b in protobuf.scan(raw):
        if tag == _METADATA:
            for item, c, d in protobuf.scan(raw, a, b):
                if (text := _META_TEXTS.get(item)) is not None:
                    meta[text] = protobuf.text(raw, c, d)
        elif tag == _SPEC:
            spec = _read_spec(raw, a, b)
        elif tag == _STATUS:
            conditions.update(_read_conditions(raw, a, b))
    return PodCertificateRequest(version=version, raw=raw, conditions=frozenset(conditions), **meta, **spec)


def is_answered(raw: bytes) -> bool:
    """Tell of an object's bytes whether nothing is left to do, without reading the rest. Raises ProtobufError."""
    conditions = (
        one for tag, a, b in protobuf.scan(raw) if tag == _STATUS and a != b for one in _read_conditions(raw, a, b)
    )
    return not _FINAL.isdisjoint(conditions)


def _read_spec(raw: bytes, start: int, end: int) -> _Spec:
    texts = dict.fromkeys(_SPEC_TEXTS.values(), "")
    blobs = dict.fromkeys(_SPEC_BYTES.values(), b"")
    keys: list[str] = []
    seconds = _DEFAULT_SECONDS
    for tag, a, b in protobuf.scan(raw, start, end):
        if (text := _SPEC_TEXTS.get(tag)) is not None:
            texts[text] = protobuf.text(raw, a, b)
        elif (blob := _SPEC_BYTES.get(tag)) is not None:
            blobs[blob] = raw[a:b]
        elif tag == _SPEC_EXPIRATION:
            # A negative int32 travels as a 64-bit two's complement.
            seconds = a - (1 << 64) if a >= 1 << 63 else a
        elif tag == _SPEC_ANNOTATIONS and len(keys) < _KEYS_TOLD:
            keys.append(_entry_key(raw, a, b))
    return cast(_Spec, texts | blobs | {"max_seconds": seconds, "annotations": tuple(keys)})


def _entry_key(raw: bytes, start: int, end: int) -> str:
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _ENTRY_KEY:
            return protobuf.text(raw, a, b)[:_KEY_BYTES]
    return ""


def _read_conditions(raw: bytes, start: int, end: int) -> Iterable[str]:
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _STATUS_CONDITIONS:
            # Their status cannot be anything but "True".
            yield from (protobuf.text(raw, c, d) for item, c, d in protobuf.scan(raw, a, b) if item == _CONDITION_TYPE)


def read_status_chain(request: PodCertificateRequest) -> bytes:
    """Return status.certificateChain (PEM), b"" when there is none. Raises ProtobufError."""
    raw, chain = request.raw, b""
    for tag, a, b in protobuf.scan(raw):
        if tag == _STATUS:
            for item, c, d in protobuf.scan(raw, a, b):
                if item == _STATUS_CHAIN:
                    chain = raw[c:d]
    return chain


def with_issued(
    request: PodCertificateRequest, chain: bytes, *, begins: datetime, refresh: datetime, ends: datetime, now: datetime
) -> bytes:
    """Return the body of the PUT to /status that stores a chain (PEM, leaf first): all of the status in one write.

    `begins` and `ends` are the leaf's own times, `refresh` when the kubelet asks again; all UTC, in whole seconds.
    """
    message = "the certificate was issued"
    status = b"".join(
        (
            protobuf.write_bytes_field(1, _condition("Issued", "Issued", message, now)),
            protobuf.write_bytes_field(2, chain),
            protobuf.write_bytes_field(4, _time(begins)),
            protobuf.write_bytes_field(5, _time(refresh)),
            protobuf.write_bytes_field(6, _time(ends)),
        )
    )
    return _with_status(request, status)


def with_denied(request: PodCertificateRequest, *, reason: str, message: str, now: datetime) -> bytes:
    """Return the body of the PUT to /status that denies: for this Pod that is for good."""
    return _with_status(request, protobuf.write_bytes_field(1, _condition("Denied", reason, message, now)))


def _condition(kind: str, reason: str, message: str, now: datetime) -> bytes:
    return b"".join(
        (
            protobuf.write_bytes_field(1, kind.encode()),
            protobuf.write_bytes_field(2, b"True"),
            protobuf.write_bytes_field(4, _time(now)),
            protobuf.write_bytes_field(5, reason.encode()),
            protobuf.write_bytes_field(6, fitted(message).encode()),
        )
    )


def _time(moment: datetime) -> bytes:
    return protobuf.write_varint_field(1, int(moment.timestamp()))


def _with_status(request: PodCertificateRequest, status: bytes) -> bytes:
    prefix = protobuf.envelope_prefix(request.resource.api_version, POD_CERTIFICATE_REQUESTS.kind)
    appended = protobuf.write_bytes_field(3, status)
    return b"".join((prefix, protobuf.varint(len(request.raw) + len(appended)), request.raw, appended))
