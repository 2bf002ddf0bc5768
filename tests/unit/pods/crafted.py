"""PodCertificateRequests as the API server would send them, and what was seen around their Pods."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization

from signer.api.meta import ObjectMeta
from signer.api.pod import Pod, PodSpec, PodStatus, Surroundings
from signer.api.podcertificaterequest import PodCertificateRequest, read_pod_request
from signer.kube.encoding.protobuf import write_bytes_field, write_varint_field
from tests import pki
from tests.unit.csr.crafted import NOW

FOO_SIGNER = "clusterissuers.cert-manager.io/foo"
KEY = pki.key("p256")
STUB = pki.stub(KEY)
SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
SPEC: Mapping[str, Any] = {
    "signer_name": FOO_SIGNER,
    "pod_name": "web-0",
    "pod_uid": "uid-pod",
    "service_account": "web",
    "service_account_uid": "uid-account",
    "node_name": "node-1",
    "node_uid": "uid-node",
    "max_seconds": 86_400,
    "key": b"",
    "proof": b"",
    "annotations": (),
    "stub": STUB,
}
_NUMBERS = {
    "signer_name": 1,
    "pod_name": 2,
    "pod_uid": 3,
    "service_account": 4,
    "service_account_uid": 5,
    "node_name": 6,
    "node_uid": 7,
    "key": 9,
    "proof": 10,
    "stub": 12,
}


def encoded(
    *,
    namespace: str = "foo",
    name: str = "request-1",
    uid: str = "uid-1",
    version: str = "7",
    conditions: tuple[str, ...] = (),
    chain: bytes = b"",
    **spec: Any,
) -> bytes:
    """The object's protobuf message."""
    meta = b"".join(
        write_bytes_field(number, text.encode())
        for number, text in ((1, name), (3, namespace), (5, uid), (6, version))
        if text
    )
    values = dict(SPEC) | spec
    fields = [
        write_bytes_field(number, value if isinstance(value, bytes) else value.encode())
        for field, number in _NUMBERS.items()
        if (value := values[field])
    ]
    fields.append(write_varint_field(8, values["max_seconds"]))
    fields += [
        write_bytes_field(11, write_bytes_field(1, key.encode()) + write_bytes_field(2, b"value"))
        for key in values["annotations"]
    ]
    status = b"".join(write_bytes_field(1, write_bytes_field(1, one.encode())) for one in conditions)
    if chain:
        status += write_bytes_field(2, chain)
    return write_bytes_field(1, meta) + write_bytes_field(2, b"".join(fields)) + write_bytes_field(3, status)


def request(api_version: str = "v1beta1", **fields: Any) -> PodCertificateRequest:
    return read_pod_request(encoded(**fields), api_version)


def pod(*, uid: str = "uid-pod", node: str = "node-1", account: str = "web", phase: str = "Pending") -> Pod:
    return Pod(ObjectMeta(name="web-0", namespace="foo", uid=uid), PodSpec(node, account), PodStatus(phase))


def seen(found: Pod | None = None, **changes: Any) -> Surroundings:
    """All as the request says."""
    values: dict[str, Any] = {
        "pod": found or pod(),
        "service_account_uid": "uid-account",
        "node_uid": "uid-node",
        "at": NOW,
    }
    return Surroundings(**(values | changes))
