"""Kubernetes' protobuf envelopes, whole: the product writes and reads them in parts, without copying."""

from typing import NamedTuple

from signer.kube.encoding.protobuf import MAGIC, envelope_prefix, raw_span, scan, text, varint


class Envelope(NamedTuple):
    """What was in an envelope."""

    api_version: str
    kind: str
    raw: bytes


def wrap(api_version: str, kind: str, raw: bytes) -> bytes:
    """A request body with this object."""
    return envelope_prefix(api_version, kind) + varint(len(raw)) + raw


def unwrap(body: bytes) -> Envelope:
    """Open an envelope; raises ProtobufError when there is none."""
    start, end = raw_span(body)
    api_version = kind = ""
    for tag, a, b in scan(body, len(MAGIC)):
        if tag == 0x0A:  # 1: typeMeta
            for inner, c, d in scan(body, a, b):
                if inner == 0x0A:
                    api_version = text(body, c, d)
                elif inner == 0x12:
                    kind = text(body, c, d)
    return Envelope(api_version, kind, body[start:end])
