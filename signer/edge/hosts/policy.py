"""What an EdgePolicy says, checked as a whole. Pure.

The CRD's schema refuses most of what is wrong here at `kubectl apply`; an older schema, or one that somebody changed,
must not make a grant out of a mistake, so all of it is checked again.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from signer.api.certificate import IssuerReference
from signer.api.duration import InvalidDuration, parse_duration
from signer.api.edgepolicy import EdgePolicy, EdgePolicySpec
from signer.api.names import is_label, is_label_key, is_label_value, is_subdomain
from signer.api.signerpolicy import PolicyNamespaces
from signer.api.text import capped, shown
from signer.edge.host import Host
from signer.tenancy.policies import MAX_RATE_PERIOD, MIN_RATE_PERIOD, missing_uids
from signer.tenancy.world import LABEL_PREFIX, Rate

_REMADE = ("Refuse", "Allow")


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """An EdgePolicy as it is used. With a `problem` it grants nothing, and still speaks about its suffixes.

    `namespace_uids` says which namespace each name was first given to; unless `remade_allowed`, a name counts for that one
    alone. It is written down before a host is taken by that name (claims.py).
    """

    name: str
    suffixes: frozenset[str]
    namespaces: frozenset[str] = frozenset()
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    issuers: frozenset[tuple[str, str]] = frozenset()
    max_hosts: int | None = None
    rate: Rate | None = None
    problem: str = ""
    remade_allowed: bool = False
    namespace_uids: Mapping[str, str] = field(default_factory=dict)
    route_namespaces: frozenset[str] = frozenset()
    route_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_routes(self) -> bool:
        """Whether routes of some other namespaces name hosts for the Gateways of its own."""
        return not self.problem and bool(self.route_namespaces or self.route_labels)

    def takes_routes_of(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether routes of this namespace do: they get no host and no key by it, so a name needs no record."""
        wanted = self.route_labels
        by_labels = bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
        return self.takes_routes and (namespace in self.route_namespaces or by_labels)

    def suffix_of(self, host: Host) -> str:
        """The longest suffix that covers the host; "" for none."""
        return max((suffix for suffix in self.suffixes if host.below(suffix)), key=len, default="")

    def covers(self, namespace: str, uid: str, labels: Mapping[str, str]) -> bool:
        """Tell whether it is for this namespace. `labels` are those under mesh-signer.dev/, which admins guard."""
        if self.problem:
            return False
        if namespace in self.namespaces and not self.is_remade(namespace, uid):
            return True
        wanted = self.namespace_labels
        return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())

    def means(self, namespace: str, uid: str) -> bool:
        """Tell whether it names this very namespace, or whichever has the name. Labels do not say which one is meant."""
        if self.problem or namespace not in self.namespaces:
            return False
        return self.remade_allowed or self.namespace_uids.get(namespace) == uid

    def is_remade(self, namespace: str, uid: str) -> bool:
        """Tell whether it names an earlier namespace of this name, and is not for whichever has it."""
        recorded = self.namespace_uids.get(namespace)
        return namespace in self.namespaces and recorded not in (None, uid) and not self.remade_allowed

    def allows_issuer(self, issuer: IssuerReference) -> bool:
        """Tell whether this issuer may be named."""
        name, kind, _ = issuer.normal()
        return not self.issuers or (kind, name) in self.issuers


def read_edge_policy(obj: EdgePolicy) -> HostPolicy:
    """Read an EdgePolicy; never raises. A `problem` names each wrong field."""
    suffixes = frozenset(one for one in obj.named_suffixes if is_subdomain(one))
    problems = [obj.problem] if obj.problem else list(_problems(obj.spec))
    if problems:
        return HostPolicy(obj.metadata.name, suffixes, problem="; ".join(capped(problems)))
    spec = obj.spec
    return HostPolicy(
        obj.metadata.name,
        suffixes,
        namespaces=frozenset(spec.namespaces.names if spec.namespaces else ()),
        namespace_labels=dict(spec.namespaces.match_labels if spec.namespaces else {}),
        issuers=frozenset((one.kind, one.name) for one in spec.issuers),
        max_hosts=spec.max_hosts,
        remade_allowed=spec.namespaces is not None and spec.namespaces.remade == "Allow",
        namespace_uids=dict(obj.status.namespace_uids),
        route_namespaces=frozenset(spec.routes_from.names if spec.routes_from else ()),
        route_labels=dict(spec.routes_from.match_labels if spec.routes_from else {}),
        rate=Rate(spec.rate.certificates, parse_duration(spec.rate.per)) if spec.rate is not None else None,
    )


def to_record(obj: EdgePolicy, uids: Mapping[str, str]) -> dict[str, str | None]:
    """Tell what a policy's status.namespaceUIDs lacks: the uid of each name in `uids`, None for one that it names no more.

    What is recorded stays, whoever has the name by now. Nothing is recorded for a policy that cannot be read.
    """
    if read_edge_policy(obj).problem:
        return {}
    named = obj.spec.namespaces.names if obj.spec.namespaces is not None else ()
    return missing_uids(named, obj.status.namespace_uids, lambda name: uids.get(name, ""))


