"""What a certificate for a bridge between tenants may be: the client's own identity, for client auth, and no longer than both hands say.

Which bridges there are is decided before (signer/bridges/decide.py); here the wall holds each certificate against its own.
Pure. docs/bridges.md tells the whole.
"""

from datetime import datetime, timedelta

from signer.tenancy import rules
from signer.tenancy.verdict import Bridge, Claim, Grant, Reason
from signer.tenancy.world import Policy, World

BRIDGE_USAGES = ("digital signature", "client auth")
"""What a client needs; a server's certificate made of it would be refused."""
_CLIENT_AUTH = "client auth"


def check_bridge(claim: Claim, bridge: Bridge, world: World, now: datetime) -> list[Reason]:
    """Check who it is for, that both namespaces still are those that the bridge was allowed for, and what is asked."""
    reasons = []
    identity = rules.identify(claim.request)
    if isinstance(identity, Reason):
        reasons.append(identity)
    elif identity.spiffe_id != bridge.client:
        reasons.append(
            Reason("IdentityNotAllowed", f"TenantBridge {bridge.name} is for {bridge.client}, not {identity}")
        )
    if bridge.client.trust_domain not in world.config.trust_domains:
        known = " or ".join(sorted(world.config.trust_domains)) or "not known"
        message = f"trust domain {bridge.client.trust_domain} is not the mesh's, which is {known}"
        reasons.append(Reason("TrustDomainMismatch", message))
    for name, uid in ((bridge.server, bridge.server_uid), (bridge.client.namespace, bridge.client_uid)):
        there = world.namespaces.get(name)
        if there is None or there.uid != uid:
            message = f"namespace {name} is not the one that TenantBridge {bridge.name} was allowed for"
            reasons.append(Reason("NamespaceRemade", message))
    if bridge.server == bridge.client.namespace:
        reasons.append(Reason("SameNamespace", f"TenantBridge {bridge.name} leads from {bridge.server} to itself"))
    if claim.is_ca or claim.usages != BRIDGE_USAGES:
        reasons.append(Reason("UsagesNotAllowed", f"a bridge's certificate is for {', '.join(BRIDGE_USAGES)} only"))
    if not claim.ca_key_id:
        reasons.append(Reason("SignerTypeNotAllowed", f"{claim.signer} has no CA: it cannot be a signer of the mesh"))
    elif claim.signer not in world.signers:
        reasons.append(Reason("NotAMeshSigner", f"{claim.signer} is not a signer of the mesh"))
    if bridge.ends is not None and now >= bridge.ends:
        reasons.append(Reason("Ended", f"TenantBridge {bridge.name} ended at {bridge.ends:%Y-%m-%dT%H:%M:%SZ}"))
    return reasons


def within_policies(claim: Claim, bridge: Bridge, policies: tuple[Policy, ...]) -> tuple[timedelta, list[Reason]]:
    """Hold a bridge's certificate within the SignerPolicies that give the signer to the server: one is enough, the first by name.

    Returns the longest lifetime, and why none allows it. serviceAccounts and requesters of a policy are about the
    server's own workloads.
    """
    first: list[Reason] = []
    for policy in policies or (None,):
        reasons = rules.check_key(claim.request, policy)
        if policy is not None and policy.usages and _CLIENT_AUTH not in policy.usages:
            message = f"spec.usages of SignerPolicy {policy.name} does not allow client auth"
            reasons.append(Reason("UsagesNotAllowed", message))
        if policy is not None and policy.trust_domains and bridge.client.trust_domain not in policy.trust_domains:
            message = f"spec.trustDomains of SignerPolicy {policy.name} lacks {bridge.client.trust_domain}"
            reasons.append(Reason("TrustDomainMismatch", message))
        if not reasons:
            most = policy.max_lifetime if policy is not None else None
            return (bridge.lifetime if most is None else min(bridge.lifetime, most)), []
        first = first or reasons
    return bridge.lifetime, first


def until(lifetime: timedelta, ends: datetime | None, now: datetime) -> timedelta:
    """Cut a lifetime so that what begins now does not outlive the bridge."""
    return lifetime if ends is None else min(lifetime, max(ends - now, timedelta(seconds=1)))


def grant_of(bridge: Bridge, lifetime: timedelta, not_before: datetime) -> Grant:
    """Return the grant: everything of the certificate but its key is said by it and `bridge.client`."""
    return Grant(
        lifetime=lifetime,
        source=f"TenantBridge {bridge.name}, within TenantBridgePolicy {bridge.policy}",
        mesh=True,
        namespace=bridge.server,
        not_before=not_before,
        usages=BRIDGE_USAGES,
    )
