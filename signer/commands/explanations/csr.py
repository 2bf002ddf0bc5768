"""What would become of a CertificateSigningRequest: the signer's own decision, and what it rests on. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from issuers.errors import MalformedRequest
from issuers.request import SigningRequest, read_request
from issuers.spiffe import parse_spiffe_id
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, to_rfc3339
from signer.api.signername import signer_name_of
from signer.commands.explanations.advice import advise_on
from signer.commands.explanations.grounds import CA_UNREAD, SHOWN, known, mode_notes
from signer.commands.explanations.requests import Asked
from signer.commands.live import Mesh
from signer.csr.evaluate import Circumstances, case_of, evaluate
from signer.csr.outcome import Answers, AskKey, AskReference, Issue, Verdict
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Bind, Claim, Grant, Inquiry, Limits, Reason, Refuse, Unready, Wait
from signer.tenancy.world import Binding


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request. `known` are (subject, sentence) pairs; `advice` one sentence for each code."""

    asked: Asked
    verdict: Literal["issue", "refuse", "wait", "ask"]
    identity: str
    namespace: str
    signer: IssuerRef
    reasons: tuple[Reason, ...] = ()
    source: str = ""
    ends: datetime | None = None
    notes: tuple[str, ...] = ()
    known: tuple[tuple[str, str], ...] = ()
    advice: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "request": self.asked.title,
            "verdict": self.verdict,
            "requester": self.asked.content.username,
            "identity": self.identity,
            "namespace": self.namespace,
            "signer": signer_name_of(self.signer),
            "reasons": [{"code": reason.code, "message": reason.message} for reason in self.reasons],
            "source": self.source,
            "ends": to_rfc3339(self.ends) if self.ends is not None else None,
            "became": self.asked.became,
            "notes": list(self.notes),
            "known": [{"about": about, "is": text} for about, text in self.known],
            "advice": list(self.advice),
        }


@dataclass(frozen=True, slots=True)
class Question:
    """First find out whether the requester may reference this Issuer; then explain with the answer."""

    issuer: IssuerRef


def explain(
    asked: Asked,
    signer: IssuerRef,
    mesh: Mesh,
    *,
    now: datetime,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    may_reference: bool | None = None,
) -> Explanation | Question:
    """Decide as the signer would, on live state that was read just now.

    `may_reference` is the answer to the Question that is returned for an Issuer.
    """
    notes: list[str] = []
    verdict = _judge(asked, signer, mesh, now, limits, may_reference)
    if isinstance(verdict, AskReference):
        return Question(verdict.issuer)
    if signer in mesh.unread:
        notes.append(CA_UNREAD)
    if isinstance(verdict, Bind):
        notes.append(
            f"namespace {verdict.namespace} owns {signer} from then on: a SignerBinding {signer.name} is stored first"
        )
        binding = Binding(signer, verdict.namespace, verdict.namespace_uid, now)
        bound = replace(mesh, world=replace(mesh.world, bindings={**mesh.world.bindings, signer: binding}))
        verdict = _judge(asked, signer, bound, now, limits, may_reference)
    identity, namespace = _identity(asked, mesh)
    found = Explanation(asked, "wait", identity, namespace, signer, known=tuple(known(mesh, namespace, signer, now)))
    if asked.content.username in mesh.world.requesters or not asked.content.username:
        notes.extend(mode_notes(mesh, now))
    if isinstance(verdict, Issue):
        ends = verdict.template.not_after
        notes += [f"enforcing would refuse it: {reason.message}" for reason in verdict.grant.would_refuse]
        source = verdict.grant.source or f"{signer} is not a signer of the mesh: signed as cert-manager would"
        return replace(found, verdict="issue", source=source, ends=ends, notes=tuple(notes))
    if isinstance(verdict, Grant):
        return replace(found, verdict="issue", source=verdict.source, ends=now + verdict.lifetime, notes=tuple(notes))
    if isinstance(verdict, AskKey):
        where = f"Secret {verdict.namespace}/{verdict.name}"
        text = f"{signer} signs each certificate with its own key: it is issued if the request's key is in {where}"
        return replace(found, verdict="ask", reasons=(Reason("SelfSigned", text),), notes=tuple(notes))
    reasons = _reasons(verdict)
    advice = advise_on(reasons, mesh.world, namespace, signer, asked.content.username)
    kind: Literal["refuse", "wait"] = "refuse" if isinstance(verdict, Refuse) else "wait"
    return replace(found, verdict=kind, reasons=reasons, notes=tuple(notes), advice=advice)


def _reasons(verdict: object) -> tuple[Reason, ...]:
    if isinstance(verdict, Refuse):
        return verdict.reasons
    if isinstance(verdict, Wait | Unready):
        return (verdict.reason,)
    return (Reason("Undecided", f"no decision was reached ({type(verdict).__name__})"),)


def _judge(
    asked: Asked, signer: IssuerRef, mesh: Mesh, now: datetime, limits: Limits, may_reference: bool | None
) -> Verdict | Grant:
    answers = Answers(may_reference=may_reference, fresh=True)
    case = case_of(asked.content, signer, mesh.issuers.get(signer), answers, mesh.world)
    verdict = evaluate(case, Circumstances(limits, mesh.world, mesh.world.settings.cluster_resource_namespace, now))
    if isinstance(verdict, Wait) and signer in mesh.unread:
        return _without_secret(asked, signer, mesh, now)
    return verdict


def _without_secret(
    asked: Asked, signer: IssuerRef, mesh: Mesh, now: datetime
) -> Grant | Refuse | Unready | Inquiry | Wait:
    """Decide with what the mesh config says of a CA whose Secret may not be read, and the status of its issuer."""
    state = mesh.issuers[signer]
    ready = find_condition(state.issuer.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        why = ready.message if ready is not None else "its status says nothing"
        return Wait(Reason("IssuerNotReady", f"{signer} is not ready: {why}"), signer)
    request = _read(asked, mesh=signer in mesh.world.signers)
    if request is None:
        return Refuse((Reason("UnexpectedContents", "spec.request cannot be read as a CSR"),))
    key_id = next((key for key, signers in mesh.world.keys.items() if signer in signers), "unread")
    seconds = asked.content.expiration_seconds
    lifetime = None if seconds is None else timedelta(seconds=seconds)
    claim = Claim(asked.content.username, signer, key_id, request, asked.content.usages, is_ca=False, lifetime=lifetime)
    return decide(claim, mesh.world, Limits(), fresh=True, now=now)


def _read(asked: Asked, *, mesh: bool = False) -> SigningRequest | None:
    try:
        return read_request(asked.content.request, one_block=mesh)
    except MalformedRequest:
        return None


def _identity(asked: Asked, mesh: Mesh) -> tuple[str, str]:
    """Whom the request speaks for, and the namespace that this is about: istiod's own for istiod itself."""
    request = _read(asked)
    if request is None:
        return "", ""
    uri = request.uris[0] if len(request.uris) == 1 else ""
    if (spiffe_id := parse_spiffe_id(uri)) is not None:
        return uri, spiffe_id.namespace
    names = ", ".join((*request.uris, *request.dns_names)[:SHOWN])
    return names, mesh.world.settings.istio_namespace if request.dns_names and not request.uris else ""
