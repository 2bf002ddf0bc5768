"""From a verdict to the bytes that answer a request, and the audit lines that tell of it.

Pure, given its time and its serial number. Signing happens here, on the caller's thread.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from issuers.certificate import IssuedCertificate, self_sign, sign
from issuers.whole_chain import with_root
from signer.api.certificatesigningrequest import with_certificate, with_failed
from signer.api.podcertificaterequest import PodCertificateRequest, with_denied, with_issued
from signer.api.requests import Request
from signer.api.signername import signer_name_of
from signer.csr.outcome import Issue
from signer.kube.clock import to_milliseconds
from signer.observe.audit import AuditLine, Outcome
from signer.observe.printable import printable
from signer.tenancy.verdict import Refuse

_NO_LINE = AuditLine(time="", audit="intent", verdict="issue")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is written to a request: `body` is the PUT's, `pem` the certificate in it (b"" for a refusal).

    `line` is what the audit log tells of it, without time and outcome: it is written twice.
    """

    csr: Request
    verdict: Issue | Refuse
    body: bytes = field(repr=False)
    pem: bytes = b""
    serial: int = 0
    lifetime: int = 0
    requester: str = ""
    identity: str = ""
    line: AuditLine = field(default=_NO_LINE, repr=False, compare=False)

    @property
    def refused(self) -> bool:
        """Whether it says no."""
        return isinstance(self.verdict, Refuse)


def issue(csr: Request, verdict: Issue, *, serial: int) -> Answer:
    """Sign and build the answer. Raises SigningFailed when what was signed is not what was decided."""
    if verdict.authority is not None:
        issued: IssuedCertificate = sign(verdict.template, verdict.authority, serial=serial)
    else:
        issued = self_sign(verdict.template, verdict.key, serial=serial)
    lifetime = int((issued.not_after - issued.not_before).total_seconds())
    pem = issued.pem
    if verdict.route is not None and verdict.authority is not None:
        pem = with_root(issued, verdict.authority)
    elif verdict.grant.append_root and verdict.authority is not None:
        pem += verdict.authority.root_pem or b""
    if isinstance(csr, PodCertificateRequest):
        begins, ends = issued.not_before, issued.not_after
        refresh, now = refresh_at(begins, ends), verdict.decided or begins
        body = with_issued(csr, pem, begins=begins, refresh=refresh, ends=ends, now=now)
    else:
        body = with_certificate(csr, pem)
    line = _line(csr, verdict, verdict.requester)
    line.identity, line.names = printable(verdict.identity), verdict.names
    line.namespace = verdict.grant.namespace or line.namespace
    line.source = verdict.grant.source
    if verdict.route is not None:
        line.signed_by = signer_name_of(verdict.route.signer)
    line.would_refuse = [f"{reason.code}: {printable(reason.message)}" for reason in verdict.grant.would_refuse]
    line.serial = f"{issued.serial:x}"
    line.lifetime = lifetime
    line.ca_key = verdict.authority.key_id if verdict.authority is not None else ""
    return Answer(csr, verdict, body, pem, issued.serial, lifetime, verdict.requester, "", line)


def refresh_at(begins: datetime, ends: datetime) -> datetime:
    """Tell when a Pod's certificate is to be asked for anew: two thirds through its life, in whole seconds.

    Of an hour, the shortest that there is, that leaves the ten minutes at both ends that the API server wants.
    """
    return begins + timedelta(seconds=(ends - begins) // timedelta(seconds=1) * 2 // 3)


def refuse(csr: Request, verdict: Refuse, *, requester: str, now: datetime, identity: str = "") -> Answer:
    """Build the answer that refuses, with all its reasons. `identity` is who was asked for, unverified."""
    message = printable(verdict.message)
    if isinstance(csr, PodCertificateRequest):
        body = with_denied(csr, reason=verdict.code, message=message, now=now)
    else:
        body = with_failed(csr, reason=verdict.code, message=message, now=now)
    line = _line(csr, verdict, requester)
    line.identity = identity
    line.reasons = [f"{reason.code}: {printable(reason.message)}" for reason in verdict.reasons]
    return Answer(csr, verdict, body, requester=requester, identity=identity, line=line)


def audit_line(answer: Answer, *, now: datetime, outcome: Outcome | None = None, message: str = "") -> AuditLine:
    """Build the line of the intent (no outcome yet), or of the outcome."""
    return msgspec.structs.replace(
        answer.line,
        time=to_milliseconds(now),
        audit="outcome" if outcome else "intent",
        outcome=outcome,
        message=message,
    )


def _line(csr: Request, verdict: Issue | Refuse, requester: str) -> AuditLine:
    return AuditLine(
        time="",
        audit="intent",
        resource="PodCertificateRequest" if isinstance(csr, PodCertificateRequest) else "",
        uid=csr.uid,
        name=csr.name,
        namespace=csr.namespace if isinstance(csr, PodCertificateRequest) else "",
        verdict="refuse" if isinstance(verdict, Refuse) else "issue",
        signer=csr.signer_name,
        requester=requester,
    )
