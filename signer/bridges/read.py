"""What a TenantBridge and a TenantBridgePolicy say, checked as a whole. Pure.

The CRDs' schemas refuse most of what is wrong here at `kubectl apply`; an older schema, or one that somebody changed, must
not make a bridge out of a mistake, so all of it is checked again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from signer.api.duration import InvalidDuration, parse_duration
from signer.api.meta import from_rfc3339
from signer.api.names import is_label, is_label_key, is_label_value, is_subdomain, is_trust_domain
from signer.api.signerpolicy import PolicyNamespaces
from signer.api.tenantbridge import TenantBridge, TenantBridgeSpec
from signer.api.tenantbridgepolicy import TenantBridgePolicy, TenantBridgePolicySpec
from signer.api.text import capped, shown
from signer.tenancy.policies import missing_uids
from signer.tenancy.world import LABEL_PREFIX, Namespace

DEFAULT_LIFETIME = timedelta(hours=1)
MIN_LIFETIME = timedelta(minutes=1)
MAX_LIFETIME = timedelta(hours=24)
MAX_HOSTS = 16
MAX_ACCOUNTS = 64
MAX_CLIENTS = 64
_MAX_LABELS = 16
_CREDENTIAL_OF_ISTIODS_OWN = "-cacert"
_HOST = re.compile(
    r"(\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.svc(\.[a-z0-9-]+)+", re.ASCII
)
_KEY = re.compile(r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """A TenantBridge as it is used: what the server's tenant says. With a `problem` it asks for nothing.

    `hosts` are full names of services of `namespace`, or "*." and its domain. `accounts` empty: all of the namespace.
    """

    namespace: str
    name: str
    uid: str
    client_namespace: str = ""
    client_account: str = ""
    client_labels: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    lifetime: timedelta = DEFAULT_LIFETIME
    ends: datetime | None = None
    problem: str = ""

    @property
    def full_name(self) -> str:
        """NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"

    @property
    def wildcards(self) -> tuple[str, ...]:
        """The hosts that stand for all services."""
        return tuple(host for host in self.hosts if host.startswith("*."))


@dataclass(frozen=True, slots=True)
class BridgePolicy:
    """A TenantBridgePolicy as it is used: what an admin allows. With a `problem` it allows nothing.

    `namespace_uids` says which namespace each name was first given to; unless `remade_allowed`, a name counts for it alone.
    """

    name: str
    servers: frozenset[str] = frozenset()
    server_labels: Mapping[str, str] = field(default_factory=dict)
    clients: frozenset[tuple[str, str]] = frozenset()
    max_lifetime: timedelta = MAX_LIFETIME
    wildcards: bool = False
    trust_domain: str = ""
    ends: datetime | None = None
    remade_allowed: bool = False
    namespace_uids: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def named(self) -> frozenset[str]:
        """The namespaces that it names, as servers or for clients."""
        return self.servers | {namespace for namespace, _ in self.clients}

    def serves(self, name: str, namespace: Namespace) -> bool:
        """Tell whether services of this namespace may be reached by it, whoever had the name before."""
        return name in self.servers or self.labelled(namespace)

    def labelled(self, namespace: Namespace) -> bool:
        """Tell whether its labels alone make a namespace one whose services may be reached."""
        labels = self.server_labels
        return bool(labels) and all(namespace.labels.get(key) == value for key, value in labels.items())


def read_bridge(obj: TenantBridge) -> Wish:
    """Read a TenantBridge; never raises. A `problem` names each wrong field."""
    meta = obj.metadata
    problems = [obj.problem] if obj.problem else list(_bridge_problems(obj.spec, meta.namespace, meta.name))
    if problems:
        return Wish(meta.namespace, meta.name, meta.uid, problem="; ".join(capped(problems)))
    spec = obj.spec
    return Wish(
        meta.namespace,
        meta.name,
        meta.uid,
        client_namespace=spec.client.namespace,
        client_account=spec.client.service_account,
        client_labels=dict(spec.client.match_labels),
        hosts=tuple(dict.fromkeys(spec.hosts)),
        accounts=tuple(sorted(set(spec.service_accounts))),
        lifetime=parse_duration(spec.lifetime) if spec.lifetime is not None else DEFAULT_LIFETIME,
        ends=from_rfc3339(spec.end_time),
    )


def read_bridge_policy(obj: TenantBridgePolicy) -> BridgePolicy:
    """Read a TenantBridgePolicy; never raises. A `problem` names each wrong field."""
    problems = [obj.problem] if obj.problem else list(_policy_problems(obj.spec))
    if problems:
        return BridgePolicy(obj.metadata.name, problem="; ".join(capped(problems)))
    spec, uids = obj.spec, obj.status.namespace_uids
    return BridgePolicy(
        obj.metadata.name,
        servers=frozenset(spec.servers.names),
        server_labels=dict(spec.servers.match_labels),
        clients=frozenset((one.namespace, account) for one in spec.clients for account in one.service_accounts),
        max_lifetime=parse_duration(spec.max_lifetime) if spec.max_lifetime is not None else MAX_LIFETIME,
        wildcards=spec.allow_wildcard_hosts,
        trust_domain=spec.trust_domain or "",
        ends=from_rfc3339(spec.end_time),
        remade_allowed=spec.remade == "Allow",
        namespace_uids=dict(uids),
    )


def to_record(policy: BridgePolicy, namespaces: Mapping[str, Namespace]) -> dict[str, str | None]:
    """Tell what a policy's status.namespaceUIDs lacks: the uid of each name that is there now, None for one named no more.

    What is recorded stays as it is, whoever has the name by now. Nothing is recorded for a policy that cannot be read.
    """
    if policy.problem:
        return {}
    there = namespaces.get
    return missing_uids(
        policy.named, policy.namespace_uids, lambda name: found.uid if (found := there(name)) is not None else ""
    )


