"""CertificateSigningRequests, read from and written as the bytes that the API server keeps them in.

Why bytes: a typed object costs 66-104 µs to read and as much to write, and this is the hot path. Reading walks the
protobuf tags of the few fields that decide; writing sends the object's own bytes back with one field appended, since
protobuf merges a repeated embedded message: status{certificate} lands in the status that is there, and everything
else, fields that we do not know included, stays as it was. The resourceVersion lies in those bytes, so a stale
write is a 409.

Pure. Source: k8s.io/api/certificates/v1/generated.proto (v0.36), whose field numbers are the constants below.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from signer.api.text import fitted
from signer.kube.encoding import protobuf
from signer.kube.resource import Resource

CERTIFICATE_SIGNING_REQUESTS = Resource(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", namespaced=False
)

# Tags: field number << 3 | wire type (2: length-delimited, 0: varint).
_METADATA, _SPEC, _STATUS = 0x0A, 0x12, 0x1A
_META_NAME, _META_UID, _META_VERSION, _META_CREATED, _META_ANNOTATIONS = 0x0A, 0x2A, 0x32, 0x42, 0x62
_SPEC_REQUEST, _SPEC_USERNAME, _SPEC_USER_UID, _SPEC_GROUPS, _SPEC_USAGES, _SPEC_EXTRA, _SPEC_SIGNER, _SPEC_EXPIRATION = (
    0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x40,
)  # fmt: skip
_STATUS_CONDITIONS, _STATUS_CERTIFICATE = 0x0A, 0x12
_CONDITION_TYPE = 0x0A
_KEY, _VALUE, _ITEMS = 0x0A, 0x12, 0x0A
_TIME_SECONDS = 0x08
# What is read of a spec is kept for others that say the same, if it is not longer; istiod's have some 700 bytes.
_SHARED_BYTES = 4096
# Of a requester's name, where it only tells one from another. Namespace and account of a ServiceAccount have up to 337.
_NAME_KEPT = 400

_ENVELOPE = protobuf.envelope_prefix("certificates.k8s.io/v1", "CertificateSigningRequest")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a spec says beside the CSR itself: the same for all requests that one istiod makes for one signer.

    `expiration_seconds` is None when not set. `request` is the CSR where it does not come first, as the API server writes it.
    """

    signer_name: str = ""
    usages: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    username: str = ""
    user_uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    request: bytes | None = field(default=None, repr=False)


_NOTHING_ASKED = Asked()
_NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CertificateSigningRequest:
    """A request, read in one walk over its bytes.

    `raw` is the object's protobuf message as received. `conditions` holds the types of its conditions. `created` is when the
    object was made, in seconds since the epoch; 0 when it does not say.
    """

    name: str
    uid: str
    resource_version: str
    signer_name: str
    conditions: frozenset[str]
    has_certificate: bool
    raw: bytes = field(repr=False, compare=False)
    asked: Asked = field(default=_NOTHING_ASKED, repr=False, compare=False)
    created: int = field(default=0, repr=False, compare=False)
    annotated: bool = field(default=False, repr=False, compare=False)
    request_start: int = field(default=0, repr=False, compare=False)
    request_end: int = field(default=0, repr=False, compare=False)

    @property
    def approved(self) -> bool:
        """Approved, and not also denied."""
        return "Approved" in self.conditions and "Denied" not in self.conditions

    @property
    def answered(self) -> bool:
        """Nothing is left to do: it has its certificate, or was denied, or has failed."""
        return self.has_certificate or not self.conditions.isdisjoint(_FINAL)

    @property
    def request(self) -> bytes:
        """The CSR (PEM)."""
        elsewhere = self.asked.request
        return self.raw[self.request_start : self.request_end] if elsewhere is None else elsewhere

    def without_bytes(self) -> "CertificateSigningRequest":
        """The same, without what takes memory; of what is asked only by whom, in its first letters."""
        by = Asked(username=self.asked.username[:_NAME_KEPT])
        return CertificateSigningRequest(
            self.name, self.uid, self.resource_version, self.signer_name, self.conditions, self.has_certificate, b"", by
        )


_FINAL = frozenset({"Denied", "Failed"})
_NO_CONDITIONS: frozenset[str] = frozenset()
_APPROVED = frozenset({"Approved"})
# A status with nothing but the condition Approved begins like this, after the length of the condition.
_TYPE_APPROVED = b"\x0a\x08Approved\x12"


@dataclass(frozen=True, slots=True)
class RequestContent:
    """What is asked for and by whom, as the API server recorded it. `expiration_seconds` is None when not set.

    `created` is when the object was made, in seconds since the epoch; 0 when it does not say.
    """

    request: bytes = field(repr=False)
    usages: tuple[str, ...]
    expiration_seconds: int | None
    annotations: Mapping[str, str]
    username: str
    user_uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]
    created: int = 0


class Head(NamedTuple):
    """What tells whether an event says anything new, read without the rest: whose it is, and how far it is."""

    uid: str
    state: Literal["new", "approved", "certified"]


