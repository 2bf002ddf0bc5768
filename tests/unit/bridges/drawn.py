"""Bridges as hypothesis draws them, and a client's namespace in memory that the steps are carried out in."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from issuers.spiffe import SpiffeId
from signer.api.destinationrule import Subset
from signer.api.meta import to_rfc3339
from signer.api.tenantbridge import TenantBridgeStatus
from signer.bridges import status as to_status
from signer.bridges.credential import Credential, fingerprint
from signer.bridges.read import BridgePolicy, Wish
from signer.bridges.step import (
    Announce,
    DropRule,
    DropSecret,
    Found,
    Issue,
    PutRule,
    Server,
    Sight,
    Step,
    Wanted,
    build,
)
from signer.kube.objects import Json
from signer.tenancy.verdict import Bridge, Reason
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
        """What a live read finds: an object of ours is known by the recorded uid, by its label where none is recorded."""
        rules = {name: _seen(one, self.status.rules.get(name, "")) for name, one in self.rules.items()}
        return Sight(_seen(self.secret, self.status.secret_uid) if self.secret else None, rules)

    def new_uid(self) -> str:
        self.made += 1
        return f"made-{self.made}"

    def planned(self, of: Wish, want: Wanted, now: datetime) -> TenantBridgeStatus:
        return to_status.planned(self.status, of, want, self.sight(), now, overlap=OVERLAP)

    def missing(self, of: Wish, want: Wanted, now: datetime) -> tuple[Step, ...] | Reason:
        """What a look at this place says."""
        return build(of, want, self.planned(of, want, now), self.sight(), now, stored=self.status)

    def keep(self, of: Wish, want: Wanted, now: datetime, most: int = 1000) -> tuple[Step, ...]:
        """One look: its steps are carried out, and recorded as they are seen then; `most` of these writes, then the process ends."""
        steps = self.missing(of, want, now)
        assert not isinstance(steps, Reason), steps
        self.take(steps, want.bridge, want.server, now, most)
        if len(steps) < most:
            self.status = self.planned(of, want, now)
        return steps

    def take(self, steps: Iterable[Step], of: Bridge, ca: Server, now: datetime, most: int = 1000) -> None:
        """Carry steps out, `most` of them: then the process ends. What isn't ours raises."""
        for step in list(steps)[:most]:
            self.log.append(type(step).__name__)
            self._one(step, of, ca, now)

    def _one(self, step: Step, of: Bridge, ca: Server, now: datetime) -> None:
        if isinstance(step, Announce):
            self.status = step.status
        elif isinstance(step, Issue):
            assert self.status.client_namespace_uid, "nothing is made before it is recorded"
            assert (self.secret.uid if self.secret else "") == step.uid
            assert step.uid or not self.status.secret_uid, "nothing is made in the place of what is recorded"
            assert self.status.root == fingerprint(step.roots[0]), "no root is given before it is recorded"
            ends = min(one for one in (now + of.lifetime, of.ends) if one is not None)
            held = Credential(str(of.client), ca.authority_key_id, now - timedelta(minutes=2), ends, step.roots)
            self.secret = Found(step.uid or self.new_uid(), "1", ours=True, credential=held)
        elif isinstance(step, PutRule):
            assert self.secret is not None, "no rule comes before its Secret"
            assert step.uid or not self.status.rules[step.name], "nothing is made in the place of what is recorded"
            assert (self.rules[step.name].uid if step.name in self.rules else "") == step.uid
            self.rules[step.name] = Found(step.uid or self.new_uid(), "1", ours=True, spec=step.spec)
        elif isinstance(step, DropRule):
            assert self.rules[step.name].ours
            assert self.rules.pop(step.name).uid == step.uid
        else:
            assert isinstance(step, DropSecret)
            assert not any(one.ours for one in self.rules.values()), "the rules go before the Secret"
            assert self.secret is not None
            assert self.secret.ours
            self.secret = None

    def somebody_deletes(self, what: str) -> None:
        """A hand that is not ours takes the Secret or the first rule away."""
        if what == "Secret":
            self.secret = None
        elif what and self.rules:
            del self.rules[min(self.rules)]

    @property
    def recorded(self) -> bool:
        """Whether the status says of all that stands what it is, and nothing else."""
        held = self.secret.credential if self.secret is not None else None
        assert self.secret is not None
        assert held is not None
        said = self.status
        return (said.rules, said.secret_uid, said.not_after, said.root, said.former_root) == (
            {name: one.uid for name, one in self.rules.items()},
            self.secret.uid,
            to_rfc3339(held.not_after),
            fingerprint(held.roots[0]),
            "".join(map(fingerprint, held.roots[1:])),
        )

    @property
    def hosts(self) -> set[str]:
        return {str(one.spec["host"]) for one in self.rules.values() if one.ours}


def _seen(one: Found, recorded: str) -> Found:
    return dataclasses.replace(one, ours=one.ours and recorded in {"", one.uid})


def foreign(spec: Json | None = None) -> Found:
    """Somebody else's object."""
    return Found("theirs", "9", ours=False, spec=spec or {"host": "theirs"})
