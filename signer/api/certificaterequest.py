"""CertificateRequests of cert-manager.io/v1: one CSR, put to one issuer.

Pure: reading never fails; what cannot be read is told in `problem`.
"""

from collections.abc import Iterable

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.issuer import GROUP
from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.kube.resource import Resource

CERTIFICATE_REQUESTS = Resource(GROUP, "v1", "certificaterequests", "CertificateRequest", namespaced=True)


class CertificateRequestSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`request` is the PEM text of the CSR; username and groups were set by cert-manager's webhook, if it runs."""

    request: bytes = b""
    issuer_ref: IssuerReference = IssuerReference()
    duration: str | None = None
    is_ca: bool = msgspec.field(name="isCA", default=False)
    usages: tuple[str, ...] = ()
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()


class CertificateRequestStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """status: `certificate` is PEM, leaf first; `ca` the PEM of the topmost CA that is known."""

    conditions: tuple[Condition, ...] = ()
    certificate: bytes = b""
    ca: bytes = b""
    failure_time: str | None = None


class CertificateRequest(
    HasStatus[CertificateRequestSpec, CertificateRequestStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A CertificateRequest; `raw_spec` and `raw_status` are as received."""

    spec_type = CertificateRequestSpec
    status_type = CertificateRequestStatus


def compact(request: CertificateRequest) -> CertificateRequest:
    """Keep PEM as bytes, not as the base64 of the API too: half of what a CertificateRequest takes."""
    _as_bytes(request.raw_spec, ("request",))
    _as_bytes(request.raw_status, ("certificate", "ca"))
    return request


def _as_bytes(raw: object, fields: Iterable[str]) -> None:
    for field in fields:
        if isinstance(raw, dict) and isinstance(raw.get(field), str):
            try:
                raw[field] = msgspec.convert(raw[field], bytes)
            except msgspec.ValidationError:
                continue  # it stays as it is, to be told of
