"""The condition that refuses a request, as it is stored: its words and its time tell whose refusal it is.

Pure.
"""

from typing import NamedTuple

from signer.kube.encoding import protobuf

_STATUS, _CONDITIONS, _TYPE, _SECONDS = 0x1A, 0x0A, 0x0A, 0x08


class Layout(NamedTuple):
    """The tags of a condition's reason, message and time, and the type of the one that refuses; its type is always field 1."""

    kind: str
    reason: int
    message: int
    time: int


FAILED = Layout("Failed", reason=0x12, message=0x1A, time=0x22)
"""Of a CertificateSigningRequest, with lastUpdateTime."""
DENIED = Layout("Denied", reason=0x2A, message=0x32, time=0x22)
"""Of a PodCertificateRequest, with lastTransitionTime."""


class Refusal(NamedTuple):
    """Reason, message, and the time in seconds of the epoch."""

    reason: str
    message: str
    seconds: int


def read_refusal(raw: bytes, layout: Layout) -> Refusal | None:
    """Return what an object (its protobuf message) is refused by; the last one, None when there is none. Raises ProtobufError."""
    found = None
    for tag, a, b in protobuf.scan(raw):
        if tag == _STATUS:
            for item, c, d in protobuf.scan(raw, a, b):
                if item == _CONDITIONS:
                    found = _read(raw, c, d, layout) or found
    return found


def _read(raw: bytes, start: int, end: int, layout: Layout) -> Refusal | None:
    kind = reason = message = ""
    seconds = 0
    for tag, a, b in protobuf.scan(raw, start, end):
        if tag == _TYPE:
            kind = protobuf.text(raw, a, b)
        elif tag == layout.reason:
            reason = protobuf.text(raw, a, b)
        elif tag == layout.message:
            message = protobuf.text(raw, a, b)
        elif tag == layout.time:
            seconds = next((value for item, value, _ in protobuf.scan(raw, a, b) if item == _SECONDS), 0)
    return Refusal(reason, message, seconds) if kind == layout.kind else None
