"""Do both hands hold? The server's tenant says who may come (a Wish), an admin says that it may be said (a BridgePolicy).

Pure. Nothing here is a signature: the wall (signer/tenancy/decide.py) is asked for each certificate, with the Bridge that
comes out of this.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from issuers.spiffe import SpiffeId
from signer.api.meta import to_rfc3339
from signer.bridges.read import BridgePolicy, Wish
from signer.tenancy.verdict import Bridge, Reason
from signer.tenancy.world import Namespace

INVALID = "Invalid"
ENDED = "Ended"
NOT_ALLOWED = "NotAllowed"
NOT_RECORDED = "NamespaceNotRecorded"
REMADE = "NamespaceRemade"
NO_NAMESPACE = "NamespaceNotFound"
NO_TRUST_DOMAIN = "TrustDomainMismatch"


@dataclass(frozen=True, slots=True)
class Denied:
    """There is to be no bridge; what was built is taken away. `waits`: not yet, and what stands may stand."""

    reason: Reason
    waits: bool = False


def allowed(
    wish: Wish,
    policies: Iterable[BridgePolicy],
    namespaces: Mapping[str, Namespace],
    trust_domains: frozenset[str],
    *,
    built_for: str,
    now: datetime,
) -> Bridge | Denied:
    """Tell whether there may be a bridge now, and within which limits.

    `namespaces` are those that exist, `trust_domains` the mesh's. `built_for` is the uid of the client's namespace that
    the bridge was first allowed for, "" for none so far. Of several policies that allow it the first by name counts.
    """
    if wish.problem:
        return _no(INVALID, wish.problem)
    if wish.ends is not None and now >= wish.ends:
        return _no(ENDED, f"it ended at {to_rfc3339(wish.ends)}, as spec.endTime says")
    server, client = namespaces.get(wish.namespace), namespaces.get(wish.client_namespace)
    if server is None or client is None:
        named = (
            wish.namespace
            if server is None
            else f"{wish.client_namespace} (spec.client.namespace): make it, or correct the name"
        )
        return _no(NO_NAMESPACE, f"there is no namespace {named}")
    if built_for and built_for != client.uid:
        message = (
            f"namespace {wish.client_namespace} was deleted and made again since this bridge was built: if it is the same "
            "client's, delete this TenantBridge and make it anew"
        )
        return _no(REMADE, message)
    first: Denied | None = None
    for policy in sorted(policies, key=lambda one: one.name):
        found = _within(policy, wish, server, client, trust_domains, now)
        if isinstance(found, Bridge):
            return found
        if found is not None and (first is None or _rank(found) < _rank(first)):
            first = found
    if first is not None:
        return first
    who = f"{wish.client_namespace}/{wish.client_account}"
    # Which policies there are is not for whoever writes a bridge: they are the admins'.
    return _no(
        NOT_ALLOWED,
        f"no TenantBridgePolicy lets {who} reach namespace {wish.namespace}: an admin writes one",
    )


def _rank(denied: Denied) -> int:
    """What is about to pass is told first, and last that a policy is over: another says what would help."""
    return 0 if denied.waits else 2 if denied.reason.code == ENDED else 1


def _no(code: str, message: str, *, waits: bool = False) -> Denied:
    return Denied(Reason(code, message), waits)


def _within(
    policy: BridgePolicy,
    wish: Wish,
    server: Namespace,
    client: Namespace,
    trust_domains: frozenset[str],
    now: datetime,
) -> Bridge | Denied | None:
    """Return what a policy allows, why it does not, or None for one that is not about these two."""
    if policy.problem or not policy.serves(wish.namespace, server):
        return None
    if (wish.client_namespace, wish.client_account) not in policy.clients:
        return None
    if policy.ends is not None and now >= policy.ends:
        return _no(ENDED, f"TenantBridgePolicy {policy.name} ended at {to_rfc3339(policy.ends)}")
    # What labels cover has no record: an admission policy keeps others from setting them.
    named = [(wish.client_namespace, client)] + ([] if policy.labelled(server) else [(wish.namespace, server)])
    for name, there in named:
        if (wrong := _other(policy, name, there)) is not None:
            return wrong
    if wish.wildcards and not policy.wildcards:
        message = (
            f"spec.hosts: {wish.wildcards[0]} is every service of the namespace, and TenantBridgePolicy {policy.name} "
            "does not allow that (spec.allowWildcardHosts): name the services"
        )
        return _no(NOT_ALLOWED, message)
    domain = policy.trust_domain or (min(trust_domains) if len(trust_domains) == 1 else "")
    if domain not in trust_domains:
        known = ", ".join(sorted(trust_domains)) or "not known"
        message = f"the mesh's trust domains are {known}: an admin sets one in spec.trustDomain of TenantBridgePolicy {policy.name}"
        return _no(NO_TRUST_DOMAIN, message)
    ends = [one for one in (wish.ends, policy.ends) if one is not None]
    return Bridge(
        name=wish.full_name,
        policy=policy.name,
        server=wish.namespace,
        server_uid=server.uid,
        client=SpiffeId(domain, wish.client_namespace, wish.client_account),
        client_uid=client.uid,
        lifetime=min(wish.lifetime, policy.max_lifetime),
        ends=min(ends) if ends else None,
    )


def _other(policy: BridgePolicy, name: str, there: Namespace) -> Denied | None:
    """Say that a namespace that a policy names is not the recorded one."""
    if policy.remade_allowed:
        return None
    recorded = policy.namespace_uids.get(name)
    if not recorded:
        message = (
            f"TenantBridgePolicy {policy.name} names namespace {name}, and its status does not say yet which one that is: "
            "mesh-signer writes it in a moment, and builds nothing before"
        )
        return _no(NOT_RECORDED, message, waits=True)
    if recorded != there.uid:
        message = (
            f"TenantBridgePolicy {policy.name} was about an earlier namespace {name}, which was deleted and made again: if "
            f"it is the same tenant's, an admin runs mesh-signer tenants readmit {name}, or sets spec.remade: Allow"
        )
        return _no(REMADE, message)
    return None
