"""What would become of a PodCertificateRequest: the signer's own decision, and what it rests on. Pure."""

from dataclasses import replace
from datetime import datetime

from msgspec.structs import replace as replaced

from signer.api.issuer import IssuerRef
from signer.api.pod import Surroundings
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.commands.command import NotFoundOut
from signer.commands.explanations.advice import advise_on
from signer.commands.explanations.csr import Explanation, FoundOut, as_known
from signer.commands.explanations.grounds import CA_UNREAD, known, mode_notes
from signer.commands.explanations.requests import Asked, content_of
from signer.commands.live import Mesh
from signer.csr.evaluate import Circumstances
from signer.csr.outcome import Issue
from signer.pods.evaluate import evaluate_pod, workload_of
from signer.tenancy.rules import WORKLOAD_USAGES
from signer.tenancy.verdict import Bind, Confirm, Limits, Reason, Refuse, Unready, Wait


def explain_pod(
    request: PodCertificateRequest,
    signer: IssuerRef,
    mesh: Mesh,
    seen: Surroundings,
    *,
    now: datetime,
    found_out: FoundOut,
) -> Explanation | Bind | Confirm:
    """Decide as the signer would, on live state that was read just now; or ask what it would ask first."""
    if mesh.world.settings.mode == "off":
        raise NotFoundOut("with --tenancy=off no PodCertificateRequest is answered")
    if signer in mesh.unread:
        raise NotFoundOut(CA_UNREAD)
    world = as_known(mesh.world, found_out, now)
    circumstances = Circumstances(Limits(), world, world.settings.cluster_resource_namespace, now)
    answers = replace(found_out.answers, pod=replaced(seen, at=now))
    verdict = evaluate_pod(request, signer, mesh.issuers.get(signer), answers, circumstances)
    if found_out.failed is not None:
        verdict = Unready(found_out.failed)
    if isinstance(verdict, Bind | Confirm):
        return verdict
    identity = workload_of(request, mesh.world)
    found = Explanation(
        _asked(request),
        "wait",
        "" if isinstance(identity, Unready) else str(identity),
        request.namespace,
        signer,
        known=tuple(known(mesh, request.namespace, signer, now)),
        notes=tuple(mode_notes(mesh, now)),
    )
    if isinstance(verdict, Issue):
        return replace(found, verdict="issue", source=verdict.grant.source, ends=verdict.template.not_after)
    if isinstance(verdict, Refuse):
        return replace(found, verdict="refuse", reasons=verdict.reasons)
    if isinstance(verdict, Wait | Unready):
        advice = advise_on((verdict.reason,), mesh.world, request.namespace, signer, request.requester)
        return replace(found, reasons=(verdict.reason,), advice=advice)
    return replace(found, reasons=(Reason("Undecided", f"no decision was reached ({type(verdict).__name__})"),))


def _asked(request: PodCertificateRequest) -> Asked:
    became = ", ".join(sorted(request.conditions))
    title = f"PodCertificateRequest {request.namespace}/{request.name} of Pod {request.pod_name}"
    content = content_of(b"", usages=WORKLOAD_USAGES, username=request.requester)
    return Asked(title, request.signer_name, content, became, stored=True)
