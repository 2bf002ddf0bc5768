"""What would become of a CertificateRequest: the controller's own steps and the wall's own decision. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition
from signer.api.signername import signer_name_of
from signer.certificates.requests import steps
from signer.certificates.requests.signing import Prepared, asks_requester, decide_request, in_mesh, prepare
from signer.certificates.well_known import APPROVED, DENIED, INVALID_REQUEST, READY
from signer.commands.command import NotFoundOut
from signer.commands.explanations.advice import advise_on
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, Explanation, FoundOut
from signer.commands.explanations.grounds import CA_UNREAD, known, mode_notes
from signer.commands.explanations.requests import Asked, content_of
from signer.commands.live import Mesh
from signer.tenancy.verdict import Confirm, Grant, Limits, Reason, Refuse, Unready

_NOW_APPROVED = {"conditions": [{"type": APPROVED, "status": "True"}]}


@dataclass(frozen=True, slots=True)
class AskRequester:
    """Who made the request, as far as the API server vouches for it?"""


RequestQuestion = AskRequester | steps.AskKey
"""What the controller finds out before it decides; FoundOut has the answers."""


def explain_request(
    request: CertificateRequest,
    mesh: Mesh,
    *,
    title: str,
    auto_approve: bool,
    now: datetime,
    found_out: FoundOut = NOTHING_FOUND_OUT,
) -> Explanation | RequestQuestion:
    """Decide as the controller would if it were approved now; or ask what it would find out first.

    Raises NotFoundOut when it is not one of ours.
    """
    ref = request.spec.issuer_ref
    if not ref.ours and not ref.misspelt and not request.problem:
        raise NotFoundOut(
            f"{title} asks an issuer of group {ref.group!r}, which is not one of ours: it is approved like any other unless "
            "--auto-approve=false, and that group's controller signs it"
        )
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
    if found_out.requester == "" and request.spec.username:
        notes.append(
            f"spec.username says {request.spec.username}, and nobody vouches for that (mesh-signer doctor says what is missing)"
        )
    if signer in mesh.unread:
        notes.append(CA_UNREAD)
    metadata = msgspec.structs.replace(request.metadata, deletion_timestamp=None)
    anew = msgspec.structs.replace(request, metadata=metadata, raw_status=_NOW_APPROVED)
    outcome = _judge(anew, mesh, found_out, auto_approve=auto_approve, now=now)
    if isinstance(outcome, AskRequester | steps.AskKey):
        return outcome
    verdict, reasons, grant, prepared = outcome.verdict, outcome.reasons, outcome.grant, outcome.prepared
    if grant is not None:
        notes += [f"enforcing would refuse it: {reason.message}" for reason in grant.would_refuse]
    notes += [f"not everybody would accept it: {one}" for one in (prepared.warnings if prepared is not None else ())]
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
        ends=prepared.template.not_after if prepared is not None else None,
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


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Literal["issue", "refuse", "wait", "ask"]
    reasons: tuple[Reason, ...] = ()
    grant: Grant | None = None
    prepared: Prepared | None = None


def _judge(
    request: CertificateRequest, mesh: Mesh, found_out: FoundOut, *, auto_approve: bool, now: datetime
) -> _Outcome | RequestQuestion:
    step = steps.consider(
        request,
        mesh.issuers.get,
        auto_approve=auto_approve,
        in_mesh=lambda state: in_mesh(state, mesh.world),
        key=found_out.answers.key,
        exists=mesh.issuers.__contains__,
    )
    match step:
        case steps.Pend(code, message):
            return _Outcome("wait", (Reason(code, message),))
        case steps.Fail(code, message) | steps.Tell(code, message):
            return _Outcome("refuse", (Reason(code, message),))
        case steps.AskKey(name) if found_out.key_unread:
            where = f"Secret {request.metadata.namespace}/{name}"
            text = f"it is signed with its own key: it is issued if the request's key is in {where}"
            return _Outcome("ask", (Reason("SelfSigned", text),))
        case steps.AskKey():
            return step
        case steps.Sign() if step.state.kind == "acme":
            text = "its hosts must be given to the namespace (mesh-signer edge), and the ACME server decides then"
            return _Outcome("ask", (Reason("ACME", text),))
        case steps.Sign():
            return _signed(request, step, mesh, found_out, now)
        case _:
            return _Outcome("wait", (Reason("Undecided", f"no decision was reached ({type(step).__name__})"),))


def _signed(
    request: CertificateRequest, step: steps.Sign, mesh: Mesh, found_out: FoundOut, now: datetime
) -> _Outcome | RequestQuestion:
    if asks_requester(step.state, mesh.world) and found_out.requester is None:
        return AskRequester()
    found = decide_request(
        request,
        step.csr,
        step.state,
        world=mesh.world,
        lifetime=step.lifetime,
        limits=Limits(),  # the controllers have no others
        now=now,
        requester=found_out.requester or "",
    )
    if isinstance(found, Confirm):  # nothing has to be confirmed in a world that was read for this
        return _Outcome("wait", (Reason("ReadingNamespace", ""),))
    if isinstance(found, Unready):
        return _Outcome("wait", (found.reason,))
    if isinstance(found, Refuse):
        return _Outcome("refuse", found.reasons)
    prepared = prepare(request, step.csr, step.state, found, now=now)
    if isinstance(prepared, Refuse):
        return _Outcome("refuse", prepared.reasons)
    return _Outcome("issue", (), found, prepared)


def _became(request: CertificateRequest) -> str:
    if request.status.certificate:
        return "it has its certificate"
    conditions = request.status.conditions
    for kind in (DENIED, INVALID_REQUEST):
        if (found := find_condition(conditions, kind)) is not None:
            return f"{kind}: {found.reason}: {found.message}"
    ready = find_condition(conditions, READY)
    return f"{ready.reason}: {ready.message}" if ready is not None else ""
