"""Bridges as hypothesis draws them, and a client's namespace in memory that the steps are carried out in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from issuers.spiffe import SpiffeId
from signer.api.destinationrule import Subset
from signer.api.tenantbridge import TenantBridgeStatus
from signer.bridges import status as to_status
from signer.bridges.credential import Credential
from signer.bridges.read import BridgePolicy, Wish
from signer.bridges.step import Announce, DropRule, DropSecret, Found, Issue, PutRule, Server, Sight, Step, Wanted
from signer.kube.objects import Json
from signer.tenancy.verdict import Bridge
from signer.tenancy.world import Namespace

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OVERLAP = timedelta(hours=24)
HOSTS = tuple(f"{one}.foo.svc.cluster.local" for one in ("a", "b", "c", "*"))
UIDS = ("u1", "u2")
NAMESPACES = ("foo", "bar", "gateways")

moments = st.one_of(st.none(), st.none(), st.integers(-3, 3).map(lambda hours: NOW + hours * HOUR))


def mostly(usual: object, *others: object) -> st.SearchStrategy[Any]:
    """The usual value three times of four: what is drawn apart would hardly ever fit together."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), st.sampled_from(others))


wishes = st.builds(
    Wish,
    namespace=mostly("foo", "bar"),
    name=st.just("ingress"),
    uid=st.just("bridge"),
    client_namespace=mostly("gateways", "bar"),
    client_account=mostly("gateway", "other"),
    client_labels=st.just({"istio": "ingressgateway"}),
    hosts=st.lists(st.sampled_from(HOSTS), min_size=1, max_size=3, unique=True).map(tuple),
    lifetime=st.sampled_from((timedelta(minutes=10), HOUR)),
    ends=moments,
    problem=mostly("", "spec.hosts: none"),
)

policies = st.builds(
    BridgePolicy,
    name=st.sampled_from(("p", "q")),
    servers=mostly(frozenset({"foo", "bar"}), frozenset(), frozenset({"bar"})),
    server_labels=mostly({}, {"mesh-signer.dev/tenant": "foo"}),
    clients=mostly(
        frozenset({("gateways", "gateway"), ("bar", "gateway")}), frozenset(), frozenset({("gateways", "other")})
    ),
    max_lifetime=st.sampled_from((timedelta(minutes=5), HOUR)),
    wildcards=st.booleans(),
    trust_domain=mostly("", "cluster.local", "elsewhere"),
    ends=moments,
    remade_allowed=st.booleans(),
    namespace_uids=mostly(dict.fromkeys(NAMESPACES, "u1"), {}, dict.fromkeys(NAMESPACES, "u2")),
    problem=mostly("", "spec.clients: none"),
)


def _spaces(uids: tuple[str, ...], labels: dict[str, str], left: frozenset[str]) -> dict[str, Namespace]:
    return {name: Namespace(uid, labels) for name, uid in zip(NAMESPACES, uids, strict=True) if name not in left}


spaces = st.builds(
    _spaces,
    st.tuples(*(mostly("u1", "u2") for _ in NAMESPACES)),
    mostly({}, {"mesh-signer.dev/tenant": "foo"}),
    mostly(frozenset(), frozenset({"foo"}), frozenset({"gateways"})),
)


def bridge(**changes: object) -> Bridge:
    """A bridge from the gateway to foo."""
    made = Bridge(
        name="foo/ingress",
        policy="p",
        server="foo",
        server_uid="u1",
        client=SpiffeId("cluster.local", "gateways", "gateway"),
        client_uid="u2",
        lifetime=HOUR,
    )
    return replace(made, **changes)


def wish(*hosts: str) -> Wish:
    """What foo says of it."""
    return Wish(
        "foo",
        "ingress",
        "bridge",
        client_namespace="gateways",
        client_account="gateway",
        client_labels={"istio": "ingressgateway"},
        hosts=hosts or HOSTS[:1],
    )


def root(name: str) -> str:
    """Something that stands for a root's PEM."""
    return f"-----{name}-----\n"


def server(name: str = "first", key: str = "aa") -> Server:
    return Server(key, root(name), NOW + 1000 * HOUR)


def wanted(made: Bridge | None = None, *, ca: Server | None = None, accounts: Iterable[str] = ("httpbin",)) -> Wanted:
    return Wanted(made or bridge(), ca or server(), tuple(accounts), {HOSTS[0]: (Subset(name="v1"),)})


@dataclass
class Place:
    """The client's namespace in memory, and the bridge's status; `log` has what was done, in order."""

    status: TenantBridgeStatus = field(default_factory=TenantBridgeStatus)
    secret: Found | None = None
    rules: dict[str, Found] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    made: int = 0

    def sight(self) -> Sight:
        return Sight(self.secret, dict(self.rules))

    def new_uid(self) -> str:
        self.made += 1
        return f"made-{self.made}"

    def take(self, steps: Iterable[Step], of: Bridge, ca: Server, now: datetime, most: int = 1000) -> None:
        """Carry steps out, `most` of them: then the process ends. What isn't ours raises."""
        for step in list(steps)[:most]:
            self.log.append(type(step).__name__)
            self._one(step, of, ca, now)

    def _one(self, step: Step, of: Bridge, ca: Server, now: datetime) -> None:
        if isinstance(step, Announce):
            names = dict.fromkeys(step.rules, "")
            self.status = to_status.recorded(self.status, step.client_namespace, step.client_namespace_uid, names)
        elif isinstance(step, Issue):
            assert self.status.client_namespace_uid, "nothing is made before it is recorded"
            assert (self.secret.uid if self.secret else "") == step.uid
            ends = min(one for one in (now + of.lifetime, of.ends) if one is not None)
            held = Credential(str(of.client), ca.authority_key_id, now - timedelta(minutes=2), ends, step.roots)
            uid = step.uid or self.new_uid()
            self.secret = Found(uid, "1", ours=True, credential=held)
            self.status = to_status.secret_made(self.status, uid, step.roots[0], ends, overlap=OVERLAP, now=now)
        elif isinstance(step, PutRule):
            assert self.secret is not None, "no rule comes before its Secret"
            assert step.name in self.status.rules, "nothing is made before it is recorded"
            assert (self.rules[step.name].uid if step.name in self.rules else "") == step.uid
            uid = step.uid or self.new_uid()
            self.rules[step.name] = Found(uid, "1", ours=True, spec=step.spec)
            self.status = to_status.rule_made(self.status, step.name, uid)
        elif isinstance(step, DropRule):
            assert self.rules[step.name].ours
            assert self.rules.pop(step.name).uid == step.uid
            self.status = to_status.rule_dropped(self.status, step.name)
        else:
            assert isinstance(step, DropSecret)
            assert not any(one.ours for one in self.rules.values()), "the rules go before the Secret"
            assert self.secret is not None
            assert self.secret.ours
            self.secret = None

    @property
    def hosts(self) -> set[str]:
        return {str(one.spec["host"]) for one in self.rules.values() if one.ours}


def foreign(spec: Json | None = None) -> Found:
    """Somebody else's object."""
    return Found("theirs", "9", ours=False, spec=spec or {"host": "theirs"})
