"""What the signer does with a request, step by step as its controllers do it, without a server.

It stores owners in an Index and reads live views of the cluster; nothing here is shared with `mesh-signer explain` but the
pure functions that the signer itself decides with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from signer.api.certificaterequest import CertificateRequest
from signer.api.certificatesigningrequest import RequestContent
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.signerbinding import SignerBinding
from signer.authorities.state import IssuerState
from signer.certificates.requests import steps
from signer.certificates.requests.signing import decide_request, in_mesh, sign_request
from signer.csr.evaluate import Case, Circumstances, case_by_identity, case_of, evaluate
from signer.csr.inquiries import INQUIRY_FAILED
from signer.csr.outcome import NOTHING_ASKED, Answers, AskKey, AskReference, Issue, NoKey
from signer.tenancy.bindings import new_binding
from signer.tenancy.decide import unready
from signer.tenancy.grants import Claimable, granted
from signer.tenancy.live import against_grant, against_owner
from signer.tenancy.verdict import Bind, Confirm, Limits, Refuse, Reread, Unready, Wait
from signer.tenancy.world import Confirmed, World
from tests.unit.commands.clusters import Cluster
from tests.unit.csr.crafted import NOW


@dataclass(frozen=True)
class Outcome:
    """What became of a request: issue, refuse or wait, the reasons' codes, and until when it was issued."""

    verdict: str
    codes: tuple[str, ...] = ()
    until: datetime | None = None


def answered(cluster: Cluster, content: RequestContent, signer: IssuerRef, *, may_reference: bool = True) -> Outcome:
    """Answer a CertificateSigningRequest as the hot path does."""
    index = cluster.index()
    world, confirmed = index.world, dict[Confirmed, datetime]()
    world.confirmed = confirmed
    states = {one.ref: one for one in cluster.issuers}
    answers: Answers = NOTHING_ASKED
    for _ in range(8):
        if world.settings.mode != "off" and (waiting := unready(world)) is not None:
            return Outcome("wait", (waiting.reason.code,))
        case = _case(content, signer, states, answers, world)
        verdict = evaluate(case, Circumstances(Limits(), world, cluster.settings.cluster_resource_namespace, NOW))
        match verdict:
            case Issue():
                return Outcome("issue", (), verdict.template.not_after)
            case Refuse():
                return Outcome("refuse", tuple(one.code for one in verdict.reasons))
            case Wait() | Unready():
                return Outcome("wait", (verdict.reason.code,))
            case AskReference():
                answers = replace(answers, may_reference=may_reference)
            case AskKey():
                answers = replace(answers, key=NoKey())
            case Reread():
                answers = replace(answers, fresh=True)
            case Confirm(meant, namespace, _):
                if against_grant(cluster.view(index, meant, namespace), verdict, NOW):
                    return Outcome("wait", (INQUIRY_FAILED,))
                confirmed[verdict.key] = NOW + timedelta(seconds=10)
            case Bind(meant, namespace, namespace_uid):
                claimable = granted(world, namespace, meant, now=NOW) == Claimable(namespace_uid)
                terminating = namespace in index.terminating
                if not claimable or terminating or against_owner(cluster.view(index, meant, namespace), verdict, NOW):
                    return Outcome("wait", (INQUIRY_FAILED,))
                made = new_binding(meant, namespace, namespace_uid)
                made["metadata"] |= {"uid": "new", "creationTimestamp": to_rfc3339(NOW)}
                index.put_binding(msgspec.convert(made, SignerBinding))
                index.settle(NOW)
    raise AssertionError("it asks without end")


def _case(
    content: RequestContent, signer: IssuerRef, states: Mapping[IssuerRef, IssuerState], answers: Answers, world: World
) -> Case:
    if signer in world.routed:
        return case_by_identity(content, signer, states.get, answers, world, now=NOW)
    return case_of(content, signer, states.get(signer), answers, world)


def answered_request(cluster: Cluster, request: CertificateRequest, *, requester: str) -> Outcome:
    """Answer a CertificateRequest, approved, as its controller does; `requester` is vouched for, "" for nobody."""
    index = cluster.index()
    states = {one.ref: one for one in cluster.issuers}
    key: Any = None
    for _ in range(3):
        step = steps.consider(
            request, states.get, auto_approve=True, in_mesh=lambda state: in_mesh(state, index.world), key=key
        )
        match step:
            case steps.Pend(code):
                return Outcome("wait", (code,))
            case steps.Fail(code):
                return Outcome("refuse", (code,))
            case steps.AskKey():
                key = steps.usable_key(None, signs=False)
            case steps.Sign() if step.state.kind == "acme":
                return Outcome("ask", ("ACME",))
            case steps.Sign():
                return _signed(request, step, index.world, requester)
    raise AssertionError("it asks without end")


def _signed(request: CertificateRequest, step: steps.Sign, world: Any, requester: str) -> Outcome:
    grant = decide_request(
        request,
        step.csr,
        step.state,
        world=world,
        lifetime=step.lifetime,
        limits=Limits(),
        now=NOW,
        requester=requester,
    )
    assert not isinstance(grant, Confirm)  # nothing has to be confirmed in a world that was read for this
    if isinstance(grant, Unready):
        return Outcome("wait", (grant.reason.code,))
    if isinstance(grant, Refuse):
        return Outcome("refuse", tuple(one.code for one in grant.reasons))
    signed = sign_request(request, step.csr, step.state, grant, key=step.key, now=NOW, serial=7)
    if isinstance(signed, Refuse):
        return Outcome("refuse", tuple(one.code for one in signed.reasons))
    return Outcome("issue")
