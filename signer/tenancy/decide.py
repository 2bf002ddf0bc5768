"""The wall: every signature, whatever resource asked for it, passes this one function.

Pure: no clock, no network, no state of its own; a few look-ups by key, however many tenants there are. The wall belongs
to a CA's key: whoever names it by another issuer meets the same rules (docs/tenancy.md).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from issuers.request import SigningRequest
from signer.api.issuer import IssuerRef
from signer.tenancy import rules
from signer.tenancy.bridge import check_bridge, grant_of, until, within_policies
from signer.tenancy.grants import Claimable, Granted, NotGranted, granted, held_back
from signer.tenancy.mesh_cas import CA, other_root, speaks_for_the_mesh
from signer.tenancy.routes import SHARED, other_tenants
from signer.tenancy.rules import Identity
from signer.tenancy.shared import on_purpose
from signer.tenancy.verdict import Bind, Claim, Confirm, Grant, Inquiry, Limits, Reason, Refuse, Reread, Unready
from signer.tenancy.world import MIN_ISTIOD_LIFETIME, Policy, World

# Clocks differ: what begins a little earlier than it was asked for is valid everywhere at once.
BACKDATE = timedelta(minutes=2)
# istiod asks for ten years. It renews at half of what it gets.
MAX_ISTIOD_LIFETIME = timedelta(days=90)
# A namespace that was read live is taken for the same one for so long.
CONFIRMED_FOR = timedelta(seconds=10)
# The CSR API's own least; also what an expiring CA is not asked to shorten further.
_NO_LIFETIME = timedelta(seconds=1)


Decision = Grant | Refuse | Unready | Inquiry


class Standing(NamedTuple):
    """How a request stands to the wall now.

    `walled`: there is a wall. `unready`: why nothing can be decided yet, None when it can. `mesh`: the request is the
    mesh's, so that the wall's rules for workloads are for it.
    """

    walled: bool
    unready: Unready | None = None
    mesh: bool = False


_NO_WALL = Standing(walled=False)


def standing(world: World, *, requester: str, signer: IssuerRef, ca_key_id: str, workload: bool = False) -> Standing:
    """Tell how a request stands to the wall: to be asked once for each, and given to `judge`.

    `workload`: its door is for workloads alone, so that it is the mesh's whoever asks, and whatever signer it names.
    """
    if world.settings.mode == "off":
        return _NO_WALL
    mesh = workload or _is_mesh(world, requester=requester, signer=signer, ca_key_id=ca_key_id)
    return Standing(walled=True, unready=unready(world), mesh=mesh)


def _is_mesh(world: World, *, requester: str, signer: IssuerRef, ca_key_id: str) -> bool:
    """Tell whether a request is the mesh's: asked by istiod, of a mesh signer, or of a CA whose key the mesh trusts.

    That is a mesh signer's key, and that of a root above one: what either signs, a tenant's workloads take.
    """
    mine = requester in world.requesters or signer in world.signers or ca_key_id in world.keys
    return mine or ca_key_id in world.root_keys


def unready(world: World) -> Unready | None:
    """Say why nothing can be decided yet, or None."""
    if world.unsynced:
        return Unready(Reason("MeshNotRead", f"not decided before this was read: {world.unsynced}"))
    return None


def decide(claim: Claim, world: World, limits: Limits, *, fresh: bool, now: datetime) -> Decision:
    """Tell whether the claim may be issued, and as what.

    `fresh`: the tenant's ProxyConfigs and the mesh config were read live for this request. A Grant without `mesh` is
    cert-manager's rule: the certificate is what the request says.
    """
    found = standing(world, requester=claim.requester, signer=claim.signer, ca_key_id=claim.ca_key_id)
    return judge(claim, found, world, limits, fresh=fresh, now=now)


def judge(claim: Claim, found: Standing, world: World, limits: Limits, *, fresh: bool, now: datetime) -> Decision:
    """As `decide`, where it is known already how the claim stands to the wall (`found`, of this claim and this world)."""
    if not found.walled:
        return _unbound(claim, limits)
    if found.unready is not None:
        return found.unready
    if claim.resource == "TenantBridge":
        return _stale(world) or _by_bridge(claim, world, now)
    speaks = found.mesh or speaks_for_the_mesh(claim, world)
    if speaks is not True:
        return _of_others(claim, speaks, world, limits, now)
    if (quiet := _stale(world)) is not None:
        return quiet
    if claim.resource == "CertificateRequest":
        return _certificate_request(claim, world, limits, now)
    if (changed := other_root(_ca_of(claim), world, now)) is not None:
        return changed
    return _mesh_request(claim, world, limits, fresh=fresh, now=now)


def _ca_of(claim: Claim) -> CA:
    return CA(claim.signer, claim.ca_key_id, claim.chain)


def entitlement(
    ca: CA, namespace: str, world: World, *, now: datetime, routed: bool = False
) -> Granted | Claimable | NotGranted | Unready:
    """Tell what the workloads of a namespace get of a signer at best: `judge` answers no workload's request better.

    `routed`: identity chose it, so that its root comes along. Whatever else a request says (its service account, its key) may
    still speak against it. Refusals of audit mode are told as such; where the wall is off, there are none.
    """
    if world.settings.mode == "off":
        return Granted("the wall is off")
    if (waiting := unready(world) or _stale(world) or other_root(ca, world, now)) is not None:
        return waiting
    found = _granted_by_key(world, namespace, ca, now, routed=routed)
    waits = isinstance(found, NotGranted) and found.waits and world.settings.enforces(now)
    if not ca.key_id and (waits or not isinstance(found, NotGranted)):
        return NotGranted(_no_ca(ca.signer))
    return Unready(found.reason) if waits and isinstance(found, NotGranted) else found


def _stale(world: World) -> Unready | None:
    if not world.stale:
        return None
    message = f"nothing was heard for five minutes of: {', '.join(sorted(world.stale))}"
    return Unready(Reason("MeshStateStale", message))


def _no_ca(signer: IssuerRef) -> Reason:
    return Reason("SignerTypeNotAllowed", f"{signer} has no CA: it cannot be a signer of the mesh")


def _of_others(claim: Claim, speaks: Unready | bool, world: World, limits: Limits, now: datetime) -> Decision:
    """Decide on what is not the mesh's, or (Unready) not known yet not to be."""
    if isinstance(speaks, Unready):
        return speaks
    if world.settings.unbound == "deny" and _needs_binding(claim, world):
        message = f"{claim.signer} is not a signer of the mesh, and others are not served (--unbound=deny)"
        return _refuse(claim, world, limits, [Reason("UnboundSigner", message)], now)
    return _unbound(claim, limits)


