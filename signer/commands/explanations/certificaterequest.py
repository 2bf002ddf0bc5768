"""What would become of a CertificateRequest: the controller's own steps and the wall's own decision. Pure."""

from datetime import datetime
from typing import Literal

import msgspec

from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition
from signer.api.signername import signer_name_of
from signer.certificates.requests import steps
from signer.certificates.requests.signing import decide_request, in_mesh
from signer.certificates.well_known import APPROVED, DENIED, INVALID_REQUEST, READY
from signer.commands.command import NotFoundOut
from signer.commands.explanations.advice import advise_on
from signer.commands.explanations.csr import Explanation
from signer.commands.explanations.grounds import CA_UNREAD, known, mode_notes
from signer.commands.explanations.requests import Asked, content_of
from signer.commands.live import Mesh
from signer.tenancy.verdict import Grant, Limits, Reason, Refuse

_NOW_APPROVED = {"conditions": [{"type": APPROVED, "status": "True"}]}


def explain_request(
    request: CertificateRequest, mesh: Mesh, *, title: str, auto_approve: bool, now: datetime
) -> Explanation:
    """Decide as the controller would if it were made, and approved, now. Raises NotFoundOut when it is not one of ours."""
    ref = request.spec.issuer_ref
    if not ref.ours and not request.problem:
        raise NotFoundOut(f"{title} asks an issuer of group {ref.group!r}, which is not one of ours: we leave it alone")
    namespace = request.metadata.namespace
    signer = ref.resolve(namespace) or IssuerRef("ClusterIssuer", "", ref.name)
    asked = Asked(
        title,
        signer_name_of(signer),
        content_of(request.spec.request, usages=request.spec.usages, username=request.spec.username),
        _became(request),
        auto_approve or find_condition(request.status.conditions, APPROVED) is not None,
    )
    notes = list(mode_notes(mesh, now))
    if request.spec.username:
        notes.append("spec.username is believed here; the controllers believe it where admission policies guard it")
    if signer in mesh.unread:
        notes.append(CA_UNREAD)
    metadata = msgspec.structs.replace(request.metadata, deletion_timestamp=None)
    anew = msgspec.structs.replace(request, metadata=metadata, raw_status=_NOW_APPROVED)
    verdict, reasons, grant = _judge(anew, mesh, auto_approve=auto_approve, now=now)
    if grant is not None:
        notes += [f"enforcing would refuse it: {reason.message}" for reason in grant.would_refuse]
    return Explanation(
        asked,
        verdict,
        f"namespace {namespace}",
        namespace,
        signer,
        reasons=reasons,
        source=(grant.source or f"{signer} is not a signer of the mesh here: signed as cert-manager would")
        if grant
        else "",
        ends=now + grant.lifetime if grant is not None else None,
        notes=tuple(notes),
        known=tuple(known(mesh, namespace, signer, now)),
        advice=_advice(reasons, mesh, namespace, signer, asked.content.username),
    )


def _advice(
    reasons: tuple[Reason, ...], mesh: Mesh, namespace: str, signer: IssuerRef, username: str
) -> tuple[str, ...]:
    if any(reason.code == "IssuerNotFound" for reason in reasons):
        # No ProxyConfig names this one.
        return ("Create the issuer, or correct spec.issuerRef, whose kind is Issuer when it is left out.",)
    return advise_on(reasons, mesh.world, namespace, signer, username)


Outcome = tuple[Literal["issue", "refuse", "wait", "ask"], tuple[Reason, ...], Grant | None]


def _judge(request: CertificateRequest, mesh: Mesh, *, auto_approve: bool, now: datetime) -> Outcome:
    step = steps.consider(
        request,
        mesh.issuers.get,
        auto_approve=auto_approve,
        in_mesh=lambda state: in_mesh(state, mesh.world),
        exists=mesh.issuers.__contains__,
    )
    match step:
        case steps.Pend(code, message):
            return "wait", (Reason(code, message),), None
        case steps.Fail(code, message):
            return "refuse", (Reason(code, message),), None
        case steps.AskKey(name):
            where = f"Secret {request.metadata.namespace}/{name}"
            text = f"it is signed with its own key: it is issued if the request's key is in {where}"
            return "ask", (Reason("SelfSigned", text),), None
        case steps.Sign() if step.state.kind == "acme":
            text = "its hosts must be given to the namespace (mesh-signer edge), and the ACME server decides then"
            return "ask", (Reason("ACME", text),), None
        case steps.Sign():
            found = decide_request(
                request,
                step.csr,
                step.state,
                world=mesh.world,
                lifetime=step.lifetime,
                limits=Limits(),
                now=now,
                requester=request.spec.username,
            )
            if isinstance(found, Grant):
                return "issue", (), found
            if isinstance(found, Refuse):
                return "refuse", found.reasons, None
            return "wait", (found.reason,), None
        case _:
            return "wait", (Reason("Undecided", f"no decision was reached ({type(step).__name__})"),), None


def _became(request: CertificateRequest) -> str:
    if request.status.certificate:
        return "it has its certificate"
    conditions = request.status.conditions
    for kind in (DENIED, INVALID_REQUEST):
        if (found := find_condition(conditions, kind)) is not None:
            return f"{kind}: {found.reason}: {found.message}"
    ready = find_condition(conditions, READY)
    return f"{ready.reason}: {ready.message}" if ready is not None else ""
