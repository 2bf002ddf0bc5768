"""What is told of each request: audit lines, metrics, Events, log lines. Nothing here decides anything.

Of the mesh's refusals the first of each kind in a minute is told in full, the others are counted. Used on the loop only.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.api.event import ObjectReference, named
from signer.api.issuer import IssuerRef
from signer.api.pod import PODS, SERVICE_ACCOUNTS
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.api.requests import Request
from signer.api.signername import parse_signer_name, signer_name_of
from signer.authorities.state import NOT_BY_ALL, IssuerState
from signer.csr.answers.compose import Answer, audit_line
from signer.csr.answers.writer import Written
from signer.csr.outcome import Issue
from signer.csr.queue.backlog import Pending
from signer.kube.clock import to_milliseconds
from signer.observe.audit import AuditLine, AuditLog, Outcome
from signer.observe.events import EventRecorder, EventType
from signer.observe.metrics import Metrics
from signer.observe.notices import Notice, Notices
from signer.observe.printable import printable
from signer.observe.refusals import Kind, Refusals, summary
from signer.observe.series import Series
from signer.observe.write_errors import WriteErrors
from signer.tenancy.verdict import Grant, Refuse
from signer.tenancy.world import NO_CLAIMS, World

log = logging.getLogger(__name__)

_COMPLAIN_SECONDS = 10.0
# Reasons for waiting that have a line of their own (the issuer's, the watch's), or end by themselves.
_TOLD_ELSEWHERE = frozenset({"IssuerNotReady", "MeshNotRead", "MeshStateStale", "CANotJudged", "NamespaceNotRecorded"})
_CERTIFICATES = "certificates.k8s.io/v1"
_PROXY_CONFIGS = "networking.istio.io/v1beta1"
_ISSUERS = "cert-manager.io/v1"
# The controller manager makes it in every namespace.
_EVERY_NAMESPACES_ACCOUNT = "default"
_UNAPPROVED = "WaitingApproval"


@dataclass(frozen=True, slots=True)
class Around:
    """What a record looks up: issuers, the world as it is now, and both clocks."""

    issuer: Callable[[IssuerRef], IssuerState | None]
    world: Callable[[], World]
    clock: Callable[[], float]
    wall: Callable[[], datetime]


class Record:
    """Tells the audit log, the metrics, the Events and the log what happens to requests."""

    def __init__(self, recorder: EventRecorder, metrics: Metrics, audit: AuditLog, around: Around) -> None:
        self._recorder = recorder
        self._notices = Notices(recorder)
        self._metrics = metrics
        self._audit = audit
        self._around = around
        self._refusals = Refusals()
        self._would = Refusals()
        self._waits = Refusals()
        self._quiet_until = float("-inf")
        self._write_errors = WriteErrors(recorder, clock=around.clock)
        # To find a series by its labels takes longer than to count in it. Forgotten in each sweep, so before a series ends.
        self._durations: dict[str, tuple[Callable[[float], None], ...]] = {}
        self._outcomes: dict[tuple[str, str], Callable[[], None]] = {}
        self._series = Series(
            signer_exists=self._signer_exists,
            namespace_exists=lambda name: name in around.world().namespaces,
            clock=around.clock,
        )

    def intent(self, pending: Pending, answer: Answer) -> None:
        """An answer is about to be written: the line reaches the log before the write is sent."""
        if pending.mesh and isinstance(answer.verdict, Refuse):
            pending.hushed = not self._refusals.first(self._kind(pending, answer.verdict.code), self._around.clock())
            if pending.hushed:
                return
        self._audit.write(audit_line(answer, now=self._around.wall()))

    def outcome(self, pending: Pending, answer: Answer, outcome: Outcome, message: str) -> None:
        """What became of an answer, as far as it is known."""
        if pending.hushed and answer.refused and outcome in {"refused", "gone", "unknown"}:
            return
        self._audit.write(audit_line(answer, now=self._around.wall(), outcome=outcome, message=message))

    def count(self, pending: Pending, answer: Answer, result: Written) -> None:
        """Count a final outcome."""
        signer, namespace = pending.csr.signer_name, pending.flow.namespace
        outcome = {"stored": "issued"}.get(result.outcome, result.outcome)
        self._counted(signer, outcome)()
        verdict = answer.verdict
        if result.outcome == "refused" and isinstance(verdict, Refuse):
            self._series.count(self._metrics.refusals, signer, namespace, verdict.code)
            if not pending.hushed:
                others = f" [{verdict.others}]" if verdict.others else ""
                words = "request %s refused: %s: %s"
                fields = _fields(pending, verdict.code)
                log.warning(words, pending.csr.name, verdict.code, printable(verdict.message + others), extra=fields)
                self.tell(pending, "Warning", verdict.code, verdict.message)
                if pending.mesh:
                    self._tell_tenant(namespace, pending.ref, verdict.code, verdict.message)
        elif result.outcome == "stored" and isinstance(verdict, Issue):
            self._took(pending)
            if log.isEnabledFor(logging.DEBUG):
                fields = _fields(pending) | {"duration": round(self._around.clock() - pending.since, 4)}
                log.debug("request %s issued", pending.csr.name, extra=fields)
            if verdict.grant.mesh:
                self._series.count(self._metrics.issued, signer, verdict.grant.namespace)
            self._would_refuse(pending, verdict.grant)
            if verdict.warnings:
                self.tell(pending, "Warning", NOT_BY_ALL, "; ".join(verdict.warnings))
            message = "Certificate fetched from issuer successfully"
            self._recorder.emit(_about(pending.csr), "Normal", "CertificateIssued", message, courtesy=True)

    def _counted(self, signer: str, outcome: str) -> Callable[[], None]:
        known = self._outcomes.get((signer, outcome))
        if known is None:
            requests = self._metrics.requests
            known = requests.labels(self._series.follow(requests, signer, outcome), outcome).inc
            self._outcomes[signer, outcome] = known
        return known

    def _took(self, pending: Pending) -> None:
        """Count how long it took, in three parts: all of it, the wait for its turn, the work."""
        signer, now = pending.csr.signer_name, self._around.clock()
        known = self._durations.get(signer)
        if known is None:
            all_three = (self._metrics.latency, self._metrics.queue_wait, self._metrics.signing)
            known = tuple(one.labels(self._series.follow(one, signer)).observe for one in all_three)
            self._durations[signer] = known
        whole, queued, worked = known
        whole(now - pending.since)
        queued(pending.queued)
        worked(pending.work(now))

    def rate_limited(self, pending: Pending, namespace: str) -> None:
        """A request has to wait for its policy's rate."""
        self._series.count(self._metrics.rate_limited, pending.csr.signer_name, namespace)

    def foreign(self, csr: CertificateSigningRequest, ref: IssuerRef, *, told: bool) -> None:
        """Somebody else wrote a certificate of a mesh signer; `told`: an Event says so, too."""
        foreign = self._metrics.foreign
        foreign.labels(self._series.follow(foreign, csr.signer_name)).inc()
        if told and (issuer := self._issuer(ref)) is not None:
            message = (
                f"The certificate of request {csr.name} was not made by mesh-signer: another signer works beside it"
            )
            self._notices.happened(issuer, Notice("Warning", "ForeignCertificate", message))

    def complain(self, pending: Pending, result: Written) -> None:
        """Log that an answer could not be written; each is tried again, so one line for many is enough.

        What somebody must mend, and what lasts, is told on the request and to its tenant.
        """
        if result.error is not None:
            self._write_errors.failed(
                pending.csr.uid, result.error, lambda: self._stopped(pending), share=self._share(pending)
            )
        if self._around.clock() >= self._quiet_until:
            self._quiet_until = self._around.clock() + _COMPLAIN_SECONDS
            fields = _fields(pending) | {"error": result.message}
            log.warning("an answer could not be written and will be retried: %s", result.message, extra=fields)

    def tell(self, pending: Pending, type_: EventType, reason: str, message: str) -> bool:
        """Tell something on a request, once for each reason; whether it was the first time."""
        if reason in pending.told:
            return False
        pending.told.add(reason)
        notice = Notice(type_, reason, printable(message))
        self._notices.happened(_about(pending.csr), notice, share=self._share(pending))
        return True

    def waits(self, pending: Pending, reason: str, message: str, others: str = "") -> None:
        """Tell that a request waits, and for what: as a refusal is told, once for each request and reason."""
        if not self.tell(pending, "Warning", reason, message):
            return
        csr, namespace = pending.csr, pending.flow.namespace
        self._series.count(self._metrics.waits, csr.signer_name, namespace, reason)
        kind = self._kind(pending, reason)
        if not self._waits.first(kind, self._around.clock()):
            return
        more = f" [{printable(others)}]" if others else ""
        words = "request %s for %s waits: %s: %s%s"
        level = logging.INFO if reason in _TOLD_ELSEWHERE else logging.WARNING
        log.log(level, words, csr.name, _named(kind), reason, printable(message), more, extra=_fields(pending, reason))
        self._audit.write(
            AuditLine(
                time=to_milliseconds(self._around.wall()),
                audit="wait",
                uid=csr.uid,
                name=csr.name,
                verdict="wait",
                signer=csr.signer_name,
                namespace=namespace,
                reasons=[f"{reason}: {printable(message)}"],
            )
        )
        if pending.mesh:
            self._tell_tenant(namespace, pending.ref, reason, message)

    def waits_for_approval(self, csr: CertificateSigningRequest) -> bool:
        """Nobody has approved this request for some seconds: cert-manager's Event. False: to be said again.

        Nothing else tells its owner why nothing happens, so that it counts for who asked, and for nobody else.
        """
        message = (
            "Waiting for the Approved condition before issuing: nobody has approved or denied it. istiod approves its own "
            f"requests if it may. Of others mesh-signer explain {csr.name} says what becomes of them; what is refused once is "
            f"refused for good, else kubectl certificate approve {csr.name}"
        )
        about = _about(csr)
        self._notices.say(about, [Notice("Warning", _UNAPPROVED, message)], share=asker(csr))
        return self._notices.says(about, _UNAPPROVED)

    def waits_no_more(self, csr: CertificateSigningRequest) -> None:
        """A request of which that was said is approved, answered or gone: what still waits for room is not told any more."""
        self._notices.forget(_about(csr))

    def turn(self) -> None:
        """Tell what was only counted, once its minute is over. To be called each second or so."""
        now = self._around.clock()
        for kind, count in self._refusals.ended(now):
            self._sum_up(kind, count)
        for kind, count in self._would.ended(now):
            words = "%d more requests for %s would be refused: %s"
            log.warning(words, count, _named(kind), kind.reason, extra=_fields_of(kind))
        for kind, count in self._waits.ended(now):
            words = "%d more requests for %s had to wait: %s"
            level = logging.INFO if kind.reason in _TOLD_ELSEWHERE else logging.WARNING
            log.log(level, words, count, _named(kind), kind.reason, extra=_fields_of(kind))

    def sweep(self) -> None:
        """Let go series of what is no more. To be called each minute or so."""
        self._durations.clear()
        self._outcomes.clear()
        self._series.sweep()

    def close(self) -> None:
        """Tell what was counted so far."""
        for kind, count in self._refusals.close():
            self._sum_up(kind, count)

    def _sum_up(self, kind: Kind, count: int) -> None:
        message = f"{count} more requests for {_named(kind)} were refused within a minute of the first one"
        log.warning("%s: %s", message, kind.reason, extra=_fields_of(kind))
        self._audit.write(summary(kind, count, to_milliseconds(self._around.wall())))
        if kind.signer is not None:
            self._tell_tenant(kind.namespace, kind.signer, kind.reason, message)

    def _would_refuse(self, pending: Pending, grant: Grant) -> None:
        if not grant.would_refuse:
            return
        first = grant.would_refuse[0]
        self._series.count(self._metrics.would_refuse, pending.csr.signer_name, pending.flow.namespace, first.code)
        if self._would.first(self._kind(pending, first.code), self._around.clock()):
            text = "; ".join(reason.message for reason in grant.would_refuse)
            words = "request %s issued in audit mode; it would be refused: %s"
            log.warning(words, pending.csr.name, printable(text), extra=_fields(pending, first.code))

    def _tell_tenant(self, namespace: str, ref: IssuerRef, reason: str, message: str) -> None:
        """Tell where it can be found when the request is gone: on the namespace's ProxyConfig, else on the issuer.

        By identity a tenant has no ProxyConfig, and no Event of an issuer of the cluster is for him to see: on what each namespace has.
        """
        if (about := self._tenant(namespace, ref)) is not None:
            self._notices.happened(about, Notice("Warning", reason, printable(message)), share=namespace)

    def _tenant(self, namespace: str, ref: IssuerRef) -> ObjectReference | None:
        world = self._around.world()
        claims = world.claims.get(namespace, NO_CLAIMS)
        # The one that names the signer, be it for some workloads only.
        about = claims.signers.get(ref) or claims.speaker
        if about is None and namespace and world.by_identity(namespace):
            return named(SERVICE_ACCOUNTS, namespace, _EVERY_NAMESPACES_ACCOUNT)
        if about is None:
            return self._issuer(ref)
        return ObjectReference(_PROXY_CONFIGS, "ProxyConfig", namespace, about.name, about.uid)

    def _stopped(self, pending: Pending) -> list[ObjectReference]:
        """What a write that is refused is told on."""
        tenant = self._tenant(pending.flow.namespace, pending.ref) if pending.mesh else None
        return [_about(pending.csr), *([tenant] if tenant is not None else [])]

    def _issuer(self, ref: IssuerRef) -> ObjectReference | None:
        state = self._around.issuer(ref)
        if state is None:
            return None
        return ObjectReference(_ISSUERS, ref.kind, ref.namespace, ref.name, state.issuer.metadata.uid)

    @staticmethod
    def _share(pending: Pending) -> str | None:
        return pending.flow.namespace if pending.mesh else None

    @staticmethod
    def _kind(pending: Pending, reason: str) -> Kind:
        return Kind(pending.flow.namespace, pending.ref, reason)

    def _signer_exists(self, name: str) -> bool:
        ref = parse_signer_name(name)
        return ref is not None and (self._around.issuer(ref) is not None or ref in self._around.world().routed)

    def misspelt(self, csr: Request, wrong: str) -> None:
        """A request names a signer that is nearly ours and nobody's: nothing else will ever be said of it."""
        share = csr.namespace if isinstance(csr, PodCertificateRequest) else asker(csr)
        self._notices.happened(_about(csr), Notice("Warning", "SignerMisspelt", wrong), share=share)


def asker(csr: CertificateSigningRequest) -> str:
    """The share that Events count for, of a request whose tenant nobody looked for: its requester's. No namespace has such a name."""
    return f"user:{csr.asked.username}"


def _about(csr: Request) -> ObjectReference:
    """What Events are told on: the request; for a Pod's the Pod, where people look, and which lives longer."""
    if isinstance(csr, PodCertificateRequest):
        return named(PODS, csr.namespace, csr.pod_name, csr.pod_uid)
    return ObjectReference(_CERTIFICATES, "CertificateSigningRequest", "", csr.name, csr.uid, csr.resource_version)


def _fields(pending: Pending, reason: str = "") -> dict[str, Any]:
    csr = pending.csr
    return {"request": csr.name, "signer": csr.signer_name, "namespace": pending.flow.namespace, "reason": reason}


def _fields_of(kind: Kind) -> dict[str, str]:
    signer = signer_name_of(kind.signer) if kind.signer is not None else ""
    return {"signer": signer, "namespace": kind.namespace, "reason": kind.reason}


def _named(kind: Kind) -> str:
    who = f"namespace {kind.namespace}" if kind.namespace else "no namespace that exists"
    return f"{kind.signer or 'several signers'} of {who}"