def _unbound(claim: Claim, limits: Limits) -> Grant | Refuse:
    """Decide as cert-manager does."""
    if claim.is_ca and not limits.allow_ca_requests:
        return Refuse(
            (
                Reason(
                    "CARequestsNotAllowed",
                    f"{claim.signer} was asked for a CA certificate (annotation request-is-ca), which this signer "
                    "does not issue (--allow-ca-requests=false)",
                ),
            )
        )
    return Grant(claim.lifetime or timedelta(days=90))


def _needs_binding(claim: Claim, world: World) -> bool:
    """Whether `--unbound=deny` means this one: self-signed certificates and the admins' own namespace go on."""
    own = claim.resource == "CertificateRequest" and claim.namespace == world.settings.cluster_resource_namespace
    return bool(claim.ca_key_id) and not own


def _refuse(claim: Claim, world: World, limits: Limits, reasons: list[Reason], now: datetime) -> Grant | Refuse:
    """Refuse, or in audit mode let pass what cert-manager would sign and tell what enforcing would have said.

    What identity chose a CA for cert-manager would not sign with it.
    """
    if world.settings.enforces(now) or claim.route is not None:
        return Refuse(tuple(reasons))
    verdict = _unbound(claim, limits)
    return verdict if isinstance(verdict, Refuse) else msgspec.structs.replace(verdict, would_refuse=tuple(reasons))


def unrouted(
    request: SigningRequest, found: NotGranted, world: World, *, requester: str, fresh: bool
) -> Refuse | Unready | Reread:
    """Decide on a request for which no CA was found by its identity: refused, in audit mode too, as nothing could sign it.

    As with every refusal for want of a grant, the namespace is read live before.
    """
    if (waiting := unready(world) or _stale(world)) is not None:
        return waiting
    identity = rules.identify(request)
    if isinstance(identity, Reason):
        return Refuse((identity,))
    if identity.spiffe_id is None:
        message = f"{identity} has no SPIFFE ID, by whose namespace the CA is chosen: istiod names its own signer"
        return Refuse((Reason("UnexpectedContents", message),))
    if found.waits:
        return Unready(found.reason)
    if not fresh:
        return Reread(identity.spiffe_id.namespace)
    asked = f"{identity}, asked for by {requester}"
    return Refuse((replace(found.reason, message=f"{found.reason.message} ({asked})"),))


