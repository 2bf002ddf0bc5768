"""What the controller decides about a TenantBridge, and why: its own decision and the wall's, on what was read just now. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from issuers.request import SigningRequest
from signer.api.destinationrule import DestinationRule
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, to_rfc3339
from signer.api.tenantbridge import TenantBridge
from signer.api.text import some
from signer.bridges import status
from signer.bridges.case import Around, Case, bridge_case, bridge_claim
from signer.bridges.defects import CONTAINED, WORKING, in_front
from signer.bridges.read import BridgePolicy
from signer.bridges.server import SIGNER_NOT_READY, signer_of
from signer.bridges.step import Sight, build
from signer.commands.command import NotFoundOut
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, FoundOut, as_known
from signer.commands.explanations.grounds import CA_UNREAD, mode_notes
from signer.commands.live import Mesh
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Bind, Bridge, Claim, Confirm, Grant, Limits, Reason, Refuse, Unready


@dataclass(frozen=True, slots=True)
class BridgeSeen:
    """A TenantBridge with what the controller looks at; `rules` by namespace, None where DestinationRules are not served."""

    obj: TenantBridge
    policies: tuple[BridgePolicy, ...]
    accounts: tuple[str, ...]
    rules: Mapping[str, tuple[DestinationRule, ...]] | None


@dataclass(frozen=True, slots=True)
class BridgeExplanation:
    """`issue`: both hands hold, and the wall grants the certificate. `refuse`: somebody must mend it. `wait`: it goes on by itself.

    `known` are (subject, sentence) pairs, `obstacles` what would make its requests fail or leak.
    """

    title: str
    verdict: Literal["issue", "refuse", "wait"]
    reasons: tuple[Reason, ...] = ()
    source: str = ""
    lifetime: str = ""
    known: tuple[tuple[str, str], ...] = ()
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "bridge": self.title,
            "verdict": self.verdict,
            "reasons": [{"code": one.code, "message": one.message} for one in self.reasons],
            "source": self.source,
            "lifetime": self.lifetime,
            "known": [{"about": about, "is": text} for about, text in self.known],
            "obstacles": list(self.obstacles),
            "notes": list(self.notes),
        }


def bridge_meant(seen: BridgeSeen, mesh: Mesh, now: datetime) -> Bridge | None:
    """Return the bridge that a certificate would be asked for; None where there is to be none."""
    return _case(seen, mesh, now).bridge


def explain_bridge(
    seen: BridgeSeen,
    mesh: Mesh,
    request: SigningRequest | None,
    *,
    now: datetime,
    found_out: FoundOut = NOTHING_FOUND_OUT,
) -> BridgeExplanation | Bind | Confirm:
    """Decide as the controller would; or ask what it would ask first.

    `request` is one for the client's identity (bridge_meant), None where there is no bridge. Raises NotFoundOut where that hangs on
    a CA's Secret that may not be read.
    """
    case = _case(seen, mesh, now)
    meta = seen.obj.metadata
    found = BridgeExplanation(
        f"TenantBridge {meta.namespace}/{meta.name}",
        "refuse",
        known=tuple(_known(case, seen, mesh, now)),
        obstacles=tuple(_obstacles(case, seen, mesh.world.config.root_namespace)),
        notes=tuple(mode_notes(mesh, now)),
    )
    if case.denied is not None:
        signer = signer_of(mesh.world, case.wish.namespace, now=now)
        if case.denied.reason.code == SIGNER_NOT_READY and isinstance(signer, IssuerRef) and signer in mesh.unread:
            raise NotFoundOut(f"{signer}: {CA_UNREAD}")
        return replace(found, verdict="wait" if case.denied.waits else "refuse", reasons=(case.denied.reason,))
    if (wrong := _not_built(case, mesh, now)) is not None:
        return replace(found, reasons=(wrong,))
    if found_out.failed is not None:
        return replace(found, verdict="wait", reasons=(found_out.failed,))
    verdict = decide(_claim(case, mesh, request), as_known(mesh.world, found_out, now), Limits(), fresh=True, now=now)
    if isinstance(verdict, Bind | Confirm):
        return verdict
    if isinstance(verdict, Grant):
        lifetime = f"{verdict.lifetime.total_seconds():g}s"
        return replace(found, verdict="issue", source=verdict.source, lifetime=lifetime)
    if isinstance(verdict, Refuse):
        return replace(found, reasons=verdict.reasons)
    if isinstance(verdict, Unready):
        return replace(found, verdict="wait", reasons=(verdict.reason,))
    return replace(found, verdict="wait", reasons=(Reason("Undecided", "no decision was reached"),))


def _case(seen: BridgeSeen, mesh: Mesh, now: datetime) -> Case:
    rules = seen.rules
    served = (lambda namespace: rules.get(namespace, ())) if rules is not None else None
    around = Around(mesh.world, seen.policies, mesh.issuers.get, lambda _: seen.accounts, served)
    return bridge_case(seen.obj, around, now)


def _not_built(case: Case, mesh: Mesh, now: datetime) -> Reason | None:
    """Say what the controller would find before it builds anything, where nothing stands yet."""
    assert case.wanted is not None  # noqa: S101 - the caller's condition
    stored, overlap = case.obj.status, mesh.world.settings.max_workload_lifetime
    planned = status.planned(stored, case.wish, case.wanted, Sight(), now, overlap=overlap)
    steps = build(case.wish, case.wanted, planned, Sight(), now, stored=stored)
    return steps if isinstance(steps, Reason) else None


def _claim(case: Case, mesh: Mesh, request: SigningRequest | None) -> Claim:
    assert case.bridge is not None  # noqa: S101 - what is not denied has all three
    assert case.signer is not None  # noqa: S101
    assert request is not None  # noqa: S101 - asked for by the same bridge
    return bridge_claim(case.bridge, case.signer, mesh.authority(case.signer), request)


def _known(case: Case, seen: BridgeSeen, mesh: Mesh, now: datetime) -> Iterator[tuple[str, str]]:
    wish, bridge, signer = case.wish, case.bridge, signer_of(mesh.world, case.wish.namespace, now=now)
    if wish.hosts:
        yield "hosts", some(wish.hosts)
    if wish.client_namespace:
        yield "client", f"service account {wish.client_account} of namespace {wish.client_namespace}"
    if bridge is not None:
        yield "identity", str(bridge.client)
        yield "policy", f"TenantBridgePolicy {bridge.policy}"
    elif not wish.problem:
        yield (
            "policies",
            some([one.name for one in seen.policies]) if seen.policies else "there is no TenantBridgePolicy",
        )
    yield "CA", str(signer) if isinstance(signer, IssuerRef) else "none"
    if case.wanted is not None:
        yield "servers", f"service accounts {some(case.wanted.accounts)} of namespace {wish.namespace}"
    if bridge is not None and bridge.ends is not None:
        yield "ends", to_rfc3339(bridge.ends)
    ready = find_condition(seen.obj.status.conditions, status.READY)
    yield "so far", f"{ready.reason}: {ready.message}" if ready is not None else "no controller has looked at it"


def _obstacles(case: Case, seen: BridgeSeen, root_namespace: str) -> Iterator[str]:
    """Say what the controller found around it, and which rule stands in front now."""
    for kind in (WORKING, CONTAINED):
        told = find_condition(seen.obj.status.conditions, kind)
        if told is not None and told.status == "False":
            yield f"{kind} is False: {told.message}"
    hides = in_front(case.wish, (seen.rules or {}).get(case.wish.client_namespace, ()), root_namespace)
    if hides is not None:
        yield hides.message