def read_head(raw: bytes) -> Head | None:  # noqa: PLR0911 - each form but the usual one ends it
    """Read the head of an object in just the form that the API server writes; None for any other, and for other conditions.

    `new` has no status, `approved` just the condition Approved, `certified` that and a certificate. Raises nothing. It takes
    a third of the time of `read_object`, and decides nothing but whether that is called.
    """
    try:
        size, pos = protobuf.read_varint(raw, 1)
        end = pos + size
        if raw[0] != _METADATA:
            return None
        while (tag := raw[pos]) < _META_UID:  # names; their lengths have one byte
            if tag & 7 != protobuf.LENGTH or raw[pos + 1] >= 0x80:
                return None
            pos += 2 + raw[pos + 1]
        uid = raw[pos + 2 : pos + 2 + raw[pos + 1]]
        if tag != _META_UID or raw[end] != _SPEC:
            return None
        size, pos = protobuf.read_varint(raw, end + 1)
        pos += size
        if raw[pos] != _STATUS:
            return None
        size, pos = protobuf.read_varint(raw, pos + 1)
        if pos + size != len(raw):
            return None
        if not size:
            return Head(uid.decode(), "new")
        if raw[pos] != _STATUS_CONDITIONS:
            return None
        size, pos = protobuf.read_varint(raw, pos + 1)
        if not raw.startswith(_TYPE_APPROVED, pos):
            return None
        pos += size
        if pos == len(raw):
            return Head(uid.decode(), "approved")
        if raw[pos] != _STATUS_CERTIFICATE:
            return None
        size, pos = protobuf.read_varint(raw, pos + 1)
        return Head(uid.decode(), "certified") if size and pos + size == len(raw) else None
    except (IndexError, ValueError):
        return None


def read_object(buf: bytes, start: int = 0, end: int | None = None) -> CertificateSigningRequest:
    """Read a CertificateSigningRequest message in buf[start:end]. Raises ProtobufError."""
    raw = buf[start:end]
    meta, asked, first, last = _NO_META, _NOTHING_ASKED, 0, 0
    conditions, has_certificate = _NO_CONDITIONS, False
    for tag, a, b in protobuf.scan(raw):
        if tag == _METADATA:
            meta = _read_meta(raw, a, b)
        elif tag == _SPEC:
            asked, first, last = _read_spec(raw, a, b)
        elif tag == _STATUS and a != b:
            more, certified = _read_status(raw, a, b)
            # Protobuf merges a message that comes in two parts, as in the body of our answer.
            conditions, has_certificate = (more | conditions if conditions else more), has_certificate or certified
    name, uid, version, created, annotated = meta
    return CertificateSigningRequest(
        name, uid, version, asked.signer_name, conditions, has_certificate, raw, asked, created, annotated, first, last
    )


_Meta = tuple[str, str, str, int, bool]
_NO_META: _Meta = ("", "", "", 0, False)


def _read_meta(raw: bytes, pos: int, end: int) -> _Meta:
    """Read name, uid, resourceVersion and the seconds of creationTimestamp, and tell whether there are annotations.

    The API server writes fields in ascending order: what comes from the annotations on, most of it managedFields, is passed over.
    """
    name = uid = version = ""
    created = 0
    annotated = False
    try:
        while pos < end:
            tag = raw[pos]
            if tag >= _META_ANNOTATIONS:
                annotated = tag == _META_ANNOTATIONS
                break
            size = raw[pos + 1]
            pos += 2
            if size >= 0x80:
                size, pos = protobuf.read_varint(raw, pos - 1)
            if tag & 7 != protobuf.LENGTH:
                if tag & 7 != protobuf.VARINT:
                    raise protobuf.ProtobufError(f"metadata has a field of wire type {tag & 7}")
                continue
            stop = pos + size
            if stop > end:
                raise protobuf.ProtobufError("a field runs past the end of its message")
            if tag == _META_NAME:
                name = raw[pos:stop].decode()
            elif tag == _META_UID:
                uid = raw[pos:stop].decode()
            elif tag == _META_VERSION:
                version = raw[pos:stop].decode()
            elif tag == _META_CREATED:
                created = next((e for item, e, _ in protobuf.scan(raw, pos, stop) if item == _TIME_SECONDS), 0)
            pos = stop
    except IndexError:
        raise protobuf.ProtobufError("message is truncated") from None
    except UnicodeDecodeError:
        raise protobuf.ProtobufError("a string is not UTF-8") from None
    return name, uid, version, created, annotated


def _read_spec(raw: bytes, start: int, end: int) -> tuple[Asked, int, int]:
    """Read a spec: where the CSR lies, which comes first and differs, and behind it what many requests share."""
    first = last = start
    if start < end and raw[start] == _SPEC_REQUEST:
        size, first = protobuf.read_varint(raw, start + 1)
        last = first + size
        if last > end:
            raise protobuf.ProtobufError("a field runs past the end of its message")
    rest = raw[last:end]
    return _asked(rest) if len(rest) <= _SHARED_BYTES else _read_asked(rest), first, last


