"""Which CA signs for a workload that named none of its own: that of the namespace in its SPIFFE ID.

A SignerPolicy with `route: Identity` makes one signer name the door of many tenants: istiod's K8S_SIGNER, and so ambient,
where no name is sent. The route gives nobody anything. It only says which signer is meant, and the wall decides about that
one as if it had been named; what is missing, made again, or not the only one, is refused with the reason. Pure, a few
look-ups by key however many tenants there are.
"""

from collections.abc import Iterable
from datetime import datetime

from signer.api.issuer import IssuerRef
from signer.api.text import some
from signer.tenancy.grants import Granted, NotGranted, granted, held_back
from signer.tenancy.mesh_cas import CA
from signer.tenancy.verdict import Reason, Route
from signer.tenancy.world import NO_CLAIMS, Namespace, Policy, World

MISSING, AMBIGUOUS, SHARED = "RouteMissing", "RouteAmbiguous", "SharedRoot"
ROOT_NOT_KNOWN = "RootNotKnown"
_SHOWN = 5


def route(world: World, asked: IssuerRef, namespace: str, *, now: datetime) -> Route | NotGranted | None:
    """Tell which signer a namespace has when `asked`, one of `world.routed`, is asked for it.

    None: no policy routes it there, and one gives the namespace the signer itself.
    """
    exists = world.namespaces.get(namespace)
    if exists is None:
        return _no("NamespaceNotFound", f"namespace {namespace} does not exist")
    policies = world.policies.get(asked, ())
    covering = policies if len(policies) == 1 and policies[0].routes_all else _covering(policies, namespace, exists)
    routing = next((policy for policy in covering if policy.by_identity), None)
    if routing is None:
        has = granted(world, namespace, asked, now=now)
        return has if isinstance(has, NotGranted) else None
    for other in covering:
        if not other.by_identity:
            return _no(
                AMBIGUOUS,
                f"SignerPolicy {routing.name} routes {asked} by identity, and SignerPolicy {other.name} gives it to namespace "
                f"{namespace} as it is: an admin takes the namespace out of one of them",
            )
    found = _own(world, asked, namespace, exists, now)
    return found if isinstance(found, NotGranted) else Route(asked, found, namespace, routing.name)


def _covering(policies: Iterable[Policy], namespace: str, exists: Namespace) -> tuple[Policy, ...]:
    return tuple(policy for policy in policies if policy.covers(namespace, exists))


def policies_about(world: World, namespace: str, exists: Namespace) -> tuple[Policy, ...]:
    """Return the SignerPolicies that may cover a namespace: those that name it, and those that ask for labels that it has."""
    found = dict(world.naming.get(namespace, {}))
    # However many policies there are, they ask for few sets of keys.
    for keys, by_values in world.labelling.items():
        values = tuple(exists.labels[key] for key in keys if key in exists.labels)
        if len(values) == len(keys):
            found |= by_values.get(values, {})
    return tuple(found.values())


def other_tenants(world: World, namespace: str, ca: CA, now: datetime) -> Reason | None:
    """Say that a CA is below another tenant's, or below a root that others are below too: who trusts it trusts them.

    istiod gives a workload the root that the answer ends with, whatever it is. What the namespace may have itself is its own.
    """
    above = ca.chain.key_ids if ca.chain is not None else ()
    for key_id in (one for one in above if one != ca.key_id):
        others = world.keys.get(key_id, frozenset()) | world.tops.get(key_id, frozenset())
        for other in sorted(others - {ca.signer}):
            if isinstance(granted(world, namespace, other, now=now), Granted):
                continue
            message = (
                f"the CA of {ca.signer} is below a root that is another tenant's too: the workloads of both would trust each "
                "other. An admin gives it a CA below a root of its own"
            )
            return Reason(SHARED, message, f"the other one is {other}")
    return None


def _own(world: World, asked: IssuerRef, namespace: str, exists: Namespace, now: datetime) -> IssuerRef | NotGranted:
    """Find the one signer of a namespace: what it claims, else what SignerPolicies give it; of Istio's own, the default.

    A claim is not a grant: whether the namespace may have it is decided afterwards.
    """
    claims = world.claims.get(namespace, NO_CLAIMS)
    if claims.malformed:
        where = f"ProxyConfig {claims.speaker.name}" if claims.speaker is not None else "its ProxyConfig"
        return _no(
            MISSING, f"{where} of namespace {namespace} claims what is no issuer's name: that is to be corrected"
        )
    if claims.signers:
        claimed = ({claims.whole} if claims.whole is not None else set(claims.signers)) - world.routed
        if len(claimed) == 1:
            return claimed.pop()
        if claimed:
            return _several(claimed, namespace, "claims", "one ProxyConfig without a selector says which one is meant")
    about = policies_about(world, namespace, exists)
    given: set[IssuerRef] = set()
    for policy in about:
        if not policy.by_identity and policy.covers(namespace, exists):
            given |= policy.signers
    given -= world.routed
    if len(given) == 1:
        return given.pop()
    if given:
        mend = "a ProxyConfig of the namespace names the one that is meant, or an admin takes it out of a policy"
        return _several(given, namespace, "is given", mend)
    for policy in about:  # why one that names it does not give it anything
        signer = min(policy.signers - world.routed, default=None)
        held = held_back((policy,), namespace, exists, signer) if signer is not None else None
        if held is not None:
            return held
    if namespace == world.settings.istio_namespace and (istios := _istios(world, namespace, now)) is not None:
        return istios
    return _no(
        MISSING,
        f"namespace {namespace} has no signer of its own, and what is asked of {asked} is signed by the namespace's own CA: an "
        "admin gives it one by a SignerPolicy, or it claims one by a ProxyConfig",
    )


def _istios(world: World, namespace: str, now: datetime) -> IssuerRef | None:
    """Return what Istio's own namespace has without a claim or a policy: the mesh's default, or the signer of its name."""
    defaults = world.defaults - world.routed
    found = next(iter(defaults)) if len(defaults) == 1 else IssuerRef("ClusterIssuer", "", namespace)
    has = found not in world.routed and isinstance(granted(world, namespace, found, now=now), Granted)
    return found if has else None


def _several(signers: set[IssuerRef], namespace: str, how: str, mend: str) -> NotGranted:
    names = some(map(str, sorted(signers)), _SHOWN)
    return _no(
        AMBIGUOUS, f"namespace {namespace} {how} several signers ({names}), and which CA is meant is not known: {mend}"
    )


def _no(code: str, message: str) -> NotGranted:
    return NotGranted(Reason(code, message))
