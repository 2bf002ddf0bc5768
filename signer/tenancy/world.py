"""What the wall knows when it decides: the mesh, its tenants, and what admins said of them.

Values only. `World` is the one thing that changes: its owner (signer/mesh) replaces entries on the loop, between two
decisions; a decision reads a few entries by key, however many tenants there are, and never writes. Nothing here
touches a network or a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from signer.api.issuer import IssuerRef

TenancyMode = Literal["enforce", "audit", "off"]
LABEL_PREFIX = "mesh-signer.dev/"
DEFAULT_TRUST_DOMAIN = "cluster.local"
# What is shorter would be past its own renewal when it is made, and istiod would ask without end.
MIN_ISTIOD_LIFETIME = timedelta(minutes=10)


class Settings(msgspec.Struct, frozen=True):
    """What the operator set of the wall.

    `audit_until` ends audit mode: from then on it enforces. `istiod_accounts` replaces the user names that are known
    from Istio's namespace and its revisions. `signer_domain` is istiod's CERT_SIGNER_DOMAIN.
    """

    mode: TenancyMode = "enforce"
    audit_until: datetime | None = None
    unbound: Literal["allow", "deny"] = "allow"
    grace: timedelta = timedelta(hours=24)
    istio_namespace: str = "istio-system"
    istiod_accounts: frozenset[str] = frozenset()
    signer_domain: str = "clusterissuers.cert-manager.io"
    cluster_resource_namespace: str = "cert-manager"
    max_workload_lifetime: timedelta = timedelta(hours=24)
    istiod_dns_names: frozenset[str] = frozenset()

    def enforces(self, now: datetime) -> bool:
        """Tell whether a refusal is one. Audit mode without an end never was started (settings.py asks for one)."""
        if self.mode == "audit":
            return self.audit_until is None or now >= self.audit_until
        return self.mode == "enforce"


class CertificateAuthorityEntry(msgspec.Struct, frozen=True):
    """One entry of meshConfig.caCertificates: the root that workloads of these signers are given."""

    pem: str
    signers: frozenset[IssuerRef]


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """What the ConfigMaps of Istio say, all known revisions and the shared mesh config taken together.

    `revisions` are the names behind `istio-`; `domains` the trust domain of each of them, and of the one without a name
    (""), none where it cannot be read; `trust_domains` all of these together; `defaults` the signers of defaultConfig.proxyMetadata, `open_default` whether a revision names none there; `signers` those
    of caCertificates; `problems` name each ConfigMap and field that could not be read (what could be, counts); `bare` has the names in certSigners
    that lack their domain, and so name nobody. `listed` has the entries that an istiod goes by, by the name of its ConfigMap: what
    stands in another's does its workloads no good.
    """

    trust_domains: frozenset[str] = frozenset({DEFAULT_TRUST_DOMAIN})
    domains: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    root_namespace: str = "istio-system"
    revisions: frozenset[str] = frozenset()
    defaults: frozenset[IssuerRef] = frozenset()
    open_default: bool = True
    signers: frozenset[IssuerRef] = frozenset()
    authorities: tuple[CertificateAuthorityEntry, ...] = ()
    problems: tuple[str, ...] = ()
    bare: frozenset[str] = frozenset()
    listed: Mapping[str, tuple[CertificateAuthorityEntry, ...]] = field(default_factory=dict, compare=False)


class Roots(msgspec.Struct, frozen=True):
    """The roots that the mesh config has for one signer, as verifiers go by them (issuers/chain.py, anchor_of).

    `anchors` are subject and key of each, `subjects` the subjects alone (Name, DER), `key_ids` the keys alone.
    """

    anchors: frozenset[str] = frozenset()
    subjects: frozenset[bytes] = frozenset()
    key_ids: frozenset[str] = frozenset()


class ProxyConfigName(msgspec.Struct, frozen=True):
    """Which ProxyConfig of a namespace, for messages and Events."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a namespace's ProxyConfigs ask for. A claim is not a grant.

    `whole` is the claim for all its workloads (of the oldest ProxyConfig without a selector), None for nothing;
    `signers` maps every claimed signer, those behind selectors too, to the ProxyConfig that says so. `speaker` is the
    ProxyConfig that Events about this namespace go to, None where there is none. `since` is when the ProxyConfig behind
    `whole` was made. `told` has the problems of each ProxyConfig by its name. `malformed` is what stands there where it can name no issuer: workloads ask for it all the same.
    """

    whole: IssuerRef | None = None
    signers: Mapping[IssuerRef, ProxyConfigName] = field(default_factory=dict)
    speaker: ProxyConfigName | None = None
    since: datetime | None = None
    problems: tuple[str, ...] = ()
    malformed: str = ""
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)


NO_CLAIMS = Claims()


class Namespace(msgspec.Struct, frozen=True):
    """A namespace that exists: its uid, and its labels under mesh-signer.dev/ (the others may be its tenant's own)."""

    uid: str
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class KeyRule(msgspec.Struct, frozen=True):
    """One kind of key that a policy accepts: `algorithm` is RSA, ECDSA or Ed25519; sizes in bits, both included."""

    algorithm: Literal["RSA", "ECDSA", "Ed25519"]
    min_size: int = 0
    max_size: int = 1 << 16


class Rate(msgspec.Struct, frozen=True):
    """At most `certificates` in each `per`, for one namespace and one signer."""

    certificates: int
    per: timedelta


class RequestRules(msgspec.Struct, frozen=True):
    """What a policy says of CertificateRequests alone; all its other limits hold for them too.

    `requesters` empty: those of the policy, and where it names none, whoever may make one in a namespace that is
    covered. `organizations` may stand in the subject; empty: none.
    """

    requesters: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()


Reach = Literal["covered", "unrecorded", "remade", "not covered"]
"""How a namespace stands to a policy. `unrecorded`: named, and its uid is not stored yet; `remade`: another has its name."""


class Policy(msgspec.Struct, frozen=True):
    """One SignerPolicy, read and checked. An empty set means "no limit of its own" unless said otherwise.

    `requesters` empty: istiod only. `namespaces` and `namespace_labels` both empty: no namespace. `trust_domains`
    empty: the mesh's. `dns_names` empty: none (workloads have none); an entry may begin with "*." for one label.
    `certificate_requests` None: it answers none. `namespace_uids` says which namespace each name was first given to;
    unless `remade_allowed`, a name counts for that one alone. `route` Identity: what is asked of its signers is signed by the CA
    of the namespace that asks (routes.py); without namespaces it is then about all of them, as it gives nobody anything.
    `problem` tells why it grants nothing: a policy that cannot be read still speaks about the signers it names.
    """

    name: str
    signers: frozenset[IssuerRef]
    namespaces: frozenset[str] = frozenset()
    namespace_labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    requesters: frozenset[str] = frozenset()
    trust_domains: frozenset[str] = frozenset()
    service_accounts: frozenset[str] = frozenset()
    dns_names: tuple[str, ...] = ()
    max_lifetime: timedelta | None = None
    keys: tuple[KeyRule, ...] = ()
    usages: frozenset[str] = frozenset()
    allow_ca: bool = False
    append_root: bool = False
    route: Literal["", "Identity"] = ""
    rate: Rate | None = None
    certificate_requests: RequestRules | None = None
    remade_allowed: bool = False
    namespace_uids: Mapping[str, str] = msgspec.field(default_factory=dict)
    problem: str = ""

    def covers(self, name: str, namespace: Namespace | None) -> bool:
        """Tell whether a namespace is one of the policy's."""
        return self.reach(name, namespace) == "covered"

    def reach(self, name: str, namespace: Namespace | None) -> Reach:
        """Tell how a namespace stands to the policy; None is one that does not exist."""
        if self.problem or namespace is None:
            return "not covered"
        if self.routes_all:
            return "covered"
        labels = self.namespace_labels
        if labels and all(namespace.labels.get(key) == value for key, value in labels.items()):
            return "covered"
        if name not in self.namespaces:
            return "not covered"
        if self.remade_allowed:
            return "covered"
        recorded = self.namespace_uids.get(name)
        if not recorded:
            return "unrecorded"
        return "covered" if recorded == namespace.uid else "remade"

    @property
    def by_identity(self) -> bool:
        """Whether what is asked of its signers is signed by the CA of the namespace that asks."""
        return self.route == "Identity"

    @property
    def routes_all(self) -> bool:
        """Whether it routes what any namespace asks."""
        return self.by_identity and not self.namespaces and not self.namespace_labels

    @property
    def request_requesters(self) -> frozenset[str]:
        """Who may make CertificateRequests; empty: whoever may make one in a namespace that is covered."""
        own = self.certificate_requests.requesters if self.certificate_requests is not None else frozenset()
        return own or self.requesters


Confirmed = tuple[str, IssuerRef, str, IssuerRef | None]
"""A namespace's uid, a signer, the SignerPolicy that a CertificateRequest rests on ("" for a request of istiod's), and the
signer that was asked where identity chose this one."""


class Binding(msgspec.Struct, frozen=True):
    """One SignerBinding: which namespace owns a signer, since the first grant, whatever becomes of the namespace.

    `claim_ended` is when its owner stopped claiming, None while it claims; `last_issued` the newest certificate that
    is known of. Both are kept in the status, to the minute or so.
    """

    signer: IssuerRef
    namespace: str
    namespace_uid: str
    created: datetime
    claim_ended: datetime | None = None
    last_issued: datetime | None = None
    problem: str = ""


class HadDefault(msgspec.Struct, frozen=True):
    """A namespace, by uid, had certificates of the mesh's default signer, or of its own; `first` is the earliest known of."""

    uid: str
    first: datetime


class World(msgspec.Struct):
    """Everything that a decision may look up; each mapping by key, so that 10,000 tenants cost what one does.

    `signers` are the mesh signers; `no_default` says of those that the mesh config or the root namespace would make everybody's why
    they are not; `domains` maps an istiod's user name to the trust domains that it may speak for (any of
    the mesh's, where it is not known which one is its own); `keys` maps the SHA-256 of a mesh signer's CA key to the mesh signers that have
    it, `key_since` since when it is recorded that one signs with it; `roots` the roots that the mesh config gives a signer's workloads, `root_keys` those of all signers and
    what else stands above a mesh signer's CA; `below` the keys of other CAs below any of these, and `judged` the chains
    without their root (Chain.identity) of which that is known;
    `tops` maps the key of a root to the mesh signers whose CAs are below it now;
    `claimants` the namespaces that claim a signer now; `settling` until when nobody becomes the owner of a signer that
    a SignerPolicy spoke about a moment ago; `had_default` the namespaces that are known to have had certificates of the
    mesh's default, `had_own` those that had some of another signer of the mesh. `unsynced` names what was not read yet ("" when all was); `stale` what has
    not been heard of for five minutes, by the names "ProxyConfigs", "mesh config", "SignerPolicies", "SignerBindings",
    "Namespaces". `confirmed` says until when it counts that a namespace (by uid) was read live and may have a signer, by the
    SignerPolicy that a CertificateRequest rests on, or ("") as istiod asks; None where nobody reads live: then none is asked for.
    `routed` are the signers that a SignerPolicy routes by identity; `naming` has the SignerPolicies (by name) by each namespace that
    they name, `labelling` by the labels that they ask for: by the keys, and then by the values.
    """

    settings: Settings = msgspec.field(default_factory=Settings)
    config: MeshConfig = msgspec.field(default_factory=MeshConfig)
    signers: frozenset[IssuerRef] = frozenset()
    defaults: frozenset[IssuerRef] = frozenset()
    no_default: dict[IssuerRef, str] = msgspec.field(default_factory=dict)
    requesters: frozenset[str] = frozenset()
    domains: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    keys: dict[str, frozenset[IssuerRef]] = msgspec.field(default_factory=dict)
    key_since: dict[tuple[str, IssuerRef], datetime] = msgspec.field(default_factory=dict)
    roots: dict[IssuerRef, Roots] = msgspec.field(default_factory=dict)
    root_keys: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()
    tops: dict[str, frozenset[IssuerRef]] = msgspec.field(default_factory=dict)
    namespaces: dict[str, Namespace] = msgspec.field(default_factory=dict)
    claims: dict[str, Claims] = msgspec.field(default_factory=dict)
    claimants: dict[IssuerRef, frozenset[str]] = msgspec.field(default_factory=dict)
    policies: dict[IssuerRef, tuple[Policy, ...]] = msgspec.field(default_factory=dict)
    routed: frozenset[IssuerRef] = frozenset()
    naming: dict[str, dict[str, Policy]] = msgspec.field(default_factory=dict)
    labelling: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, Policy]]] = msgspec.field(default_factory=dict)
    settling: dict[IssuerRef, datetime] = msgspec.field(default_factory=dict)
    bindings: dict[IssuerRef, Binding] = msgspec.field(default_factory=dict)
    had_default: dict[str, HadDefault] = msgspec.field(default_factory=dict)
    had_own: dict[str, HadDefault] = msgspec.field(default_factory=dict)
    confirmed: dict[Confirmed, datetime] | None = None
    unsynced: str = "everything"
    stale: frozenset[str] = frozenset()

    def by_identity(self, namespace: str) -> bool:
        """Tell whether a SignerPolicy has the CA of a namespace chosen by identity."""
        exists = self.namespaces.get(namespace)
        routes = (policy for signer in self.routed for policy in self.policies.get(signer, ()) if policy.by_identity)
        return any(policy.covers(namespace, exists) for policy in routes)

    def signed_before(self, key_id: str, signer: IssuerRef, other: IssuerRef) -> bool:
        """Tell whether a signer is recorded to have signed with a CA's key, and before another signer was."""
        mine, theirs = self.key_since.get((key_id, signer)), self.key_since.get((key_id, other))
        return mine is not None and (theirs is None or mine < theirs)


def without_wall() -> World:
    """Return the world of --tenancy=off: everything passes that cert-manager would sign."""
    return World(settings=Settings(mode="off"), unsynced="")
