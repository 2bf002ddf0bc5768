"""A namespace made again has what the earlier one of its name had by an admin's word about this very one, and by nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.edgepolicy import EdgePolicy
from signer.api.hostclaim import HostClaim
from signer.api.meta import to_rfc3339
from signer.commands.tenancies.readmit import hosts_of_earlier, remade
from signer.edge.hosts.decide import (
    Asker,
    Claim,
    EdgeWorld,
    Granted,
    Take,
    decide,
    given_back,
    may_order,
    new_claim,
    over,
    read_claim,
)
from signer.edge.hosts.policy import HostPolicy, read_edge_policy, to_record
from signer.edge.hosts.remade import whom_it_means
from signer.tenancy.verdict import Refuse
from tests.unit.edge.objects import LE, host

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)
SHOP = host("shop.example.com")
LABELS = {"mesh-signer.dev/tenant": "shop"}


def stored(names: list[str], record: dict[str, str], at: int = 0, **namespaces: Any) -> EdgePolicy:
    """A policy for example.com."""
    meta = {"name": "p", "creationTimestamp": to_rfc3339(T0 + timedelta(seconds=at))}
    spec = {"hostSuffixes": ["example.com"], "namespaces": {"names": names} | namespaces}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"namespaceUIDs": record}}, EdgePolicy)


class Life:
    """Namespaces of the name shop, one after the other; a policy that names it; and the claim of a host.

    `meant`: the uids that an admin's words were about, each said while that namespace was there.
    """

    def __init__(self) -> None:
        self.now = 0
        self.number = 0
        self.made: int | None = None  # when the namespace of now was, None for none
        self.policy: int | None = None  # when it was written
        self.allow = False
        self.labels: dict[str, str] = {}
        self.record: dict[str, str] = {}
        self.claim: HostClaim | None = None
        self.meant: set[str] = set()
        self.readmitted = False

    @property
    def uid(self) -> str:
        return f"uid-{self.number}"

    def make(self) -> None:
        if self.made is None:
            self.number += 1
            self.made, self.readmitted = self.now, False

    def delete(self) -> None:
        self.made = None

    def later(self) -> None:
        self.now += 1

    def apply(self) -> None:
        """An admin writes the policy, or deletes it and applies it again."""
        self.policy, self.record = self.now, {}
        if self.made is not None and self.made < self.now:
            self.meant.add(self.uid)

    def toggle(self) -> None:
        self.allow = not self.allow

    def by_labels(self) -> None:
        self.labels = LABELS

    def readmit(self) -> None:
        if self.made is not None and self.policy is not None and remade([self.obj], "shop", self.uid):
            self.record["shop"] = self.uid
            self.meant.add(self.uid)
            self.readmitted = True

    @property
    def obj(self) -> EdgePolicy:
        more: dict[str, Any] = {"remade": "Allow"} if self.allow else {}
        if self.labels:
            more["matchLabels"] = self.labels
        return stored(["shop"], self.record, self.policy or 0, **more)

    @property
    def held(self) -> Claim | None:
        return read_claim(self.claim) if self.claim is not None else None

    def write(self) -> None:
        """The controllers write down whom the policy means, as they do before each decision."""
        if self.policy is None or self.made is None:
            return
        claims = [self.held] if self.held is not None else []
        at = [T0 + timedelta(seconds=one) for one in (self.policy, self.made)]
        means = whom_it_means(read_edge_policy(self.obj), at[0], self.asker, at[1], claims)
        self.record |= {name: uid for name, uid in to_record(self.obj, {"shop": means}).items() if uid is not None}

    @property
    def asker(self) -> Asker:
        return Asker("shop", self.uid, self.labels)

    def ask(self) -> None:
        """The namespace asks for the host, and takes it if it may."""
        if self.made is None:
            return
        self.write()
        held = self.held
        policies = [read_edge_policy(self.obj)] if self.policy is not None else []
        world = EdgeWorld({SHOP.claim_name: held} if held is not None else {}, policies)
        verdict = decide(SHOP, self.asker, LE, world)
        if isinstance(verdict, Take):
            now = T0 + timedelta(seconds=self.now)
            if verdict.instead_of:
                assert held is not None
                assert verdict.instead_of == held.namespace_uid != self.uid
                assert self.policy is not None
                assert self.allow or self.uid in self.meant, "nobody said that this namespace is meant"
                self.claim = merged(self.claim, over(verdict, now))
            else:
                assert held is None
                self.claim = msgspec.convert(new_claim(verdict), HostClaim)
            held = self.held
            assert held is not None
            assert decide(SHOP, self.asker, LE, replace(world, claims={SHOP.claim_name: held})) != verdict
        if self.policy is not None and (self.allow or self.readmitted):
            assert isinstance(verdict, Take | Granted), "an admin gave it back"


def merged(obj: HostClaim | None, patch: dict[str, Any]) -> HostClaim:
    """The object after a merge patch."""
    assert obj is not None
    return msgspec.structs.replace(obj, raw_spec={**obj.raw_spec, **patch["spec"]})


STEPS = (
    Life.make,
    Life.delete,
    Life.later,
    Life.apply,
    Life.toggle,
    Life.by_labels,
    Life.readmit,
    Life.write,
    Life.ask,
    Life.ask,
)


@given(st.lists(st.sampled_from(STEPS), max_size=24))
def test_any_life(steps: list[Callable[[Life], None]]) -> None:
    """In any order of events: a claim goes over to a later namespace only by a word that an admin said about that one."""
    life = Life()
    for step in steps:
        step(life)
    life.ask()


def earlier(name: str = "shop.example.com", uid: str = "u1", namespace: str = "shop") -> Claim:
    """A claim of an earlier namespace."""
    return Claim(host(name), namespace, uid)


def meaning(uid: str = "u2", **fields: Any) -> HostPolicy:
    """A policy that means this namespace by the name shop."""
    return read_edge_policy(stored(["shop"], {"shop": uid}, **fields))


NOW = Asker("shop", "u2", LABELS)


@pytest.mark.parametrize(
    ("policy", "claim", "expected"),
    [
        (meaning(), earlier(), True),
        (meaning("u1"), earlier(), False),
        (meaning("u1", remade="Allow"), earlier(), True),
        (read_edge_policy(stored(["shop"], {})), earlier(), False),
        (read_edge_policy(stored([], {}, matchLabels=LABELS)), earlier(), False),
        (read_edge_policy(stored(["shop"], {"shop": "u2"}, remade="what")), earlier(), False),
        (meaning(), earlier(namespace="other"), False),
        (meaning(), earlier("shop.example.org"), False),
        (meaning(), replace(earlier(), problem="what"), False),
    ],
)
def test_given_back(policy: HostPolicy, claim: Claim, expected: bool) -> None:
    """By name and record only, or by `remade: Allow`: not by labels, not for another's host, not for one that no policy covers."""
    assert given_back(claim, NOW, [policy]) is expected
    verdict = decide(claim.host, NOW, LE, EdgeWorld({claim.host.claim_name: claim}, [policy]))
    assert isinstance(verdict, Take if expected else Refuse)