def _bridge_problems(spec: TenantBridgeSpec, namespace: str, name: str) -> Iterator[str]:
    if not is_label(name) or name.endswith(_CREDENTIAL_OF_ISTIODS_OWN):
        yield f"metadata.name: {shown(name)} is not a name of lower case letters, digits and '-' that does not end in -cacert"
    client = spec.client
    if not is_label(client.namespace):
        yield f"spec.client.namespace: {shown(client.namespace)} is not a valid namespace name"
    elif client.namespace == namespace:
        yield f"spec.client.namespace: {namespace} is the server's own: its workloads need no bridge"
    if not is_subdomain(client.service_account):
        yield f"spec.client.serviceAccount: {shown(client.service_account)} is not a valid service account name"
    yield from _label_problems(client.match_labels)
    yield from _host_problems(spec.hosts, namespace)
    yield from _account_problems("spec.serviceAccounts", spec.service_accounts)
    yield from _lifetime_problems("spec.lifetime", spec.lifetime)
    yield from _end_problems(spec.end_time)


def _label_problems(labels: Mapping[str, str]) -> Iterator[str]:
    if not labels:
        yield "spec.client.matchLabels: at least one label is expected: without any, every proxy of the namespace is meant"
    if len(labels) > _MAX_LABELS:
        yield f"spec.client.matchLabels: {len(labels)} labels; at most {_MAX_LABELS} are read"
    for key, value in list(labels.items())[:_MAX_LABELS]:
        if not _KEY.fullmatch(key):
            yield f"spec.client.matchLabels: {shown(key)} is not a label"
        elif not is_label_value(value):
            yield f"spec.client.matchLabels: {shown(value)} is not a valid label value"


def _host_problems(hosts: Iterable[str], namespace: str) -> Iterator[str]:
    hosts = tuple(hosts)
    if not hosts:
        yield "spec.hosts: at least one is expected, as httpbin.foo.svc.cluster.local"
    if len(hosts) > MAX_HOSTS:
        yield f"spec.hosts: {len(hosts)} hosts; at most {MAX_HOSTS} are read"
    for index, host in enumerate(hosts[:MAX_HOSTS]):
        match = _HOST.fullmatch(host) if len(host) <= 253 else None
        if match is None:
            yield f"spec.hosts[{index}]: {shown(host)} is not the full name of a service, as httpbin.foo.svc.cluster.local"
        elif match[2] != namespace:
            yield f"spec.hosts[{index}]: {shown(host)} is a service of namespace {match[2]}, and a bridge leads to its own, {namespace}"


def _account_problems(where: str, accounts: Iterable[str]) -> Iterator[str]:
    accounts = tuple(accounts)
    if len(accounts) > MAX_ACCOUNTS:
        yield f"{where}: {len(accounts)} names; at most {MAX_ACCOUNTS} are read"
    for index, account in enumerate(accounts[:MAX_ACCOUNTS]):
        if not is_subdomain(account):
            yield f"{where}[{index}]: {shown(account)} is not a valid service account name"


def _lifetime_problems(where: str, text: str | None) -> Iterator[str]:
    if text is None:
        return
    try:
        found = parse_duration(text)
    except InvalidDuration as error:
        yield f"{where}: {error}"
        return
    if found < MIN_LIFETIME:
        yield f"{where}: {shown(text)} is less than 1m"


def _end_problems(text: str | None) -> Iterator[str]:
    if text is not None and from_rfc3339(text) is None:
        yield f"spec.endTime: {shown(text)} is not a time, as 2027-01-31T12:00:00Z"


def _policy_problems(spec: TenantBridgePolicySpec) -> Iterator[str]:
    yield from _server_problems(spec.servers)
    if not spec.clients:
        yield "spec.clients: at least one is expected"
    if len(spec.clients) > MAX_CLIENTS:
        yield f"spec.clients: {len(spec.clients)} entries; at most {MAX_CLIENTS} are read"
    for index, client in enumerate(spec.clients[:MAX_CLIENTS]):
        if not is_label(client.namespace):
            yield f"spec.clients[{index}].namespace: {shown(client.namespace)} is not a valid namespace name"
        if not client.service_accounts:
            yield f"spec.clients[{index}].serviceAccounts: at least one is expected"
        yield from _account_problems(f"spec.clients[{index}].serviceAccounts", client.service_accounts)
    if spec.trust_domain is not None and not is_trust_domain(spec.trust_domain):
        yield f"spec.trustDomain: {shown(spec.trust_domain)} is not a trust domain"
    if spec.remade not in ("Refuse", "Allow"):
        yield f"spec.remade: {shown(spec.remade)} is neither Refuse nor Allow"
    yield from _lifetime_problems("spec.maxLifetime", spec.max_lifetime)
    yield from _end_problems(spec.end_time)


def _server_problems(servers: PolicyNamespaces) -> Iterator[str]:
    if not servers.names and not servers.match_labels:
        yield "spec.servers: names or matchLabels is expected"
    for index, name in enumerate(servers.names):
        if not is_label(name):
            yield f"spec.servers.names[{index}]: {shown(name)} is not a valid namespace name"
    for key, value in servers.match_labels.items():
        if not is_label_key(key, LABEL_PREFIX):
            yield f"spec.servers.matchLabels: {shown(key)} is not a label under {LABEL_PREFIX}; others may be the tenant's own"
        if not is_label_value(value):
            yield f"spec.servers.matchLabels: {shown(value)} is not a valid label value"
