"""The status of a CertificateRequest for each step, and what of it must be written. Pure: the time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import Condition, set_condition, to_rfc3339
from signer.authorities.state import NOT_BY_ALL
from signer.certificates import well_known
from signer.certificates.requests.signing import Signed
from signer.certificates.spec.check import capped

APPROVED_MESSAGE = "Certificate request has been approved by cert-manager.io"
DENIED_MESSAGE = "The CertificateRequest was denied by an approval controller"
ISSUED_MESSAGE = "Certificate fetched from issuer successfully"


@dataclass(frozen=True, slots=True)
class StatusPatch:
    """What is to be written; `changed` is False when the status says it already. `answer`: the reason, and its message."""

    body: dict[str, Any]
    changed: bool
    answer: tuple[str, str]


def approved(request: CertificateRequest, now: datetime) -> StatusPatch:
    """Approve in cert-manager's name for it, which approvers and users look for."""
    conditions = _with(request, now, well_known.APPROVED, "True", "cert-manager.io", APPROVED_MESSAGE)
    return _patch(request, conditions, {}, (well_known.APPROVED, APPROVED_MESSAGE))


def denied(request: CertificateRequest, now: datetime) -> StatusPatch:
    """Say in the Ready condition that the request was denied, and since when it is settled."""
    conditions = _with(request, now, well_known.READY, "False", well_known.REASON_DENIED, DENIED_MESSAGE)
    return _patch(request, conditions, _failure(request, now), (well_known.REASON_DENIED, DENIED_MESSAGE))


def pending(request: CertificateRequest, message: str, now: datetime) -> StatusPatch:
    """Say what is waited for."""
    conditions = _with(request, now, well_known.READY, "False", well_known.PENDING, message)
    return _patch(request, conditions, {}, (well_known.PENDING, message))


def failed(
    request: CertificateRequest, message: str, now: datetime, *, invalid: str = "", refused: str = ""
) -> StatusPatch:
    """Settle the request as failed; with `invalid`, the reason why nobody could ever sign it.

    With `refused`, the reason of a refusal that others can mend: a Certificate then asks again when they did.
    """
    conditions = _with(request, now, well_known.READY, "False", well_known.FAILED, message)
    if invalid:
        conditions = set_condition(
            conditions, well_known.INVALID_REQUEST, "True", reason=invalid, message=message, now=now
        )
    if refused:
        conditions = set_condition(conditions, well_known.REFUSED, "True", reason=refused, message=message, now=now)
    return _patch(request, conditions, _failure(request, now), (well_known.FAILED, message))


def issued(request: CertificateRequest, signed: Signed, now: datetime) -> StatusPatch:
    """Store the certificate: everything in one write, and who will not accept it, for its Certificate to tell."""
    conditions = _with(request, now, well_known.READY, "True", well_known.ISSUED, ISSUED_MESSAGE)
    if signed.warnings:
        message = capped("; ".join(signed.warnings))
        conditions = set_condition(
            conditions, well_known.NOT_BY_ALL, "True", reason=NOT_BY_ALL, message=message, now=now
        )
    fields: dict[str, Any] = {"certificate": signed.certificate}
    if signed.ca:
        fields["ca"] = signed.ca
    return _patch(request, conditions, fields, (well_known.ISSUED, ISSUED_MESSAGE))


def _with(request: CertificateRequest, now: datetime, kind: str, status: str, *text: str) -> tuple[Condition, ...]:
    reason, message = text
    return set_condition(request.status.conditions, kind, status, reason=reason, message=message, now=now)


def _failure(request: CertificateRequest, now: datetime) -> dict[str, Any]:
    return {"failureTime": request.status.failure_time or to_rfc3339(now)}


def _patch(
    request: CertificateRequest, conditions: tuple[Condition, ...], fields: Mapping[str, Any], answer: tuple[str, str]
) -> StatusPatch:
    changed = conditions != request.status.conditions or any(
        name == "certificate" or (name == "failureTime" and not request.status.failure_time) for name in fields
    )
    body = {
        "metadata": {"resourceVersion": request.metadata.resource_version},
        "status": {"conditions": msgspec.to_builtins(conditions), **fields},
    }
    return StatusPatch(body, changed, answer)