def _certificate_request(
    claim: Claim, world: World, limits: Limits, now: datetime
) -> Grant | Refuse | Unready | Confirm:
    """A CertificateRequest for a mesh CA: the admins' own namespace, or what a SignerPolicy says."""
    if claim.namespace == world.settings.cluster_resource_namespace:
        return _unbound(claim, limits)
    exists = world.namespaces.get(claim.namespace)
    policies = _policies_for_key(claim.signer, claim.ca_key_id, world)
    if policies and claim.signer in world.signers:
        taken = _key_of_another(world, claim.namespace, _ca_of(claim), now, by_policy=True)
        if taken is not None:
            return _refuse(claim, world, limits, [taken], now)
    opening = [policy for policy in policies if policy.certificate_requests is not None]
    first: list[Reason] = []
    for policy in opening:
        if not policy.covers(claim.namespace, exists):
            continue
        reasons = _request_requester(claim, policy)
        reasons += rules.check_names(claim.request, claim.namespace, policy, world)
        reasons += rules.check_key(claim.request, policy)
        if claim.is_ca and not policy.allow_ca:
            message = f"SignerPolicy {policy.name} allows no CA certificates (spec.allowCA)"
            reasons.append(Reason("CARequestsNotAllowed", message))
        reasons += rules.check_usages(claim.request, claim.usages, policy, is_ca=claim.is_ca)
        if not reasons:
            most = policy.max_lifetime or world.settings.max_workload_lifetime
            lifetime = _until_ca_ends(claim, rules.cut(claim.lifetime, most), now)
            grant = Grant(lifetime, f"SignerPolicy {policy.name}", policy.name, namespace=claim.namespace)
            return _unconfirmed(claim, claim.namespace, world, now, policy.name) or grant
        first = first or reasons
    held = held_back(opening, claim.namespace, exists, claim.signer)
    if held is not None and held.waits and world.settings.enforces(now):
        return Unready(held.reason)  # a refusal would be the end of it
    if not first:
        covering = [policy for policy in policies if policy.covers(claim.namespace, exists)]
        first = [held.reason if held is not None else _closed(claim, world, covering)]
    return _refuse(claim, world, limits, first, now)


def _by_bridge(claim: Claim, world: World, now: datetime) -> Grant | Refuse | Unready | Confirm:
    """A certificate for another tenant's workload: only on a bridge, and only from the CA of the server's namespace.

    Audit mode opens no bridge: what it lets pass is what was signed before there was a wall.
    """
    bridge = claim.bridge
    if bridge is None:
        return Refuse((Reason("NoBridge", "a TenantBridge's certificate was asked for without one"),))
    if (changed := other_root(_ca_of(claim), world, now)) is not None:
        return changed
    reasons = check_bridge(claim, bridge, world, now)
    found = _granted_by_key(world, bridge.server, _ca_of(claim), now)
    if isinstance(found, NotGranted) and found.waits:
        return Unready(found.reason)
    if isinstance(found, Granted):
        most, limits = within_policies(claim, bridge, found.policies)
        reasons += limits
        if not reasons:
            lifetime = _until_ca_ends(claim, until(rules.cut(claim.lifetime, most), bridge.ends, now), now)
            grant = grant_of(bridge, lifetime, (now - BACKDATE).astimezone(UTC).replace(microsecond=0))
            return _unconfirmed(claim, bridge.server, world, now) or grant
    elif isinstance(found, NotGranted):
        reasons.append(found.reason)
    else:
        message = f"namespace {bridge.server} does not own {claim.signer} yet: no workload of it has a certificate"
        reasons.append(Reason("NotOwned", message))
    return Refuse(tuple(reasons))


def _closed(claim: Claim, world: World, covering: list[Policy]) -> Reason:
    """Say that no SignerPolicy opens a mesh CA for CertificateRequests of this namespace, and what would."""
    what = "is a signer of the mesh" if claim.signer in world.signers else "has a CA key that the mesh trusts"
    own = world.settings.cluster_resource_namespace
    if covering:
        names = ", ".join(policy.name for policy in covering)
        where = f"where a SignerPolicy opens it by spec.certificateRequests; SignerPolicy {names} does not"
    else:
        where = f"where a SignerPolicy covers namespace {claim.namespace} and has spec.certificateRequests"
    message = f"{claim.signer} {what}: a CertificateRequest for it is answered in namespace {own}, or {where}"
    return Reason("RequestNotAllowed", message)


def limits_requesters(world: World, signer: IssuerRef, ca_key_id: str) -> bool:
    """Tell whether it matters who made a CertificateRequest for this signer: a policy says who may."""
    return any(
        policy.certificate_requests is not None and policy.request_requesters
        for policy in _policies_for_key(signer, ca_key_id, world)
    )


