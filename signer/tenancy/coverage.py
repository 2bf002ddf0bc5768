"""What SignerPolicies come to, for their status: which namespaces each covers, and where two say different things. Pure.

A decision never asks here: it takes the covering policies in the order of their names, and one that allows a request is
enough (decide.py). So an overlap with other limits is not an error, but seldom what was meant; it is told on each of them.
The cost grows with what is covered, not with policies times namespaces; it runs after changes, never for a request.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meta import set_condition
from signer.api.signerpolicy import SignerPolicyStatus
from signer.api.text import some
from signer.tenancy.policies import remarks, shut_out
from signer.tenancy.routes import MISSING
from signer.tenancy.verdict import Reason
from signer.tenancy.world import MIN_ISTIOD_LIFETIME, Namespace, Policy, World

READY = "Ready"
CONFLICT = "Conflict"
FIRST_NAMES = 10
_SHOWN = 5
_SHOWN_CONFLICTS = 3
_SHOWN_REFUSALS = 3


class Overlap(msgspec.Struct, frozen=True):
    """Another policy covers the same namespaces for the same signer, with other limits. `namespace`: the first by name."""

    policy: str
    signer: IssuerRef
    namespace: str
    namespaces: int


class Lost(msgspec.Struct, frozen=True):
    """A signer that these namespaces would have without SignerPolicies, and that no policy gives them.

    `default`: it is the mesh's default, so that all have lost it who claim none and are not covered. `istiod`: istiod is one of
    those who have lost it, and gets no certificate of its own when it starts the next time.
    """

    signer: IssuerRef
    namespaces: tuple[str, ...]
    default: bool = False
    istiod: bool = False


class Coverage(msgspec.Struct, frozen=True):
    """What one policy comes to: namespaces that exist, by name; signers that do not; overlaps with others.

    `remade` are namespaces that it names and that are others by now; `istiod` whether Istio's own is among those covered.
    `in_vain`: it asks for namespaces, and none is what it asks for; `lost` says who loses which of its signers;
    `shut_out` which of its limits no workload of the mesh meets. `refused` has those of its namespaces that get nothing by identity,
    and why; that one has no signer at all is told on the policy that routes it.
    """

    namespaces: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    istiod: bool = False
    missing: tuple[IssuerRef, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    in_vain: bool = False
    lost: tuple[Lost, ...] = ()
    shut_out: tuple[Reason, ...] = ()
    refused: tuple[tuple[str, Reason], ...] = ()


def would_have(world: World, signer: IssuerRef) -> frozenset[str]:
    """Name the namespaces that would have a signer if no SignerPolicy named it, beside those that have the mesh's default.

    That of an Issuer; else the owner; where there is none, whoever would become it by his claim.
    """
    if signer.kind == "Issuer":
        return frozenset({signer.namespace} & world.namespaces.keys())
    binding = world.bindings.get(signer)
    if binding is not None:
        there = world.namespaces.get(binding.namespace)
        owns = not binding.problem and there is not None and there.uid == binding.namespace_uid
        return frozenset({binding.namespace}) if owns else frozenset()
    claimants = world.claimants.get(signer, frozenset())
    if signer.name in world.namespaces:
        claimants &= {signer.name}
    return claimants if len(claimants) == 1 else frozenset()


def read_coverage(  # noqa: PLR0913 - each is one fact of the mesh
    policies: Iterable[Policy],
    namespaces: Mapping[str, Namespace],
    issuers: frozenset[IssuerRef],
    *,
    istio_namespace: str = "",
    holders: Callable[[IssuerRef], frozenset[str]] = lambda _: frozenset(),
    defaults: frozenset[IssuerRef] = frozenset(),
    trust_domains: frozenset[str] = frozenset(),
    istiods: frozenset[str] = frozenset(),
    refused: Mapping[str, Reason] | None = None,
) -> dict[str, Coverage]:
    """Tell what each policy comes to, by its name. `issuers` are all that exist, whether they can sign or not.

    `holders` tells who would have a signer without policies (`would_have`), `defaults` are the mesh's, and so are
    `trust_domains`; `istiods` are the users that ask for workloads; `refused` says by namespace why it gets nothing by identity.
    """
    listed = sorted(policies, key=lambda one: one.name)
    labelled: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, namespace in namespaces.items():
        for label in namespace.labels.items():
            labelled[label].add(name)
    covered = {policy.name: _covered(policy, namespaces, labelled) for policy in listed}
    overlaps = _overlaps(listed, covered)
    lost = _lost(listed, namespaces, covered, holders, defaults, istio_namespace)
    return {
        policy.name: Coverage(
            namespaces=tuple(sorted(covered[policy.name])),
            remade=tuple(
                sorted(name for name in policy.namespaces if policy.reach(name, namespaces.get(name)) == "remade")
            ),
            istiod=istio_namespace in covered[policy.name],
            missing=() if policy.by_identity else tuple(sorted(policy.signers - issuers)),
            overlaps=tuple(overlaps.get(policy.name, ())),
            in_vain=_in_vain(policy, namespaces, covered[policy.name]),
            lost=tuple(one for signer in sorted(policy.signers) if (one := lost.get(signer)) is not None),
            shut_out=shut_out(policy, trust_domains, istiods),
            refused=tuple(
                (name, reason)
                for name, reason in sorted((refused or {}).items())
                if name in covered[policy.name] and (policy.by_identity or reason.code != MISSING)
            ),
        )
        for policy in listed
    }


def _covered(
    policy: Policy, namespaces: Mapping[str, Namespace], labelled: Mapping[tuple[str, str], set[str]]
) -> set[str]:
    """Policy.covers for all namespaces at once, by look-up."""
    if policy.problem:
        return set()
    if policy.routes_all:
        return set(namespaces)
    found = {name for name in policy.namespaces if policy.covers(name, namespaces.get(name))}
    if policy.namespace_labels:
        found |= set.intersection(*(labelled.get(label, set()) for label in policy.namespace_labels.items()))
    return found


def _in_vain(policy: Policy, namespaces: Mapping[str, Namespace], covered: set[str]) -> bool:
    """Whether a policy asks for namespaces and there are none such. What is about to be recorded is there."""
    asks = bool(policy.namespaces or policy.namespace_labels) and not policy.problem
    return asks and not covered and not any(name in namespaces for name in policy.namespaces)


def _lost(
    listed: list[Policy],
    namespaces: Mapping[str, Namespace],
    covered: Mapping[str, set[str]],
    holders: Callable[[IssuerRef], frozenset[str]],
    defaults: frozenset[IssuerRef],
    istio_namespace: str,
) -> dict[IssuerRef, Lost]:
    reached: dict[IssuerRef, set[str]] = defaultdict(set)
    for policy in listed:
        soon = set() if policy.problem else {name for name in policy.namespaces if name in namespaces}
        for signer in policy.signers:
            # One that was made again is told as such.
            reached[signer] |= covered[policy.name] | soon
    found = {}
    for_all = {signer for policy in listed if policy.routes_all for signer in policy.signers}
    for signer, names in reached.items():
        if signer in for_all:
            continue
        left = tuple(sorted(holders(signer) - names))
        # By the rules of grants.py istiod has the mesh's default, and the signer that has its namespace's name.
        istiods = signer in defaults or (signer.kind, signer.name) == ("ClusterIssuer", istio_namespace)
        istiod = istiods and istio_namespace in namespaces and istio_namespace not in names
        if left or istiod or signer in defaults:
            found[signer] = Lost(signer, left, default=signer in defaults, istiod=istiod)
    return found


def _overlaps(listed: list[Policy], covered: Mapping[str, set[str]]) -> dict[str, list[Overlap]]:
    by_signer: dict[IssuerRef, list[Policy]] = defaultdict(list)
    for policy in listed:
        for signer in policy.signers:
            by_signer[signer].append(policy)
    found: dict[str, list[Overlap]] = defaultdict(list)
    limits = {policy.name: _limits(policy) for policy in listed}
    for signer in sorted(by_signer):
        together: dict[tuple[str, str], list[str]] = defaultdict(list)
        holders: dict[str, list[Policy]] = defaultdict(list)
        for policy in by_signer[signer]:
            for name in covered[policy.name]:
                for other in holders[name]:
                    if limits[other.name] != limits[policy.name]:
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
        policy.route,
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
        names = some(map(str, coverage.missing), _SHOWN)
        verb = "does" if len(coverage.missing) == 1 else "do"
        return "False", "SignerNotFound", f"spec.signers: {names} {verb} not exist"
    if coverage.remade:
        message = (
            f"spec.namespaces.names: {some(coverage.remade, _SHOWN)} was deleted and made again, and has nothing by it: if it is the same "
            f"tenant's, mesh-signer tenants readmit {coverage.remade[0]}, or set spec.namespaces.remade: Allow"
        )
        return "False", "NamespaceRemade", message
    if coverage.istiod and policy.max_lifetime is not None and policy.max_lifetime < MIN_ISTIOD_LIFETIME:
        message = (
            f"spec.maxLifetime: {policy.max_lifetime} is too short for istiod's own certificate, which is given "
            f"{MIN_ISTIOD_LIFETIME}: write a policy of its own for Istio's namespace"
        )
        return "False", "LifetimeTooShort", message
    if (nothing := _nothing(policy, coverage)) is not None:
        return nothing
    lost = "; ".join(loses(one) for one in coverage.lost[:_SHOWN])
    if seldom := (*(one.message for one in coverage.shut_out), *remarks(policy)):
        lost = "; ".join(filter(None, (lost, *seldom)))
    if coverage.in_vain:
        message = (
            f"spec.namespaces: {_asked(policy)}. By this policy nobody has {_some(map(str, sorted(policy.signers)))}"
        )
        until = "until there is such a namespace, or the policy is corrected or deleted"
        return "False", "CoversNobody", f"{message}, {until}{f': {lost}' if lost else ''}"
    count = len(coverage.namespaces)
    message = f"{'routes' if policy.by_identity else 'covers'} {count} namespace{'' if count == 1 else 's'}"
    if coverage.refused:
        names = some([f"{name} ({reason.code})" for name, reason in coverage.refused], _SHOWN)
        message += f", of which {len(coverage.refused)} get nothing: {names}"
    return "True", "Accepted", f"{message}; {lost}" if lost else message


def _nothing(policy: Policy, coverage: Coverage) -> tuple[str, str, str] | None:
    """Say that namespaces get nothing by identity: on the tenant's own policy, and on a route that names one without a signer.

    A route for all namespaces is about those that are not in the mesh, too.
    """
    found = [
        (name, reason)
        for name, reason in coverage.refused
        if not policy.by_identity or (reason.code == MISSING and name in policy.namespaces)
    ]
    if not found:
        return None
    told = (f"namespace {name}: {one.message}{f' ({one.others})' if one.others else ''}" for name, one in found)
    return "False", found[0][1].code, some(list(told), _SHOWN_REFUSALS)


def _asked(policy: Policy) -> str:
    """What a policy asks for that is not there."""
    found = []
    if policy.namespaces:
        found.append(f"there is no namespace {_some(sorted(policy.namespaces), 'or')}")
    if policy.namespace_labels:
        labels = _some([f"{key}={value}" for key, value in sorted(policy.namespace_labels.items())])
        found.append(f"no namespace has the label{'s' if len(policy.namespace_labels) > 1 else ''} {labels}")
    return ", and ".join(found)


def loses(lost: Lost) -> str:
    """Say who is refused a signer by the policies that name it."""
    who = []
    if lost.istiod:
        who.append("istiod itself, which gets no certificate at its next start, and with it the whole mesh")
    if lost.namespaces:
        who.append(f"namespace{'s' if len(lost.namespaces) > 1 else ''} {_some(lost.namespaces)}, which would have it")
    if lost.default:
        who.append("whoever claims no signer, as it is the mesh's default")
    return f"{lost.signer} is refused to {', and to '.join(who)}, where no policy covers it"


def _some(names: Iterable[str], word: str = "and") -> str:
    listed = list(names)
    shown = listed[:_SHOWN] + ([f"{len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {word} {shown[-1]}"


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