class Policies(Collection[HostPolicy]):
    """Policies by their suffixes, so that one host costs a look-up for each of its labels. Not changed once it is made.

    `counted` stands for all that have the same names and suffixes: what was counted by them is the same.
    """

    def __init__(self, policies: Iterable[HostPolicy] = ()) -> None:
        self._all = tuple(policies)
        self.counted: object = self
        by_suffix: dict[str, list[HostPolicy]] = {}
        for policy in sorted(self._all, key=lambda one: one.name):
            for suffix in policy.suffixes:
                by_suffix.setdefault(suffix, []).append(policy)
        self._by_suffix = {suffix: tuple(found) for suffix, found in by_suffix.items()}
        self._below: dict[str, list[str]] = {}
        for suffix in sorted(by_suffix):
            above = suffix.partition(".")[2]
            while above:
                self._below.setdefault(above, []).append(suffix)
                above = above.partition(".")[2]

    @functools.cached_property
    def of_any_issuer(self) -> "Policies":
        """The same without a word about issuers; made once."""
        made = Policies(replace(one, issuers=frozenset()) for one in self._all)
        made.counted = self.counted
        return made

    def __iter__(self) -> Iterator[HostPolicy]:
        """All of them."""
        return iter(self._all)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def __contains__(self, policy: object) -> bool:
        """Whether it is one of them."""
        return policy in self._all

    def below(self, name: str) -> Iterator[tuple[str, tuple[HostPolicy, ...]]]:
        """The suffixes below a name, but not itself, in order, each with the policies that have it."""
        return ((suffix, self._by_suffix[suffix]) for suffix in self._below.get(name, ()))

    def about(self, hosts: Iterable[Host]) -> tuple[HostPolicy, ...]:
        """All that decide about these hosts: of a wildcard, those for names below it too. By name."""
        found: dict[str, HostPolicy] = {}
        for host in hosts:
            found |= {policy.name: policy for policy in self.deciding(host)}
            if host.wildcard:
                found |= {policy.name: policy for _, below in self.below(host.name) for policy in below}
        return tuple(found[name] for name in sorted(found))

    def deciding(self, host: Host) -> tuple[HostPolicy, ...]:
        """The policies with the longest suffix for a host, by name."""
        name = host.name
        while name:
            if (found := self._by_suffix.get(name)) is not None:
                return found
            name = name.partition(".")[2]
        return ()


def deciding(policies: Iterable[HostPolicy], host: Host) -> tuple[HostPolicy, ...]:
    """Return the policies that decide about a host: those with the longest suffix for it, by name."""
    return indexed(policies).deciding(host)


def indexed(policies: Iterable[HostPolicy]) -> Policies:
    """Return them by their suffixes; what is so already stays."""
    return policies if isinstance(policies, Policies) else Policies(policies)


def _problems(spec: EdgePolicySpec) -> Iterator[str]:
    if not spec.host_suffixes:
        yield "spec.hostSuffixes: at least one is expected"
    for index, suffix in enumerate(spec.host_suffixes):
        if not is_subdomain(suffix):
            yield f"spec.hostSuffixes[{index}]: {shown(suffix)} is not a valid DNS name in lower case"
    yield from _of_namespaces(spec)
    for index, issuer in enumerate(spec.issuers):
        if issuer.kind not in ("ClusterIssuer", "Issuer"):
            yield f"spec.issuers[{index}].kind: {shown(issuer.kind)} is neither ClusterIssuer nor Issuer"
        if not is_subdomain(issuer.name):
            yield f"spec.issuers[{index}].name: {shown(issuer.name)} is not a valid issuer name"
    if spec.max_hosts is not None and spec.max_hosts < 1:
        yield "spec.maxHosts: must be 1 or more"
    if spec.rate is not None:
        if spec.rate.certificates < 1:
            yield "spec.rate.certificates: must be 1 or more"
        if not MIN_RATE_PERIOD <= _period(spec.rate.per) <= MAX_RATE_PERIOD:
            yield f"spec.rate.per: {shown(spec.rate.per)} is not a duration from 1s to 24h"


def _of_namespaces(spec: EdgePolicySpec) -> Iterator[str]:
    if spec.namespaces is not None:
        if spec.namespaces.remade not in _REMADE:
            yield f"spec.namespaces.remade: {shown(spec.namespaces.remade)} is not {' or '.join(_REMADE)}"
        yield from _namespace_problems("spec.namespaces", spec.namespaces)
    if spec.routes_from is not None:
        yield from _namespace_problems("spec.routesFrom", spec.routes_from)


def _namespace_problems(field: str, said: PolicyNamespaces) -> Iterator[str]:
    names, labels = said.names, said.match_labels
    if not names and not labels:
        yield f"{field}: names or matchLabels is expected; leave {field.partition('.')[2]} out to mean none"
    for index, name in enumerate(names):
        if not is_label(name):
            yield f"{field}.names[{index}]: {shown(name)} is not a valid namespace name"
    for key, value in labels.items():
        if not is_label_key(key, LABEL_PREFIX):
            yield f"{field}.matchLabels: {shown(key)} is not a label under {LABEL_PREFIX}; others may be the tenant's own"
        if not is_label_value(value):
            yield f"{field}.matchLabels: {shown(value)} is not a valid label value"


def _period(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except InvalidDuration:
        return timedelta(0)