def _request_requester(claim: Claim, policy: Policy) -> list[Reason]:
    """Check who made a CertificateRequest; nobody that is known is none of those who may."""
    may = policy.request_requesters
    if not may or claim.requester in may:
        return []
    if claim.requester:
        message = f"{claim.requester} is not one of the requesters of SignerPolicy {policy.name}"
        return [Reason("RequesterNotAllowed", message)]
    message = (
        f"SignerPolicy {policy.name} says who may make CertificateRequests, and who made this one is not known: an admin "
        "has the API server write it down (component requester; mesh-signer doctor says what is missing)"
    )
    return [Reason("RequesterNotAllowed", message)]


def _policies_for_key(signer: IssuerRef, ca_key_id: str, world: World) -> list[Policy]:
    """The policies that name this signer; for one that only shares a mesh CA's key, those that name all with the key."""
    if own := world.policies.get(signer):
        return list(own)
    having = world.keys.get(ca_key_id, frozenset()) - {signer}
    # One that got a key which another signs with already takes nothing from it.
    sharing = [one for one in having if not any(world.signed_before(ca_key_id, other, one) for other in having)]
    if signer in world.signers or len(sharing) != 1:
        return []
    return list(world.policies.get(next(iter(sharing)), ()))


def _mesh_request(claim: Claim, world: World, limits: Limits, *, fresh: bool, now: datetime) -> Decision:
    reasons: list[Reason] = []
    if not claim.ca_key_id:
        reasons.append(_no_ca(claim.signer))
    identity = _in_route(rules.identify(claim.request), claim)
    if isinstance(identity, Reason):
        reasons.append(identity)
        reasons.extend(_requester(claim, world, ()))
        return _refuse(claim, world, limits, reasons, now)
    workload = identity.spiffe_id
    namespace = workload.namespace if workload is not None else world.settings.istio_namespace
    found = _granted_by_key(world, namespace, _ca_of(claim), now, routed=claim.route is not None)
    if isinstance(found, Granted):
        best = _limits(claim, identity, found, world, now)
        if isinstance(best, Grant) and not reasons:
            return _unconfirmed(claim, namespace, world, now) or best
        reasons.extend(best if isinstance(best, list) else [])
        return _refuse(claim, world, limits, reasons, now)
    reasons.extend(_check(identity, claim, None, world))
    if isinstance(found, Claimable):
        if not reasons:
            return Bind(claim.signer, namespace, found.namespace_uid)
        return _refuse(claim, world, limits, reasons, now)
    if found.waits and (claim.route is not None or world.settings.enforces(now)):
        return Unready(found.reason) if not reasons else Refuse(tuple(reasons))
    if not reasons and not fresh:
        return Reread(namespace)
    asked = f"{identity}, asked for by {claim.requester}"
    return _refuse(
        claim,
        world,
        limits,
        [replace(found.reason, message=f"{found.reason.message} ({asked})"), *reasons],
        now,
    )


def _in_route(identity: Identity | Reason, claim: Claim) -> Identity | Reason:
    """Hold the identity against the namespace by which the signer was chosen: that was read before anything was checked."""
    route = claim.route
    if route is None or isinstance(identity, Reason):
        return identity
    if identity.spiffe_id is not None and identity.spiffe_id.namespace == route.namespace:
        return identity
    message = f"{identity} is not in namespace {route.namespace}, by which {claim.signer} was chosen"
    return Reason("UnexpectedContents", message)


def _unconfirmed(claim: Claim, namespace: str, world: World, now: datetime, policy: str = "") -> Confirm | None:
    """Ask whether this very namespace may still have the signer, if nobody looked for a while.

    A watch that is held back still shows a namespace that was deleted and made again by somebody else.
    """
    exists = world.namespaces.get(namespace)
    if world.confirmed is None or exists is None:
        return None
    if claim.route is None and not world.settings.enforces(now):
        return None
    asked = claim.route.asked if claim.route is not None else None
    until = world.confirmed.get((exists.uid, claim.signer, policy, asked))
    if until is not None and timedelta(0) < until - now <= CONFIRMED_FOR:
        return None
    return Confirm(claim.signer, namespace, exists.uid, policy, asked)


def _granted_by_key(
    world: World, namespace: str, ca: CA, now: datetime, *, routed: bool = False
) -> Granted | Claimable | NotGranted:
    """As `granted`, where the CA's key is not another signer's, which the namespace may not have.

    Of a signer that identity chose, nor may what stands above its CA be: the answer brings its root along.
    """
    found = granted(world, namespace, ca.signer, now=now)
    if isinstance(found, NotGranted):
        return found
    by_policy = isinstance(found, Granted) and bool(found.policies)
    taken = _key_of_another(world, namespace, ca, now, by_policy=by_policy)
    if taken is None and routed:
        taken = other_tenants(world, namespace, ca, now)
    return NotGranted(taken) if taken is not None else found