def test_what_lies_across() -> None:
    """An earlier wildcard, apex or name below is in nobody's way whom the policy gives it back to; another's is."""
    mine = meaning()
    for held, asked in (
        ("*.example.com", "a.example.com"),
        ("example.com", "*.example.com"),
        ("a.example.com", "*.example.com"),
    ):
        across = earlier(held)
        found = EdgeWorld({across.host.claim_name: across}, [mine])
        assert isinstance(decide(host(asked), NOW, LE, found), Take), asked
        others = replace(across, namespace="other")
        assert isinstance(decide(host(asked), NOW, LE, EdgeWorld({others.host.claim_name: others}, [mine])), Refuse)


def test_a_quota_counts_what_comes_back() -> None:
    """A host that is given back counts as one that is taken."""
    policy = replace(meaning(), max_hosts=1)
    claims = {one.host.claim_name: one for one in (earlier("a.example.com"), earlier("b.example.com", "u2"))}
    verdict = decide(host("a.example.com"), NOW, LE, EdgeWorld(claims, [policy]))
    assert isinstance(verdict, Refuse)
    assert verdict.code == "TooManyHosts"
    assert isinstance(may_order(["a.example.com"], NOW, LE, EdgeWorld(claims, [policy])), Refuse)


def test_since_when() -> None:
    """What a CA had proven for the earlier namespace does not count for the one of now: it has the host since it was given back."""
    made = {"apiVersion": "x", "metadata": {"name": "shop.example.com", "creationTimestamp": to_rfc3339(T0)}}
    obj = msgspec.convert(
        made | {"spec": {"host": "shop.example.com", "namespace": "shop", "namespaceUID": "u1"}}, HostClaim
    )
    later = T0 + timedelta(days=1)
    claim = read_claim(merged(obj, over(Take(SHOP, "shop", "u2", "u1"), later)))
    assert claim == Claim(SHOP, "shop", "u2", made=later)


def test_what_readmit_says() -> None:
    """It tells apart what the namespace of now gets and what no policy gives back."""

    def held(name: str, uid: str = "u1") -> HostClaim:
        spec = {"host": name, "namespace": "shop", "namespaceUID": uid}
        return msgspec.convert({"metadata": {"name": name}, "spec": spec}, HostClaim)

    claims = [held("a.example.com"), held("b.example.com", "u2"), held("a.example.org")]
    assert hosts_of_earlier(claims, [stored(["shop"], {"shop": "u1"})], "shop", "u2") == (
        ("a.example.com",),
        ("a.example.org",),
    )
    assert hosts_of_earlier(claims, [stored(["other"], {})], "shop", "u2") == ((), ("a.example.com", "a.example.org"))


@pytest.mark.parametrize(
    ("written", "made", "claims", "expected"),
    [
        (5, 1, [earlier()], "u2"),
        (5, 5, [earlier()], "u1"),
        (1, 5, [earlier()], "u1"),
        (1, 5, [], "u2"),
        (1, 5, [earlier("shop.example.org")], "u2"),
        (1, 5, [earlier(namespace="other")], "u2"),
        (1, 5, [earlier(uid="u2")], "u2"),
        (None, 5, [earlier()], "u1"),
        (1, None, [earlier()], "u1"),
        (1, 5, [replace(earlier(), made=T0), replace(earlier("b.example.com", "u0"), made=T0 - timedelta(1))], "u1"),
    ],
)
def test_whom_it_means(written: int | None, made: int | None, claims: list[Claim], expected: str) -> None:
    """The namespace of now, but where an earlier one has hosts under the policy, which is not younger than the one of now."""
    times = [T0 + timedelta(seconds=one) if one is not None else None for one in (written, made)]
    policy = read_edge_policy(stored(["shop"], {}))
    assert whom_it_means(policy, times[0], NOW, times[1], claims) == expected
