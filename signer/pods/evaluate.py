"""What to do with one PodCertificateRequest: the order of checks, as a pure function.

What is denied stays denied for that Pod, for as long as it lives. So only that is denied which nobody can mend: what the request
says of itself, and a Pod that is not the one it names. What an administrator or a tenant may still change, waits: the request
stays open, an Event on the Pod says what for, and Kubernetes deletes it after a quarter of an hour and its kubelet asks anew.
Source: k8s.io/api/certificates/v1beta1 types.go (conditions of PodCertificateRequests); plugin/pkg/admission/noderestriction.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from issuers.errors import MalformedRequest
from issuers.istio_request import uri_name
from issuers.line import Finding, by_some
from issuers.proven_key import ProvenKey, of_signature, of_stub, request_of_workload
from issuers.request import SigningRequest
from issuers.spiffe import SpiffeId, parse_spiffe_id
from issuers.template import CertificateTemplate, mesh_template
from issuers.verify import as_signed
from signer.api.issuer import IssuerRef
from signer.api.pod import Pod, Surroundings
from signer.api.podcertificaterequest import INVALID_ANNOTATIONS, UNSUPPORTED_KEY, PodCertificateRequest
from signer.api.signername import signer_name_of
from signer.api.text import shown, some
from signer.authorities.state import NOT_VERIFIABLE, TYPE_MISSING, IssuerState
from signer.csr.evaluate import Circumstances, missing, unfit
from signer.csr.outcome import Answers, AskPod, Issue
from signer.tenancy.decide import BACKDATE, judge, standing, unready
from signer.tenancy.routes import route
from signer.tenancy.rules import WORKLOAD_USAGES
from signer.tenancy.verdict import Claim, Grant, Inquiry, Reason, Refuse, Route, Unready, Wait
from signer.tenancy.world import World

# The least that the API server takes, from the beginning of a certificate to its end.
SHORTEST = timedelta(hours=1)
# What was read of a Pod counts for so long: it is read right before the signature.
LOOK_COUNTS_FOR = timedelta(seconds=10)
# What a Pod asks for in its own manifest, and cannot change.
_KEY_NOT_ALLOWED = "KeyNotAllowed"
_SECOND = timedelta(seconds=1)

PodVerdict = Issue | Refuse | Wait | Unready | AskPod | Inquiry
"""As for a CertificateSigningRequest. Refuse means Denied, for good; the rest of what is not issued waits."""


def evaluate_pod(
    request: PodCertificateRequest,
    ref: IssuerRef,
    state: IssuerState | None,
    answers: Answers,
    around: Circumstances,
) -> PodVerdict:
    """Decide what happens to a request. `state` is None for an issuer that does not exist.

    Raises nothing for anything that a node, a Pod's author or an issuer's author can write.
    """
    key = _proven(request)
    if isinstance(key, Refuse):
        return key
    if (routed := _names_the_route(request, ref, around)) is not None:
        return routed
    if state is None or state.reason == TYPE_MISSING:
        return missing(ref, state)
    key_id = state.authority.key_id if state.authority is not None else ""
    found = standing(around.world, requester=request.requester, signer=ref, ca_key_id=key_id, workload=True)
    waits = found.unready or unfit(state)
    if waits is not None:
        return _may_change(waits) if isinstance(waits, Refuse) else waits
    identity = workload_of(request, around.world)
    if isinstance(identity, Unready):
        return identity
    written = request_of_workload(key, str(identity))
    claim = _claim(request, ref, state, written)
    grant = judge(claim, found, around.world, around.limits, fresh=answers.fresh, now=around.now)
    if not isinstance(grant, Grant):
        return _denied_or_waits(grant) if isinstance(grant, Refuse) else grant
    template, against = as_signed(_template(written, request, grant, around), state.authority)
    speaks_against = _unusable(template, against, state, grant) or _unseen(request, answers.pod, around)
    return speaks_against or Issue(
        template,
        state.authority,
        grant,
        requester=request.requester,
        identity=str(identity),
        decided=around.now,
    )


def _names_the_route(request: PodCertificateRequest, ref: IssuerRef, around: Circumstances) -> Unready | None:
    """Say that a signer is routed by identity, which is for what istiod asks: a Pod names its tenant's own, and mounts its roots.

    The bundle of the routed name, if there is one, has none of a tenant's.
    """
    world = around.world
    if ref not in world.routed or not world.by_identity(request.namespace) or unready(world) is not None:
        return None
    way = route(world, ref, request.namespace, now=around.now)
    if way is None:
        return None
    own = "the signer of its namespace, which it has none of so far"
    if isinstance(way, Route):
        own = f"{signer_name_of(way.signer)}, which is its namespace's"
    message = f"{ref} is routed by identity, for what istiod asks: signerName in the Pod's volume is to be {own}"
    return Unready(Reason("TenantMismatch", message))


def _unseen(
    request: PodCertificateRequest, seen: Surroundings | None, around: Circumstances
) -> Refuse | Unready | AskPod | None:
    """Whether the Pod was looked at just now, and is not the one that asks: the last thing that is asked."""
    if seen is None or not timedelta(0) <= around.now - seen.at <= LOOK_COUNTS_FOR:
        return AskPod()
    return mismatch(request, seen)


def workload_of(request: PodCertificateRequest, world: World) -> SpiffeId | Unready:
    """Name the workload: its namespace cannot be forged, its account is held against the Pod; the trust domain is the mesh's.

    A request says no trust domain. Where Istio's revisions have several, it is that of the revision without a name.
    """
    domains = world.config.domains.get("") or world.config.trust_domains
    if len(domains) != 1:
        known = some(sorted(domains)) or "none"
        message = (
            f"a Pod's request names no trust domain, and the mesh has {known}: set mesh.trustDomain of ConfigMap "
            f"{world.settings.istio_namespace}/istio to the one that Pods are to get"
        )
        return Unready(Reason("TrustDomainMismatch", message))
    (domain,) = domains
    identity = SpiffeId(domain, request.namespace, request.service_account)
    if parse_spiffe_id(str(identity)) != identity:
        message = f"namespace {shown(request.namespace)} and account {shown(request.service_account)} make no SPIFFE ID"
        return Unready(Reason("IdentityNotAllowed", message))
    return identity


def mismatch(request: PodCertificateRequest, seen: Surroundings) -> Refuse | Unready | None:
    """Hold a request against the Pod, the account and the node that are there; None when they are what it says.

    A Pod that is gone, or another of its name, never becomes the one that is named. Account and node may be made anew.
    """
    where = f"Pod {request.namespace}/{request.pod_name}"
    reason = _not_that_pod(request, seen.pod, where)
    if reason is not None:
        return Refuse((reason,))
    account = f"ServiceAccount {request.namespace}/{request.service_account}"
    for what, asked, there in (
        (account, request.service_account_uid, seen.service_account_uid),
        (f"Node {request.node_name}", request.node_uid, seen.node_uid),
    ):
        if asked != there or not there:
            now = f"has uid {there} now" if there else "does not exist"
            message = f"{where} asks as {what} of uid {shown(asked)}, which {now}; the kubelet asks anew by itself"
            return Unready(Reason("PodMismatch", message))
    return None


def _not_that_pod(request: PodCertificateRequest, pod: Pod | None, where: str) -> Reason | None:
    if pod is None:
        return Reason("PodNotFound", f"{where} does not exist")
    wrong = [
        f"its {what} is {shown(there)}, the request says {shown(asked)}"
        for what, asked, there in (
            ("uid", request.pod_uid, pod.metadata.uid),
            ("spec.serviceAccountName", request.service_account, pod.spec.service_account_name),
            ("spec.nodeName", request.node_name, pod.spec.node_name),
        )
        if asked != there or not there
    ]
    if wrong:
        return Reason("PodMismatch", f"{where} is not the one that asks: {'; '.join(wrong)}")
    if pod.status.phase in ("Succeeded", "Failed"):
        return Reason("PodNotFound", f"{where} has ended ({pod.status.phase})")
    return None


def _proven(request: PodCertificateRequest) -> ProvenKey | Refuse:
    if request.annotations:
        message = (
            f"spec.unverifiedUserAnnotations has {some(map(shown, request.annotations))}; this signer knows none: leave out "
            "userAnnotations in the Pod's podCertificate volume"
        )
        return Refuse((Reason(INVALID_ANNOTATIONS, message),))
    try:
        if request.stub:
            return of_stub(request.stub)
        return of_signature(request.key, request.proof, request.pod_uid.encode())
    except MalformedRequest as error:
        return Refuse((Reason(UNSUPPORTED_KEY, f"spec: {error}"),))


def _claim(request: PodCertificateRequest, ref: IssuerRef, state: IssuerState, written: SigningRequest) -> Claim:
    authority = state.authority
    return Claim(
        request.requester,
        ref,
        authority.key_id if authority is not None else "",
        written,
        WORKLOAD_USAGES,
        is_ca=False,
        lifetime=timedelta(seconds=request.max_seconds),
        resource="PodCertificateRequest",
        namespace=request.namespace,
        ca_not_after=authority.not_after if authority is not None else None,
        root_key_id=authority.root_key_id if authority is not None else "",
        chain=authority.chain if authority is not None else None,
    )


def _denied_or_waits(refusal: Refuse) -> Refuse | Unready:
    """Deny a key that is not taken: its kind stands in the Pod. What policies, claims and meshes say may change."""
    for reason in refusal.reasons:
        if reason.code == _KEY_NOT_ALLOWED:
            told = replace(reason, code=UNSUPPORTED_KEY, message=f"spec.stubPKCS10Request: {reason.message}")
            return Refuse((told, *(one for one in refusal.reasons if one is not reason)))
    return _may_change(refusal)


def _may_change(refusal: Refuse) -> Unready:
    return Unready(Reason(refusal.code, refusal.message, refusal.others))


def _template(
    written: SigningRequest, request: PodCertificateRequest, grant: Grant, around: Circumstances
) -> CertificateTemplate:
    """Say what the certificate is to be. The API server takes none that begins more than five minutes ago: so it begins now."""
    begins = (around.now - BACKDATE).replace(microsecond=0)
    ends = min(around.now + grant.lifetime, begins + timedelta(seconds=request.max_seconds))
    usages = grant.usages or WORKLOAD_USAGES
    san = uri_name(written.uris[0])
    return mesh_template(written, san=san, usages=usages, not_before=begins, not_after=ends)


def _unusable(
    template: CertificateTemplate, findings: Sequence[Finding], state: IssuerState, grant: Grant
) -> Unready | None:
    """Say why the API server or a workload would not take the certificate; that may be mended in a CA, or a policy."""
    if state.authority is None:
        return Unready(Reason("SignerTypeNotAllowed", f"{state.ref} has no CA: it signs no Pod certificates"))
    lasts = template.not_after - template.not_before
    if lasts < SHORTEST:
        by = f"SignerPolicy {grant.policy} and " if grant.policy else "--max-workload-lifetime and "
        message = (
            f"a Pod certificate lasts an hour at least, and {by}the end of the CA of {state.ref} leave "
            f"{max(lasts // _SECOND, 0)} s"
        )
        return Unready(Reason("LifetimeTooShort", message))
    if against := by_some(findings):
        message = "; ".join(f"workloads would not accept the certificate: {one}" for one in against)
        return Unready(Reason(NOT_VERIFIABLE, message))
    return None
