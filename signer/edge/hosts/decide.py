"""Who may have a certificate for which public host: claims, first come first served, and the admins' EdgePolicies.

Pure: what must be stored first is a verdict of its own. It is asked wherever an Order is made, whoever asks and however
the name is to be proven: a Certificate written by hand, with DNS-01, for a neighbour's host passes here like any other.
First means first stored by us, by an atomic create; creationTimestamps of users' objects
count for nothing. One process at a time makes claims (the leader), so that a wildcard and a name below it cannot be
claimed at once by two namespaces.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signer.api.certificate import IssuerReference
from signer.api.hostclaim import HOST_CLAIMS, HostClaim
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.names import is_label
from signer.api.text import capped, shown
from signer.edge.host import MAX_NAMES, Host, read_host
from signer.edge.hosts.policy import HostPolicy, Policies, deciding, indexed
from signer.edge.hosts.retention import KEPT
from signer.tenancy.verdict import Reason, Refuse, Unready
from signer.tenancy.world import Rate

MOST_HOSTS = 500
"""Hosts that a namespace has without an EdgePolicy: nobody proves that he has a host before he claims it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A HostClaim as it is used. With a `problem` the host is nobody's until an admin mends or removes the object.

    `made`: when it was stored, or given back to a namespace made again: since when the namespace has the host.
    """

    host: Host
    namespace: str
    namespace_uid: str
    unused_since: datetime | None = None
    problem: str = ""
    made: datetime | None = None


class ClaimIndex(Mapping[str, Claim]):
    """Claims by the names of their objects, by namespace, and by the names that they are below.

    Tenants choose how many there are, and one look asks about thousands of hosts: a question is a few look-ups.
    Changed on the loop, by whoever made it.
    """

    def __init__(self, claims: Mapping[str, Claim] | None = None) -> None:
        self.of_namespace: dict[str, set[str]] = {}
        self._claims: dict[str, Claim] = {}
        self._below: dict[str, set[str]] = {}
        self._counts: dict[str, tuple[object, dict[tuple[str, str], int]]] = {}
        for name, claim in (claims or {}).items():
            self.put(name, claim)

    def __getitem__(self, name: str) -> Claim:
        """The claim of this object."""
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        """The objects' names."""
        return iter(self._claims)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._claims)

    def put(self, name: str, claim: Claim) -> None:
        """Have this claim under this name, whatever was there."""
        self.drop(name)
        self._claims[name] = claim
        self.of_namespace.setdefault(claim.namespace, set()).add(name)
        self._counts.pop(claim.namespace, None)
        for above in _and_above(claim.host.name):
            self._below.setdefault(above, set()).add(name)

    def drop(self, name: str) -> None:
        """Forget what is under this name."""
        claim = self._claims.pop(name, None)
        if claim is None:
            return
        self._counts.pop(claim.namespace, None)
        _without(self.of_namespace, claim.namespace, name)
        for above in _and_above(claim.host.name):
            _without(self._below, above, name)

    def below(self, name: str) -> Iterator[Claim]:
        """The claims of a name and of those below it."""
        return (self._claims[one] for one in self._below.get(name, ()))

    def count(self, namespace: str, uid: str, policies: object, what: str, counts: Callable[[Host], bool]) -> int:
        """How many hosts of a namespace count for `what`; counted once for the same claims and policies.

        What an earlier namespace of its name had does not count.
        """
        found = self._counts.get(namespace)
        if found is None or found[0] is not policies:
            found = self._counts[namespace] = (policies, {})
        if (uid, what) not in found[1]:
            held = (self._claims[name] for name in self.of_namespace.get(namespace, ()))
            own = [claim.host for claim in held if claim.namespace_uid == uid and not claim.problem]
            found[1][uid, what] = sum(map(counts, own))
        return found[1][uid, what]


