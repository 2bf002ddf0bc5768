"""CertificateSigningRequests as the API server's own protobuf bytes, and what stands around them in these tests.

The encoder knows the field numbers from k8s.io/api/certificates/v1/generated.proto and shares only the writers of
tags with the code that is tested.
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from issuers.authority import Authority, load_authority
from signer.api.certificatesigningrequest import CertificateSigningRequest, read_object
from signer.api.issuer import Issuer, IssuerRef
from signer.authorities.state import IssuerState
from signer.kube.encoding.protobuf import write_bytes_field, write_varint_field
from tests.pki import CA, workload_csr

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ISTIOD = "system:serviceaccount:istio-system:istiod"
GROUPS = ("system:serviceaccounts", "system:serviceaccounts:istio-system", "system:authenticated")
USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
FOO = IssuerRef("ClusterIssuer", "", "foo")
FOO_SIGNER = "clusterissuers.cert-manager.io/foo"
SHOP = IssuerRef("Issuer", "shop", "ca")
SHOP_SIGNER = "issuers.cert-manager.io/shop.ca"


def string(number: int, text: str) -> bytes:
    return write_bytes_field(number, text.encode())


def entry(key: str, value: bytes) -> bytes:
    return string(1, key) + write_bytes_field(2, value)


def condition(kind: str) -> bytes:
    moment = write_bytes_field(4, write_varint_field(1, 1_790_000_000))
    return string(1, kind) + string(2, "Because") + string(3, "so it is") + moment + string(6, "True")


@functools.cache
def workload(namespace: str = "foo") -> bytes:
    """A pilot-agent's CSR, made once."""
    return workload_csr(namespace)


def encoded(
    *,
    name: str = "request-1",
    uid: str = "uid-1",
    version: str = "7",
    signer: str = FOO_SIGNER,
    request: bytes | None = None,
    usages: Sequence[str] = USAGES,
    expiration: int | None = 86400,
    annotations: Mapping[str, str] | None = None,
    username: str = ISTIOD,
    user_uid: str = "u-istiod",
    groups: Sequence[str] = GROUPS,
    extra: Mapping[str, Sequence[str]] | None = None,
    conditions: Sequence[str] = ("Approved",),
    certificate: bytes = b"",
    created: datetime | None = None,
    unknown: bytes = b"",
) -> bytes:
    """A CertificateSigningRequest message. `unknown` is appended to spec: fields of a later version."""
    meta = string(1, name) + string(5, uid) + string(6, version)
    if created is not None:
        meta += write_bytes_field(8, write_varint_field(1, int(created.timestamp())))
    for key, text in (annotations or {}).items():
        meta += write_bytes_field(12, entry(key, text.encode()))
    spec = write_bytes_field(1, workload() if request is None else request)
    spec += string(2, username) + string(3, user_uid) + b"".join(string(4, group) for group in groups)
    spec += b"".join(string(5, usage) for usage in usages)
    for key, values in (extra or {}).items():
        spec += write_bytes_field(6, entry(key, b"".join(string(1, value) for value in values)))
    spec += string(7, signer)
    if expiration is not None:
        spec += write_varint_field(8, expiration)
    status = b"".join(write_bytes_field(1, condition(kind)) for kind in conditions)
    if certificate:
        status += write_bytes_field(2, certificate)
    return write_bytes_field(1, meta) + write_bytes_field(2, spec + unknown) + write_bytes_field(3, status)


def request(**fields: Any) -> CertificateSigningRequest:
    """As `encoded`, read."""
    return read_object(encoded(**fields))


def loaded(made: CA) -> Authority:
    """A CA as its Secret gives it, read at its own time."""
    data = made.secret()
    return load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=made.now)


@functools.cache
def _made(common_name: str, kind: str) -> tuple[CA, Authority]:
    made = CA(common_name, kind=kind, now=NOW)
    return made, loaded(made)


def ca(common_name: str = "foo", kind: str = "p256") -> CA:
    """A CA that is valid from NOW - 1 day for 91 days, made once."""
    return _made(common_name, kind)[0]


def authority(common_name: str = "foo", kind: str = "p256") -> Authority:
    """The same, loaded."""
    return _made(common_name, kind)[1]


def issuer(ref: IssuerRef = FOO, spec: Mapping[str, Any] | None = None, version: str = "1") -> Issuer:
    """An issuer as the API server gives it; a `ca` issuer on the Secret `<name>-ca` by default."""
    spec = {"ca": {"secretName": f"{ref.name}-ca"}} if spec is None else spec
    meta = {"name": ref.name, "namespace": ref.namespace, "resourceVersion": version}
    return msgspec.convert({"metadata": meta, "kind": ref.kind, "spec": spec}, Issuer)


def ready(ref: IssuerRef = FOO, *, kind: str = "p256", **ca_fields: Any) -> IssuerState:
    """A `ca` issuer that may sign."""
    found = issuer(ref, {"ca": {"secretName": f"{ref.name}-ca", **ca_fields}})
    return IssuerState(
        ref, found, "ca", ready=True, reason="KeyPairVerified", message="", authority=authority(ref.name, kind)
    )


def unready(ref: IssuerRef = FOO, reason: str = "ErrGetKeyPair", message: str = "no such Secret") -> IssuerState:
    """A `ca` issuer that may not."""
    return IssuerState(ref, issuer(ref), "ca", ready=False, reason=reason, message=message)


def self_signed(ref: IssuerRef = FOO) -> IssuerState:
    """A `selfSigned` issuer."""
    found = issuer(ref, {"selfSigned": {}})
    return IssuerState(ref, found, "selfSigned", ready=True, reason="IsReady", message="")


DAY = timedelta(days=1)
