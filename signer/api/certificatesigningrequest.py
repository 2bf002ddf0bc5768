"""CertificateSigningRequests, read from and written as the bytes that the API server keeps them in.

Why bytes: a typed object costs 66-104 µs to read and as much to write, and this is the hot path. Reading walks the
protobuf tags of the few fields that decide; writing sends the object's own bytes back with one field appended, since
protobuf merges a repeated embedded message: status{certificate} lands in the status that is there, and everything
else, fields that we do not know included, stays as it was. The resourceVersion lies in those bytes, so a stale
write is a 409.

Pure. Source: k8s.io/api/certificates/v1/generated.proto (v0.36), whose field numbers are the constants below.
"""

from dataclasses import dataclass, field
from datetime import datetime

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

_ENVELOPE = protobuf.envelope_prefix("certificates.k8s.io/v1", "CertificateSigningRequest")


@dataclass(frozen=True, slots=True)
class CertificateSigningRequest:
    """What decides whether a request is to be answered; the rest is read from `raw` by `read_content`.

    `raw` is the object's protobuf message as received. `conditions` holds the types of its conditions.
    """

    name: str
    uid: str
    resource_version: str
    signer_name: str
    conditions: frozenset[str]
    has_certificate: bool
    raw: bytes = field(repr=False, compare=False)

    @property
    def approved(self) -> bool:
        """Approved, and not also denied."""
        return "Approved" in self.conditions and "Denied" not in self.conditions

    @property
    def answered(self) -> bool:
        """Nothing is left to do: it has its certificate, or was denied, or has failed."""
        return self.has_certificate or not self.conditions.isdisjoint(_FINAL)


_FINAL = frozenset({"Denied", "Failed"})
_NO_CONDITIONS: frozenset[str] = frozenset()
_APPROVED = frozenset({"Approved"})


@dataclass(frozen=True, slots=True)
class RequestContent:
    """What is asked for and by whom, as the API server recorded it. `expiration_seconds` is None when not set.

    `created` is when the object was made, in seconds since the epoch; 0 when it does not say.
    """

    request: bytes = field(repr=False)
    usages: tuple[str, ...]
    expiration_seconds: int | None
    annotations: dict[str, str]
    username: str
    user_uid: str
    groups: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]
    created: int = 0


def read_object(buf: bytes, start: int = 0, end: int | None = None) -> CertificateSigningRequest:
    """Read a CertificateSigningRequest message in buf[start:end]. Raises ProtobufError."""
    raw = buf[start:end]
    name = uid = version = signer = ""
    conditions: list[str] = []
    has_certificate = False
    for tag, a, b in protobuf.scan(raw):
        if tag == _METADATA:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _META_NAME:
                    name = protobuf.text(raw, c, d)
                elif inner == _META_UID:
                    uid = protobuf.text(raw, c, d)
                elif inner == _META_VERSION:
                    version = protobuf.text(raw, c, d)
        elif tag == _SPEC:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _SPEC_SIGNER:
                    signer = protobuf.text(raw, c, d)
        elif tag == _STATUS:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _STATUS_CONDITIONS:
                    conditions.append(_condition_type(raw, c, d))
                elif inner == _STATUS_CERTIFICATE:
                    has_certificate = has_certificate or c != d
    types = _NO_CONDITIONS if not conditions else frozenset(conditions)
    return CertificateSigningRequest(
        name, uid, version, signer, _APPROVED if types == _APPROVED else types, has_certificate, raw
    )


def _condition_type(raw: bytes, start: int, end: int) -> str:
    # The status of a condition is not looked at: Approved, Denied and Failed cannot be anything but "True".
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _CONDITION_TYPE:
            return protobuf.text(raw, a, b)
    return ""


def read_requester(csr: CertificateSigningRequest) -> tuple[str, bytes]:
    """Read who asks, and the CSR (PEM): what queueing needs. Raises ProtobufError."""
    raw = csr.raw
    username, request = "", b""
    for tag, a, b in protobuf.scan(raw):
        if tag == _SPEC:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _SPEC_USERNAME:
                    username = protobuf.text(raw, c, d)
                elif inner == _SPEC_REQUEST:
                    request = raw[c:d]
    return username, request


def read_content(csr: CertificateSigningRequest) -> RequestContent:
    """Read the rest of a request. Raises ProtobufError."""
    raw = csr.raw
    request, username, user_uid = b"", "", ""
    groups: list[str] = []
    usages: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    annotations: dict[str, str] = {}
    expiration: int | None = None
    created = 0
    for tag, a, b in protobuf.scan(raw):
        if tag == _METADATA:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _META_ANNOTATIONS:
                    key, value = _entry(raw, c, d)
                    annotations[key] = protobuf.text(raw, *value)
                elif inner == _META_CREATED:
                    created = next((e for item, e, _ in protobuf.scan(raw, c, d) if item == _TIME_SECONDS), 0)
        elif tag == _SPEC:
            for inner, c, d in protobuf.scan(raw, a, b):
                if inner == _SPEC_REQUEST:
                    request = raw[c:d]
                elif inner == _SPEC_USERNAME:
                    username = protobuf.text(raw, c, d)
                elif inner == _SPEC_USER_UID:
                    user_uid = protobuf.text(raw, c, d)
                elif inner == _SPEC_GROUPS:
                    groups.append(protobuf.text(raw, c, d))
                elif inner == _SPEC_USAGES:
                    usages.append(protobuf.text(raw, c, d))
                elif inner == _SPEC_EXTRA:
                    key, value = _entry(raw, c, d)
                    extra[key] = tuple(
                        protobuf.text(raw, e, f) for item, e, f in protobuf.scan(raw, *value) if item == _ITEMS
                    )
                elif inner == _SPEC_EXPIRATION:
                    # A negative int32 travels as a 64-bit two's complement.
                    expiration = c - (1 << 64) if c >= 1 << 63 else c
    return RequestContent(
        request, tuple(usages), expiration, annotations, username, user_uid, tuple(groups), extra, created
    )


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
            protobuf.write_bytes_field(3, message.encode()),
            protobuf.write_bytes_field(4, seconds),
            protobuf.write_bytes_field(5, seconds),
            protobuf.write_bytes_field(6, b"True"),
        )
    )
    return _with_status(csr, protobuf.write_bytes_field(1, condition))


def _with_status(csr: CertificateSigningRequest, status: bytes) -> bytes:
    appended = protobuf.write_bytes_field(3, status)
    return b"".join((_ENVELOPE, protobuf.varint(len(csr.raw) + len(appended)), csr.raw, appended))
