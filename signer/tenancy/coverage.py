"""What SignerPolicies come to, for their status: which namespaces each covers, and where two say different things. Pure.

A decision never asks here: it takes the covering policies in the order of their names, and one that allows a request is
enough (decide.py). So an overlap with other limits is not an error, but seldom what was meant; it is told on each of them.
The cost grows with what is covered, not with policies times namespaces; it runs after changes, never for a request.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meta import set_condition
from signer.api.signerpolicy import SignerPolicyStatus
from signer.tenancy.world import MIN_ISTIOD_LIFETIME, Namespace, Policy

READY = "Ready"
CONFLICT = "Conflict"
FIRST_NAMES = 10
_SHOWN = 5
_SHOWN_CONFLICTS = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another policy covers the same namespaces for the same signer, with other limits. `namespace`: the first by name."""

    policy: str
    signer: IssuerRef
    namespace: str
    namespaces: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one policy comes to: namespaces that exist, by name; signers that do not; overlaps with others.

    `remade` are namespaces that it names and that are others by now; `istiod` whether Istio's own is among those covered.
    """

    namespaces: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    istiod: bool = False
    missing: tuple[IssuerRef, ...] = ()
    overlaps: tuple[Overlap, ...] = ()


def read_coverage(
    policies: Iterable[Policy],
    namespaces: Mapping[str, Namespace],
    issuers: frozenset[IssuerRef],
    *,
    istio_namespace: str = "",
) -> dict[str, Coverage]:
    """Tell what each policy comes to, by its name. `issuers` are all that exist, whether they can sign or not."""
    listed = sorted(policies, key=lambda one: one.name)
    labelled: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, namespace in namespaces.items():
        for label in namespace.labels.items():
            labelled[label].add(name)
    covered = {policy.name: _covered(policy, namespaces, labelled) for policy in listed}
    overlaps = _overlaps(listed, covered)
    return {
        policy.name: Coverage(
            namespaces=tuple(sorted(covered[policy.name])),
            remade=tuple(
                sorted(name for name in policy.namespaces if policy.reach(name, namespaces.get(name)) == "remade")
            ),
            istiod=istio_namespace in covered[policy.name],
            missing=tuple(sorted(policy.signers - issuers)),
            overlaps=tuple(overlaps.get(policy.name, ())),
        )
        for policy in listed
    }


def _covered(
    policy: Policy, namespaces: Mapping[str, Namespace], labelled: Mapping[tuple[str, str], set[str]]
) -> set[str]:
    """Policy.covers for all namespaces at once, by look-up."""
    if policy.problem:
        return set()
    found = {name for name in policy.namespaces if policy.covers(name, namespaces.get(name))}
    if policy.namespace_labels:
        found |= set.intersection(*(labelled.get(label, set()) for label in policy.namespace_labels.items()))
    return found


def _overlaps(listed: list[Policy], covered: Mapping[str, set[str]]) -> dict[str, list[Overlap]]:
    by_signer: dict[IssuerRef, list[Policy]] = defaultdict(list)
    for policy in listed:
        for signer in policy.signers:
            by_signer[signer].append(policy)
    found: dict[str, list[Overlap]] = defaultdict(list)
    for signer in sorted(by_signer):
        together: dict[tuple[str, str], list[str]] = defaultdict(list)
        holders: dict[str, list[Policy]] = defaultdict(list)
        for policy in by_signer[signer]:
            for name in covered[policy.name]:
                for other in holders[name]:
                    if _limits(other) != _limits(policy):
                        together[other.name, policy.name].append(name)
                holders[name].append(policy)
        for (first, second), names in sorted(together.items()):
            found[first].append(Overlap(second, signer, min(names), len(names)))
            found[second].append(Overlap(first, signer, min(names), len(names)))
    return found


def _limits(policy: Policy) -> tuple[object, ...]:
    """What a policy says beyond whom it covers."""
    return (
        policy.requesters,
        policy.trust_domains,
        policy.service_accounts,
        frozenset(policy.dns_names),
        policy.max_lifetime,
        frozenset(policy.keys),
        policy.usages,
        policy.allow_ca,
        policy.append_root,
        policy.rate,
        policy.certificate_requests,
    )


def policy_status(
    old: SignerPolicyStatus,
    policy: Policy,
    coverage: Coverage,
    *,
    generation: int,
    now: datetime,
) -> SignerPolicyStatus:
    """Return the status to write, with the counts of the old one; equal to it when there is nothing to write."""
    ready, reason, message = _ready(policy, coverage)
    conditions = set_condition(
        old.conditions, READY, ready, reason=reason, message=message, now=now, generation=generation
    )
    overlap = bool(coverage.overlaps)
    conditions = set_condition(
        conditions,
        CONFLICT,
        "True" if overlap else "False",
        reason="OverlappingPolicies" if overlap else "NoOverlap",
        message=_conflict(coverage.overlaps),
        now=now,
        generation=generation,
    )
    return msgspec.structs.replace(
        old,
        conditions=conditions,
        namespace_count=len(coverage.namespaces),
        namespaces=coverage.namespaces[:FIRST_NAMES],
    )


def _ready(policy: Policy, coverage: Coverage) -> tuple[str, str, str]:
    if policy.problem:
        return "False", "InvalidSpec", f"{policy.problem}. It grants nothing, and nobody else gives out its signers"
    if coverage.missing:
        names = ", ".join(map(str, coverage.missing[:_SHOWN]))
        more = f" and {len(coverage.missing) - _SHOWN} more" if len(coverage.missing) > _SHOWN else ""
        verb = "does" if len(coverage.missing) == 1 else "do"
        return "False", "SignerNotFound", f"spec.signers: {names}{more} {verb} not exist"
    if coverage.remade:
        names = ", ".join(coverage.remade[:_SHOWN])
        more = f" and {len(coverage.remade) - _SHOWN} more" if len(coverage.remade) > _SHOWN else ""
        message = (
            f"spec.namespaces.names: {names}{more} was deleted and made again, and has nothing by it: if it is the same "
            f"tenant's, mesh-signer tenants readmit {coverage.remade[0]}, or set spec.namespaces.remade: Allow"
        )
        return "False", "NamespaceRemade", message
    if coverage.istiod and policy.max_lifetime is not None and policy.max_lifetime < MIN_ISTIOD_LIFETIME:
        message = (
            f"spec.maxLifetime: {policy.max_lifetime} is too short for istiod's own certificate, which is given "
            f"{MIN_ISTIOD_LIFETIME}: write a policy of its own for Istio's namespace"
        )
        return "False", "LifetimeTooShort", message
    count = len(coverage.namespaces)
    return "True", "Accepted", f"covers {count} namespace{'' if count == 1 else 's'}"


def _conflict(overlaps: tuple[Overlap, ...]) -> str:
    if not overlaps:
        return "no other policy says otherwise about the same signer and namespace"
    told = "; ".join(
        f"SignerPolicy {one.policy} gives {one.signer} to {_where(one)} with other limits"
        for one in overlaps[:_SHOWN_CONFLICTS]
    )
    more = f"; and {len(overlaps) - _SHOWN_CONFLICTS} more" if len(overlaps) > _SHOWN_CONFLICTS else ""
    return f"{told}{more}. Of those that allow a request the first by name counts"


def _where(one: Overlap) -> str:
    return f"namespace {one.namespace}" + (f" and {one.namespaces - 1} more" if one.namespaces > 1 else "")