def _and_above(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.partition(".")[2]


def _without(index: dict[str, set[str]], of: str, name: str) -> None:
    names = index[of]
    names.discard(name)
    if not names:
        del index[of]


@dataclass(frozen=True, slots=True)
class Asker:
    """The namespace that wants a host: that of the Gateway, not that of its proxy. `labels`: under mesh-signer.dev/."""

    namespace: str
    uid: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Granted:
    """The namespace has the host. `policy` is the EdgePolicy that grants it, "" for none; `rate` is its limit."""

    host: Host
    policy: str = ""
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """First store this claim by atomic create (`new_claim`), then ask again: whoever was faster has it.

    With `instead_of`, the uid of an earlier namespace of this name, the claim of that one becomes the namespace's (`over`).
    """

    host: Host
    namespace: str
    namespace_uid: str
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class EdgeWorld:
    """What a decision rests on: claims by the name of their object, policies, and whether all of it was read."""

    claims: Mapping[str, Claim]
    policies: Collection[HostPolicy]
    unsynced: str = ""

    @property
    def index(self) -> ClaimIndex:
        """The claims, to be asked for by namespace and name."""
        return self.claims if isinstance(self.claims, ClaimIndex) else ClaimIndex(self.claims)

    def __post_init__(self) -> None:
        """Index what is not indexed yet."""
        if not isinstance(self.claims, ClaimIndex):
            object.__setattr__(self, "claims", ClaimIndex(self.claims))
        if not isinstance(self.policies, Policies):
            object.__setattr__(self, "policies", Policies(self.policies))


@dataclass(frozen=True, slots=True)
class Permitted:
    """Every name is the asker's. `rates` are those of the EdgePolicies that grant them, by policy."""

    hosts: tuple[Host, ...]
    rates: tuple[tuple[str, Rate], ...] = ()


@dataclass(frozen=True, slots=True)
class TakeFirst:
    """First store these claims, each by atomic create, then ask again."""

    claims: tuple[Take, ...]


HostVerdict = Granted | Take | Refuse | Unready


def decide(
    host: Host, asker: Asker, issuer: IssuerReference, world: EdgeWorld, *, beside: Sequence[Host] = ()
) -> HostVerdict:
    """Decide whether this namespace may have a certificate for this host from this issuer.

    Nothing missing or unread leads to a grant. Every reason of a refusal is told. `beside` are hosts that it is about to take
    together with this one, which count as taken.
    """
    if world.unsynced:
        return Unready(Reason("NotSynced", world.unsynced))
    reasons: list[Reason] = []
    policies = deciding(world.policies, host)
    policy = _granting(policies, asker, issuer, reasons, host)
    for_it = policy is not None and any(host.name in one.suffixes for one in policies)
    if host.wildcard and not for_it:
        reasons += _covered(host, asker, issuer, world)
    own = world.claims.get(host.claim_name)
    back = own is not None and given_back(own, asker, world.policies)
    if own is not None and not back:
        _judge_own(own, asker, reasons)
    else:
        reasons += _beside(host, asker, world)
        reasons += _overlaps(host, asker, policies, world, for_it=for_it)
        if policy is not None and policy.max_hosts is not None:
            _judge_count(policy, asker, world, beside, reasons)
        elif not policies:
            _judge_ungranted(asker, world, beside, reasons)
    if reasons:
        return Refuse(tuple(reasons))
    if own is None:
        return Take(host, asker.namespace, asker.uid)
    if back:
        return Take(host, asker.namespace, asker.uid, instead_of=own.namespace_uid)
    return Granted(host, policy.name if policy else "", policy.rate if policy else None)


def may_order(
    names: Iterable[str], asker: Asker, issuer: IssuerReference, world: EdgeWorld, *, max_names: int = MAX_NAMES
) -> Permitted | TakeFirst | Refuse | Unready:
    """Decide about all names of one certificate at once: no claim is taken unless every name can be had."""
    hosts: list[Host] = []
    reasons: list[Reason] = []
    listed = list(dict.fromkeys(names))
    if not listed:
        return Refuse((Reason("NoHost", "there is no DNS name to order"),))
    if len(listed) > max_names:
        return Refuse((Reason("TooManyHosts", f"{len(listed)} names; a certificate has {max_names} at most"),))
    for name in listed:
        host = read_host(name)
        if isinstance(host, str):
            reasons.append(Reason("InvalidHost", host))
        else:
            hosts.append(host)
    takes: list[Take] = []
    rates: dict[str, Rate] = {}
    for host in hosts:
        verdict = decide(host, asker, issuer, world, beside=[take.host for take in takes])
        match verdict:
            case Unready():
                return verdict
            case Refuse(found):
                reasons.extend(found)
            case Take():
                takes.append(verdict)
            case Granted(policy=policy, rate=rate):
                if rate is not None:
                    rates[policy] = rate
    if reasons:
        return Refuse(_bounded(reasons))
    if takes:
        return TakeFirst(tuple(takes))
    return Permitted(tuple(hosts), tuple(sorted(rates.items())))


def granted_by_policy(host: Host, asker: Asker, policies: Collection[HostPolicy]) -> bool:
    """Tell whether an admin gave this host to this namespace: what writing into a gateway's namespace needs."""
    return any(policy.covers(asker.namespace, asker.uid, asker.labels) for policy in deciding(policies, host))


def given_back(claim: Claim, asker: Asker, policies: Collection[HostPolicy]) -> bool:
    """Tell whether an admin gives a namespace at once what an earlier one of its name has: by an EdgePolicy that names it.

    Not by labels: whoever makes namespaces may set them, and a name says nothing of who has it now. So the policy must mean this
    very namespace, or whichever has the name.
    """
    if claim.problem or claim.namespace != asker.namespace or claim.namespace_uid == asker.uid:
        return False
    return any(policy.means(asker.namespace, asker.uid) for policy in deciding(policies, claim.host))


def _granting(
    policies: Collection[HostPolicy], asker: Asker, issuer: IssuerReference, reasons: list[Reason], host: Host
) -> HostPolicy | None:
    """The policy that lets it pass, or None with reasons; None without reasons where no policy speaks about the host."""
    if not policies:
        return None
    covering = [policy for policy in policies if policy.covers(asker.namespace, asker.uid, asker.labels)]
    if not covering:
        # Who else has it is not the asker's business: policies are named only.
        names = ", ".join(policy.name for policy in policies)
        text = f"{host} belongs to EdgePolicy {shown(names)}, which does not cover this namespace"
        if any(policy.is_remade(asker.namespace, asker.uid) for policy in policies):
            text = (
                f"{text}, but an earlier one of its name, which was deleted and made again: if it is the same tenant's, an"
                f" admin runs `mesh-signer tenants readmit {asker.namespace}`, or sets spec.namespaces.remade: Allow"
            )
        reasons.append(Reason("HostNotGranted", text))
        return None
    for policy in covering:
        if policy.allows_issuer(issuer):
            return policy
    names = ", ".join(policy.name for policy in covering)
    reasons.append(Reason("IssuerNotAllowed", f"EdgePolicy {shown(names)} does not allow {issuer} for {host}"))
    return None


def _judge_own(own: Claim, asker: Asker, reasons: list[Reason]) -> None:
    if own.problem:
        reasons.append(Reason("ClaimUnreadable", f"HostClaim {own.host.claim_name}: {own.problem}"))
    elif own.namespace != asker.namespace:
        reasons.append(
            Reason("HostTaken", f"{own.host} is claimed by another namespace; see HostClaim {own.host.claim_name}")
        )
    elif own.namespace_uid != asker.uid:
        reasons.append(
            Reason(
                "HostTaken",
                f"{own.host} is claimed by an earlier namespace of this name; HostClaim {own.host.claim_name} ends"
                f" {KEPT.days} days after its last use, or when an admin removes it; an EdgePolicy for it that names this"
                " namespace gives it back at once",
            )
        )


def _is_anothers(claim: Claim, asker: Asker, world: EdgeWorld) -> bool:
    if claim.problem or (claim.namespace, claim.namespace_uid) != (asker.namespace, asker.uid):
        return not given_back(claim, asker, world.policies)
    return False


def _beside(host: Host, asker: Asker, world: EdgeWorld) -> list[Reason]:
    """A name and its wildcard are one namespace's: DNS-01 proves both by one record (RFC 8555, 8.4)."""
    other = world.claims.get(Host(host.name, not host.wildcard).claim_name)
    if other is None or not _is_anothers(other, asker, world):
        return []
    text = f"{host} is proven by the same DNS record as {other.host}, which is claimed by another namespace"
    return [Reason("HostTaken", f"{text}; see HostClaim {other.host.claim_name}")]


def _covered(wildcard: Host, asker: Asker, issuer: IssuerReference, world: EdgeWorld) -> list[Reason]:
    """What EdgePolicies for names below a wildcard have against it: each must grant its part, as if that were asked for.

    But for the policy that grants the asker the wildcard's own name: who wrote it gave away all below.
    """
    for suffix, deciders in indexed(world.policies).below(wildcard.name):
        found: list[Reason] = []
        _granting(deciders, asker, issuer, found, Host(suffix))
        if found:
            # Which names there are below it stays untold.
            text = f"{wildcard} stands for hosts that other EdgePolicies decide about, and not all of them grant it"
            return [Reason(found[0].code, text)]
    return []


def _overlaps(
    host: Host, asker: Asker, policies: Sequence[HostPolicy], world: EdgeWorld, *, for_it: bool
) -> list[Reason]:
    """A name below another's wildcard, or a wildcard over another's names, would take traffic from them.

    Where an administrator gave the asker exactly this, by a policy for a longer suffix than the other's that is not the other's too, or
    for the wildcard's own name (`for_it`), that has been decided already.
    """

    def same(other: Claim) -> bool:
        return deciding(world.policies, other.host) == policies

    def given_too(other: Claim) -> bool:
        # Labels of a claim's namespace are not known here: who is covered by them alone gives way to who is named.
        return any(policy.covers(other.namespace, other.namespace_uid, {}) for policy in policies)

    found = [
        Reason("HostTaken", f"{host} is below {other.host}, which is claimed by another namespace")
        for other in _over(host, world.claims)
        if _is_anothers(other, asker, world) and (same(other) or given_too(other))
    ]
    if host.wildcard and any(
        _under(host, other.host) and _is_anothers(other, asker, world) and (not for_it or same(other))
        for other in world.index.below(host.name)
    ):
        # Which host it is stays untold: it is somebody else's.
        found.append(Reason("HostTaken", f"a host below {host} is claimed by another namespace"))
    return found


def _under(wildcard: Host, other: Host) -> bool:
    return other.below(wildcard.name) and other.name != wildcard.name


def _over(host: Host, claims: Mapping[str, Claim]) -> list[Claim]:
    """The wildcards that cover a host: Istio's gateways send all names below to a wildcard, however deep."""
    labels = host.name.split(".")
    names = (".".join(labels[start:]) for start in range(0 if host.wildcard else 1, len(labels)))
    over = (claims.get(Host(name, wildcard=True).claim_name) for name in names if name)
    return [claim for claim in over if claim is not None and claim.host != host]


def _judge_ungranted(asker: Asker, world: EdgeWorld, beside: Sequence[Host], reasons: list[Reason]) -> None:
    def ungranted(host: Host) -> bool:
        return not deciding(world.policies, host)

    held = world.index.count(asker.namespace, asker.uid, indexed(world.policies).counted, "", ungranted)
    if held + sum(map(ungranted, beside)) >= MOST_HOSTS:
        message = f"this namespace has {MOST_HOSTS} hosts that no EdgePolicy grants it; for more it needs one"
        reasons.append(Reason("TooManyHosts", message))


def _judge_count(
    policy: HostPolicy, asker: Asker, world: EdgeWorld, beside: Sequence[Host], reasons: list[Reason]
) -> None:
    def of_policy(host: Host) -> bool:
        return bool(policy.suffix_of(host))

    counted = world.index.count(asker.namespace, asker.uid, indexed(world.policies).counted, policy.name, of_policy)
    held = counted + sum(map(of_policy, beside))
    if policy.max_hosts is not None and held >= policy.max_hosts:
        reasons.append(
            Reason(
                "TooManyHosts",
                f"this namespace has {held} hosts, and EdgePolicy {policy.name} allows {policy.max_hosts}",
            )
        )


def _bounded(reasons: list[Reason]) -> tuple[Reason, ...]:
    """The first reasons, each once: a certificate has a hundred names, and people read a few."""
    unique = list(dict.fromkeys(reasons))
    kept = len(capped([reason.message for reason in unique]))
    return tuple(unique[:kept])


def new_claim(take: Take) -> dict[str, Any]:
    """Return the HostClaim to create."""
    return {
        "apiVersion": HOST_CLAIMS.api_version,
        "kind": HOST_CLAIMS.kind,
        "metadata": {"name": take.host.claim_name, "labels": {"app.kubernetes.io/part-of": "mesh-signer"}},
        "spec": {"host": str(take.host), "namespace": take.namespace, "namespaceUID": take.namespace_uid},
    }


def over(take: Take, now: datetime) -> dict[str, Any]:
    """Return the merge patch that makes the claim of an earlier namespace the one of now's: since now, with all that it records."""
    return {"spec": {"namespaceUID": take.namespace_uid, "since": to_rfc3339(now)}}


def read_claim(obj: HostClaim) -> Claim | None:
    """Read a HostClaim; never raises. None for an object whose name is not a host's: it is about nothing."""
    name = obj.metadata.name
    by_name = read_host(_unclaimed(name))
    if isinstance(by_name, str):
        return None
    if problem := obj.problem or _problem(obj, by_name):
        return Claim(by_name, "", "", problem=problem)
    return Claim(
        by_name,
        obj.spec.namespace,
        obj.spec.namespace_uid,
        from_rfc3339(obj.status.unused_since),
        made=from_rfc3339(obj.spec.since) or from_rfc3339(obj.metadata.creation_timestamp),
    )


def _unclaimed(name: str) -> str:
    wildcard = Host("", wildcard=True).claim_name
    return f"*.{name.removeprefix(wildcard)}" if name.startswith(wildcard) else name


def _problem(obj: HostClaim, host: Host) -> str:
    if obj.spec.host != str(host):
        return f"spec.host: is {shown(obj.spec.host)}, and by its name must be {host}"
    if not is_label(obj.spec.namespace):
        return f"spec.namespace: {shown(obj.spec.namespace)} is not a valid namespace name"
    if not obj.spec.namespace_uid:
        return "spec.namespaceUID: is missing"
    return ""
