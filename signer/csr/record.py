"""What is told of each request: audit lines, metrics, Events, log lines. Nothing here decides anything.

Used on the loop only.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.csr.answer import Answer, audit_line, printable
from signer.csr.backlog import Pending
from signer.csr.writer import Written
from signer.observe.audit import AuditLog, Outcome
from signer.observe.events import EventRecorder, EventType, ObjectReference
from signer.observe.metrics import OTHER, Metrics
from signer.tenancy.verdict import Refuse

log = logging.getLogger(__name__)

_COMPLAIN_SECONDS = 10.0


class Record:
    """Tells the audit log, the metrics, the Events and the log what happens to requests."""

    def __init__(
        self,
        recorder: EventRecorder,
        metrics: Metrics,
        audit: AuditLog,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._audit = audit
        self._clock = clock
        self._wall = wall
        self._quiet_until = float("-inf")

    def intent(self, answer: Answer) -> None:
        """An answer is about to be written: the line reaches the log before the write is sent."""
        self._audit.write(audit_line(answer, now=self._wall()))

    def outcome(self, answer: Answer, outcome: Outcome, message: str) -> None:
        """What became of an answer, as far as it is known."""
        self._audit.write(audit_line(answer, now=self._wall(), outcome=outcome, message=message))

    def count(self, pending: Pending, answer: Answer, result: Written, *, known: bool) -> None:
        """Count a final outcome. `known`: the issuer exists, so its name is a label that is bounded."""
        signer = pending.csr.signer_name if known else OTHER
        if result.outcome not in {"stored", "refused"}:
            self._metrics.requests.labels(signer, result.outcome).inc()
            return
        if isinstance(answer.verdict, Refuse):
            verdict = answer.verdict
            self._metrics.requests.labels(signer, "refused").inc()
            self._metrics.refusals.labels(signer, verdict.code).inc()
            log.info("request %s refused: %s", pending.csr.name, printable(verdict.message))
            self.tell(pending, "Warning", verdict.code, verdict.message)
            return
        self._metrics.requests.labels(signer, "issued").inc()
        self._metrics.latency.labels(signer).observe(self._clock() - pending.since)
        message = "Certificate fetched from issuer successfully"
        self._event(pending.csr, "Normal", "CertificateIssued", message, courtesy=True)

    def complain(self, message: str) -> None:
        """Log that an answer could not be written; each is tried again, so one line for many is enough."""
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + _COMPLAIN_SECONDS
            log.warning("an answer could not be written and is tried again: %s", message)

    def tell(self, pending: Pending, type_: EventType, reason: str, message: str) -> None:
        """Emit an Event on a request, once for each reason."""
        if reason in pending.told:
            return
        pending.told.add(reason)
        self._event(pending.csr, type_, reason, printable(message))

    def waits_for_approval(self, csr: CertificateSigningRequest) -> None:
        """Nobody has approved this request for some seconds: cert-manager's Event."""
        message = "Waiting for the Approved condition before issuing"
        self._event(csr, "Normal", "WaitingApproval", message, courtesy=True)

    def _event(
        self, csr: CertificateSigningRequest, type_: EventType, reason: str, message: str, *, courtesy: bool = False
    ) -> None:
        ref = ObjectReference(
            "certificates.k8s.io/v1", "CertificateSigningRequest", "", csr.name, csr.uid, csr.resource_version
        )
        self._recorder.emit(ref, type_, reason, message, courtesy=courtesy)