def _key_of_another(world: World, namespace: str, ca: CA, now: datetime, *, by_policy: bool) -> Reason | None:
    """Say that a CA's key is that of another mesh signer which the namespace may not have.

    Whoever is recorded to have signed with it first is not stopped by one that got it later; where nobody is, or both are
    since the same moment, neither gets anything. What SignerPolicies give out on both sides, admins gave out by name
    (`on_purpose`).
    """
    for other in sorted(world.keys.get(ca.key_id, frozenset()) - {ca.signer}):
        if world.signed_before(ca.key_id, ca.signer, other) or (by_policy and on_purpose(world, ca.signer, other)):
            continue
        if isinstance(granted(world, namespace, other, now=now), Granted):
            continue
        message = (
            f"{ca.signer} has the CA key of another signer of the mesh, which namespace {namespace} may not have: an admin "
            "gives it a CA of its own"
        )
        code = SHARED if world.by_identity(namespace) else "TenantMismatch"
        return Reason(code, message, f"the CA key of {ca.signer} is also that of {other}")
    return None


def _requester(claim: Claim, world: World, policies: tuple[Policy, ...]) -> list[Reason]:
    """Check who asked: istiod, for a Pod certificate its node, or for a policy that lists requesters, one of them."""
    usual = claim.resource == "PodCertificateRequest" or claim.requester in world.requesters
    if usual and not any(policy.requesters for policy in policies):
        return []
    if any(claim.requester in policy.requesters for policy in policies):
        return []
    who = claim.requester or "nobody that is known"
    if limiting := [policy.name for policy in policies if policy.requesters]:
        message = (
            f"{who} may not ask {claim.signer}: spec.requesters of SignerPolicy {', '.join(limiting)} does not list it"
        )
    else:
        istiod = ", ".join(sorted(world.requesters)[:3]) or "not known yet"
        message = f"{who} may not ask {claim.signer}: it signs what istiod asks for, which is {istiod}"
    return [Reason("RequesterNotAllowed", message)]


def _check(identity: Identity, claim: Claim, policy: Policy | None, world: World) -> list[Reason]:
    reasons = _requester(claim, world, (policy,) if policy is not None else ())
    if identity.spiffe_id is not None:
        return reasons + rules.check_workload(
            identity.spiffe_id, claim.request, claim.usages, policy, world, claim.requester
        )
    return (
        reasons
        + rules.check_istiod(claim.request, claim.usages, policy, world)
        + rules.check_key(claim.request, policy)
    )


def _limits(claim: Claim, identity: Identity, found: Granted, world: World, now: datetime) -> Grant | list[Reason]:
    """Apply the policies that cover a granted namespace: one that allows the request is enough, the first by name."""
    first: list[Reason] = []
    for policy in found.policies or (None,):
        reasons = _check(identity, claim, policy, world)
        if not reasons:
            return _grant(claim, identity, policy, found, world, now)
        first = first or reasons
    return first


def _grant(
    claim: Claim, identity: Identity, policy: Policy | None, found: Granted, world: World, now: datetime
) -> Grant:
    workload = identity.spiffe_id is not None
    most = world.settings.max_workload_lifetime if workload else MAX_ISTIOD_LIFETIME
    if policy is not None and policy.max_lifetime is not None:
        most = policy.max_lifetime if workload else max(policy.max_lifetime, MIN_ISTIOD_LIFETIME)
    usages = rules.cut_usages(rules.WORKLOAD_USAGES if workload else rules.ISTIOD_USAGES, policy)
    began = claim.created if claim.created is not None and claim.created <= now else now
    return Grant(
        lifetime=_until_ca_ends(claim, rules.cut(claim.lifetime, most), now),
        source=f"{found.source}; by identity: SignerPolicy {claim.route.policy}" if claim.route else found.source,
        policy=policy.name if policy is not None else "",
        mesh=True,
        namespace=identity.spiffe_id.namespace if identity.spiffe_id is not None else world.settings.istio_namespace,
        not_before=(began - BACKDATE).astimezone(UTC).replace(microsecond=0),
        usages=usages,
        append_root=claim.route is not None or (policy is not None and policy.append_root),
        rate=policy.rate if policy is not None else None,
    )


def _until_ca_ends(claim: Claim, lifetime: timedelta, now: datetime) -> timedelta:
    if claim.ca_not_after is None:
        return lifetime
    return max(min(lifetime, claim.ca_not_after - now), _NO_LIFETIME)
