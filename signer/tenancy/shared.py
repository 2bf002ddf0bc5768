"""Which signers of the mesh have a CA, or a root, in common with those of somebody else. Pure.

Workloads trust a root, so tenants below one root trust each other, whichever signers they have: an organization's root that
several tenants' CAs are below is no wall. The same CA behind two signers is mostly a wrong `secretName`.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.text import some
from signer.tenancy.world import World

EVERYBODY = "*"
"""Stands for the namespaces that claim no signer."""
_SHOWN = 5


class SharedRoot(msgspec.Struct, frozen=True):
    """Signers with different holders whose roots in the mesh config have one key."""

    key_id: str
    signers: tuple[IssuerRef, ...]

    def __str__(self) -> str:
        return (
            f"{some(map(str, self.signers), _SHOWN)} have one root in meshConfig.caCertificates and are of different tenants, whose workloads so trust "
            "each other: an admin gives each a CA below a root of its own"
        )


def holders(world: World, signer: IssuerRef) -> frozenset[str]:
    """Name the namespaces that have a signer: by its policies, as an Issuer, as everybody's, by ownership or claim."""
    if named := world.policies.get(signer):
        # A route gives nobody the CA of the name that is asked.
        policies = [policy for policy in named if not policy.by_identity]
        labelled = (
            name
            for policy in policies
            if policy.namespace_labels
            for name, one in world.namespaces.items()
            if policy.covers(name, one)
        )
        return frozenset().union(*(policy.namespaces for policy in policies)).union(labelled)
    if signer.kind == "Issuer":
        return frozenset({signer.namespace})
    if signer in world.defaults:
        return frozenset({EVERYBODY})
    if (binding := world.bindings.get(signer)) is not None and not binding.problem:
        return frozenset({binding.namespace})
    return world.claimants.get(signer, frozenset())


def shared_roots(world: World) -> tuple[SharedRoot, ...]:
    """Find the roots of the mesh config that signers with different holders have in common."""
    having: dict[str, set[IssuerRef]] = defaultdict(set)
    for signer, roots in world.roots.items():
        for key_id in roots.key_ids:
            having[key_id].add(signer)
    found = []
    for key_id, signers in sorted(having.items()):
        held = {signer: of for signer in signers if (of := holders(world, signer))} if len(signers) > 1 else {}
        if len(set(held.values())) > 1:
            found.append(SharedRoot(key_id, tuple(sorted(held))))
    return tuple(found)


def by_key(keys: Mapping[IssuerRef, str]) -> dict[str, frozenset[IssuerRef]]:
    """Turn round which key each signer's CA has: which signers have each key."""
    found: dict[str, set[IssuerRef]] = defaultdict(set)
    for signer, key_id in keys.items():
        found[key_id].add(signer)
    return {key_id: frozenset(signers) for key_id, signers in found.items()}


def on_purpose(world: World, signer: IssuerRef, other: IssuerRef) -> bool:
    """Tell whether admins had two signers share a CA: SignerPolicies give out both by name.

    Not where identity chooses the CA of somebody who has one of them: there a tenant is nothing but its CA, and two
    tenants with one are a slip. A signer that nobody has, as only a route names it, is nobody else's.
    """
    if signer not in world.policies or other not in world.policies:
        return False
    if not world.routed:
        return True
    theirs = holders(world, other)
    return not theirs or not any(map(world.by_identity, holders(world, signer) | theirs))


def has_the_ca_of(
    world: World, signer: IssuerRef, key_id: str, others: Mapping[str, frozenset[IssuerRef]]
) -> IssuerRef | None:
    """Return the signer of somebody else that has, or had, a CA of this key, and did not get it after this signer; else None.

    `others` are the signers that are to become the mesh's together with this one, by key (`by_key`).
    """
    having = world.keys.get(key_id, frozenset()) | others.get(key_id, frozenset())
    for other in sorted(having - {signer}):
        if world.signed_before(key_id, signer, other):
            continue
        if on_purpose(world, signer, other):
            continue
        if holders(world, other) != holders(world, signer):
            return other
    return None