def _read_asked(rest: bytes) -> Asked:
    signer = username = user_uid = ""
    groups: list[str] = []
    usages: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    expiration = request = None
    for tag, a, b in protobuf.scan(rest):
        if tag == _SPEC_REQUEST:
            request = rest[a:b]
        elif tag == _SPEC_USERNAME:
            username = protobuf.text(rest, a, b)
        elif tag == _SPEC_USER_UID:
            user_uid = protobuf.text(rest, a, b)
        elif tag == _SPEC_GROUPS:
            groups.append(protobuf.text(rest, a, b))
        elif tag == _SPEC_USAGES:
            usages.append(protobuf.text(rest, a, b))
        elif tag == _SPEC_EXTRA:
            key, value = _entry(rest, a, b)
            extra[key] = tuple(
                protobuf.text(rest, c, d) for item, c, d in protobuf.scan(rest, *value) if item == _ITEMS
            )
        elif tag == _SPEC_SIGNER:
            signer = protobuf.text(rest, a, b)
        elif tag == _SPEC_EXPIRATION:
            # A negative int32 travels as a 64-bit two's complement.
            expiration = a - (1 << 64) if a >= 1 << 63 else a
    return Asked(signer, tuple(usages), expiration, username, user_uid, tuple(groups), MappingProxyType(extra), request)


# Held by their bytes: whoever wants to fill this with others' requests gains that they are read as if it were not there.
_asked = functools.lru_cache(maxsize=512)(_read_asked)


def _read_status(raw: bytes, start: int, end: int) -> tuple[frozenset[str], bool]:
    conditions: list[str] = []
    has_certificate = False
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _STATUS_CONDITIONS:
            conditions.append("Approved" if raw.startswith(_TYPE_APPROVED, a) else _condition_type(raw, a, b))
        elif tag == _STATUS_CERTIFICATE:
            has_certificate = has_certificate or a != b
    return _APPROVED if conditions == ["Approved"] else frozenset(conditions), has_certificate


def _condition_type(raw: bytes, start: int, end: int) -> str:
    # The status of a condition is not looked at: Approved, Denied and Failed cannot be anything but "True".
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _CONDITION_TYPE:
            return protobuf.text(raw, a, b)
    return ""


def read_content(csr: CertificateSigningRequest) -> RequestContent:
    """Tell what is asked for. Raises ProtobufError, for annotations that cannot be read."""
    asked = csr.asked
    return RequestContent(
        csr.request,
        asked.usages,
        asked.expiration_seconds,
        _read_annotations(csr.raw) if csr.annotated else _NO_ANNOTATIONS,
        asked.username,
        asked.user_uid,
        asked.groups,
        asked.extra,
        csr.created,
    )


def _read_annotations(raw: bytes) -> dict[str, str]:
    found = {}
    for tag, a, b in protobuf.scan(raw):
        if tag == _METADATA:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _META_ANNOTATIONS:
                    key, value = _entry(raw, c, d)
                    found[key] = protobuf.text(raw, *value)
    return found


def read_certificate(csr: CertificateSigningRequest) -> bytes:
    """Return status.certificate, b"" when there is none. Raises ProtobufError."""
    raw = csr.raw
    certificate = b""
    for tag, a, b in protobuf.scan(raw):
        if tag == _STATUS:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _STATUS_CERTIFICATE:
                    certificate = raw[c:d]
    return certificate


def _entry(raw: bytes, start: int, end: int) -> tuple[str, tuple[int, int]]:
    """Read a map entry: its key, and where its value lies."""
    key, value = "", (start, start)
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _KEY:
            key = protobuf.text(raw, a, b)
        elif tag == _VALUE:
            value = (a, b)
    return key, value


def with_certificate(csr: CertificateSigningRequest, pem: bytes) -> bytes:
    """Return the body of the PUT to /status that stores the certificate (PEM, leaf first)."""
    return _with_status(csr, protobuf.write_bytes_field(2, pem))


def with_failed(csr: CertificateSigningRequest, *, reason: str, message: str, now: datetime) -> bytes:
    """Return the body of the PUT to /status that adds the condition Failed."""
    seconds = protobuf.write_varint_field(1, int(now.timestamp()))
    condition = b"".join(
        (
            protobuf.write_bytes_field(1, b"Failed"),
            protobuf.write_bytes_field(2, reason.encode()),
            protobuf.write_bytes_field(3, fitted(message).encode()),
            protobuf.write_bytes_field(4, seconds),
            protobuf.write_bytes_field(5, seconds),
            protobuf.write_bytes_field(6, b"True"),
        )
    )
    return _with_status(csr, protobuf.write_bytes_field(1, condition))


def _with_status(csr: CertificateSigningRequest, status: bytes) -> bytes:
    appended = protobuf.write_bytes_field(3, status)
    return b"".join((_ENVELOPE, protobuf.varint(len(csr.raw) + len(appended)), csr.raw, appended))
