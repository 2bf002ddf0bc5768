"""Why a Certificate is not ready: the controller's own checks in its order, and what becomes of its request. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from signer.api.certificate import Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import find_condition, to_rfc3339
from signer.certificates import steps
from signer.certificates.policies import Facts, issuance_needed, not_ready
from signer.certificates.renewal import backoff_left
from signer.certificates.secrets import ownership
from signer.certificates.secrets.view import SecretView
from signer.certificates.spec.check import Defect, spec_defect
from signer.certificates.spec.matching import view_request
from signer.certificates.well_known import ISSUING
from signer.commands.explanations.csr import Explanation


@dataclass(frozen=True, slots=True)
class Seen:
    """A Certificate with what the controller looks at: its Secret, the requests that it owns, who else names the Secret."""

    certificate: Certificate
    view: SecretView | None
    owned: tuple[CertificateRequest, ...] = ()
    rivals: Collection[Certificate] = ()


@dataclass(frozen=True, slots=True)
class CertificateExplanation:
    """`ready`: all is in order. `refuse`: somebody must mend what the reason says. `wait`: it goes on by itself.

    `request` is the request that it waits for, to be explained, and then `of_request` what becomes of that.
    """

    title: str
    verdict: Literal["ready", "refuse", "wait"]
    reason: Defect | None = None
    ends: datetime | None = None
    request: CertificateRequest | None = None
    of_request: Explanation | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "certificate": self.title,
            "verdict": self.verdict,
            "reasons": [{"code": self.reason.reason, "message": self.reason.message}] if self.reason else [],
            "ends": to_rfc3339(self.ends) if self.ends is not None else None,
            "notes": list(self.notes),
            "request": self.of_request.document() if self.of_request is not None else None,
        }

    def with_request(self, found: Explanation) -> "CertificateExplanation":
        """Return it with what becomes of its request."""
        return replace(self, of_request=found)


_REFUSED_WRITES = ("RequestFailed", "SecretWriteFailed", "WriteFailed")
"""What the API server refuses stands in the condition alone: nothing but the next try would find it out."""


def explain_certificate(seen: Seen, *, title: str, now: datetime) -> CertificateExplanation:
    """Go through what the controller does with a Certificate, as far as its objects tell."""
    certificate, view = seen.certificate, seen.view
    if (defect := spec_defect(certificate)) is not None:
        return CertificateExplanation(title, "refuse", defect)
    secret = view.secret if view is not None else None
    request = steps.current_request(certificate, seen.owned)
    current = view_request(request) if request is not None else None
    proven = steps.asked_with(current, view.key if view is not None else None)
    shared = ownership.duplicate_defect(certificate, seen.rivals, secret)
    blocked = ownership.foreign_defect(certificate, secret, own_key=proven)
    if blocked is None and not (proven or ownership.holds(certificate, secret)):
        blocked = shared
    if blocked is not None:
        return CertificateExplanation(title, "refuse", blocked)
    following = steps.next_request(certificate, seen.owned)
    facts = Facts(certificate, view, current, now)
    why = issuance_needed(facts)
    stopped = find_condition(certificate.status.conditions, ISSUING)
    if stopped is not None and stopped.status == "True" and stopped.reason in _REFUSED_WRITES:
        return CertificateExplanation(title, "refuse", Defect(stopped.reason, stopped.message), request=following)
    if steps.issuing(certificate) or (why is not None and following is not None):
        text = "an issuance is under way" if why is None else f"an issuance is under way: {why.message}"
        return CertificateExplanation(title, "wait", Defect("Issuing", text), request=following)
    if why is not None:
        if left := backoff_left(certificate, now):
            text = f"{why.message}; the last try failed, the next one is at {to_rfc3339(now + left)}"
            return CertificateExplanation(title, "wait", Defect(why.reason, text))
        return CertificateExplanation(title, "wait", why)
    if (wrong := shared or not_ready(facts)) is not None:
        return CertificateExplanation(title, "refuse", wrong)
    leaf = view.leaf if view is not None else None
    return CertificateExplanation(title, "ready", ends=leaf.not_valid_after_utc if leaf is not None else None)
