"""What stands between a decision and the workload: approval, rights, whoever does the work, the root. Pure.

Each is looked at or named as what was not: a verdict alone would look like a promise.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.commands.checks.access import SIGNER, account
from signer.commands.checks.facts import Access, name_of, namespace_of
from signer.commands.checks.replicas import cert_managers, live_leases
from signer.commands.checks.roots import roots_for
from signer.commands.explanations.certificate import CertificateExplanation
from signer.commands.explanations.csr import Explanation
from signer.commands.explanations.requests import Asked
from signer.commands.live import Listing, Mesh
from signer.kube.leases.record import CERT_MANAGERS_LEASE, LEADER_LEASE
from signer.mesh.roots import with_roots_in_mesh
from signer.settings.values import Settings
from signer.tenancy.verdict import Reason

_GROUP = "certificates.k8s.io"
NOT_LOOKED_AT = (
    "not looked at: webhooks of the API server that may refuse the answer, the disk of the audit log, and whether the "
    "workload reaches istiod"
)


@dataclass(frozen=True, slots=True)
class Around:
    """What was found out. `rights` that were asked for, `unasked` why one was not; `leases` of ours and of a cert-manager."""

    rights: tuple[Access, ...] = ()
    unasked: str = ""
    leases: Listing = field(default_factory=Listing)


def needed_for(asked: Asked, signer: IssuerRef, settings: Settings) -> list[Access]:
    """The rights without which a request is not answered; any one of those with the same `need` is enough."""
    us, name = account(settings, SIGNER), signer_name_of(signer)
    every = f"{name.partition('/')[0]}/*"
    rights = [Access(us, "sign", "signers", _GROUP, name=one, need="sign for it") for one in (every, name)]
    rights.append(
        Access(us, "update", "certificatesigningrequests", _GROUP, subresource="status", need="answer requests")
    )
    if not asked.stored and asked.content.username:
        user = asked.content.username
        rights += [Access(user, "approve", "signers", _GROUP, name=one, need="approve it") for one in (name, every)]
    return rights


def with_around(found: Explanation, around: Around, mesh: Mesh, now: datetime) -> Explanation:
    """Return the explanation of a CertificateSigningRequest with what stands around it; a verdict to issue may become a wait."""
    if found.verdict == "issue" and not found.asked.became:
        if not found.asked.approved:
            text = (
                "nobody has approved it: istiod approves its own requests if its rights let it; others are approved by "
                "kubectl certificate approve"
            )
            found = replace(found, verdict="wait", reasons=(Reason("WaitingApproval", text),))
        elif lacking := tuple(_lacking(around.rights)):
            found = replace(found, verdict="wait", reasons=lacking, advice=(*found.advice, *_mends(lacking)))
    elif found.verdict == "wait" and not found.asked.became and (lacking := tuple(_lacking(around.rights))):
        # What it waits for is not all: when that has changed it is not taken up by itself.
        found = replace(found, reasons=(*found.reasons, *lacking), advice=(*found.advice, *_mends(lacking)))
    notes = [*found.notes, *_workers(around, now, leader=False)]
    if around.unasked:
        notes.append(f"not looked at: whether the rights of mesh-signer and istiod suffice: {around.unasked}")
    signed = found.verdict == "issue"
    rootless = no_root(found.signer, mesh, now, requester=found.asked.content.username, signed=signed)
    return replace(found, notes=(*notes, NOT_LOOKED_AT), obstacles=(*found.obstacles, *rootless))


def certificate_with_around(found: CertificateExplanation, around: Around, now: datetime) -> CertificateExplanation:
    """Return the explanation of a Certificate with whoever should work on it."""
    return replace(found, notes=(*found.notes, *_workers(around, now, leader=True)))


def request_with_around(found: Explanation, around: Around, now: datetime) -> Explanation:
    """Return the explanation of a CertificateRequest with its approval, and whoever should work on it."""
    if found.verdict == "issue" and not found.asked.approved:
        text = "nobody has approved it, and mesh-signer runs with --auto-approve=false: an approver, or cmctl approve"
        found = replace(found, verdict="wait", reasons=(Reason("WaitingForApproval", text),))
    return replace(found, notes=(*found.notes, *_workers(around, now, leader=True)))


def no_root(signer: IssuerRef, mesh: Mesh, now: datetime, *, requester: str = "", signed: bool = True) -> Iterator[str]:
    """Say that workloads get no root for what is signed, or another: istiod then gives them no certificate either.

    It goes by the ConfigMap of the istiod that asks; for another requester by each. `signed`: the wall did not refuse it
    for its root already.
    """
    if signer not in with_roots_in_mesh(mesh.world):
        return
    for one in roots_for(mesh, signer, now, requester):
        if one.severity == "error" and (signed or one.code == "RootMissing"):
            yield f"{one.where}: {one.what}, whatever is signed: {one.mend}"


def _lacking(rights: Iterable[Access]) -> Iterator[Reason]:
    listed = list(rights)
    for need in dict.fromkeys(one.need for one in listed):
        either = [one for one in listed if one.need == need]
        if all(one.allowed is False for one in either):
            code = "WaitingApproval" if either[0].verb == "approve" else "RightMissing"
            yield Reason(code, f"{either[0].user} may not {either[0]}: it cannot {need}")


def _mends(lacking: Iterable[Reason]) -> Iterator[str]:
    codes = {one.code for one in lacking}
    if "WaitingApproval" in codes:
        yield "`mesh-signer mesh-config` prints the rule that istiod's ClusterRole needs, or run kubectl certificate approve."
    if "RightMissing" in codes:
        yield "Apply again what mesh-signer was installed with (kubectl apply -k OVERLAY, or helm upgrade): it has the rights."


def _workers(around: Around, now: datetime, *, leader: bool) -> Iterator[str]:
    """Say that nobody works on it, by the Leases that are renewed; or that this was not looked at."""
    if around.leases.problem:
        yield f"not looked at: whether anybody works on it: {around.leases.problem}"
        return
    alive = live_leases(around.leases.items, now)
    leads = any(name_of(one) == LEADER_LEASE for one in alive)
    signs = any(name_of(one) != LEADER_LEASE for one in alive)
    if leader and not leads:
        peers = [f"Lease {namespace_of(one)}/{CERT_MANAGERS_LEASE}" for one in cert_managers(around.leases.items, now)]
        why = f": they wait beside a cert-manager ({peers[0]}), which has Certificates then" if peers else ""
        yield f"nobody works on it now: no mesh-signer-controllers renew Lease {LEADER_LEASE}{why}"
    elif not leader and not signs:
        yield "nobody answers requests now: no replica of mesh-signer renews its Lease"
