"""A name in a SignerPolicy means the namespace that had it first: recorded before a grant, kept over restarts, until an admin."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signer.api.meta import ObjectMeta
from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.decide import decide
from signer.tenancy.grants import Granted, NotGranted, granted
from signer.tenancy.policies import read_policy, to_record
from signer.tenancy.verdict import Grant, Limits, Refuse, Unready
from signer.tenancy.world import Namespace, Policy, RequestRules, Settings, World
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.test_policy_limits import asked, workload
from tests.unit.tenancy.worlds import FOO, world

SIGNERS = ["clusterissuers.cert-manager.io/foo"]


def stored(names: list[str], record: dict[str, str], **namespaces: Any) -> SignerPolicy:
    spec = {"signers": SIGNERS, "namespaces": {"names": names} | namespaces} if names else {"signers": SIGNERS}
    return SignerPolicy(metadata=ObjectMeta(name="p"), raw_spec=spec, raw_status={"namespaceUIDs": record})


def mesh(policy: Policy, uid: str | None, settings: Settings | None = None) -> World:
    found = world(settings=settings)
    found.policies = {FOO: (policy,)}
    if uid is None:
        del found.namespaces["shop"]
    else:
        found.namespaces["shop"] = Namespace(uid)
    return found


class Life:
    """A policy that names shop, and the namespaces of that name, one after the other."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.record: dict[str, str] = {}
        self.number = 0
        self.uid: str | None = None
        self.meant: str | None = None  # the uid that an admin's words mean

    def make(self) -> None:
        if self.uid is None:
            self.number += 1
            self.uid = f"uid-{self.number}"

    def delete(self) -> None:
        self.uid = None

    def apply(self) -> None:
        self.names = ["shop"]

    def take_out(self) -> None:
        self.names = []

    def write(self) -> None:
        there = {"shop": Namespace(self.uid)} if self.uid is not None else {}
        for name, one in to_record(stored(self.names, self.record), there).items():
            if one is None:
                del self.record[name]
            else:
                self.record[name] = one
        self.meant = (self.meant or self.uid) if self.names else None

    def readmit(self) -> None:
        if self.uid is not None and self.record.get("shop", self.uid) != self.uid:
            self.record["shop"] = self.meant = self.uid


STEPS = (Life.make, Life.delete, Life.apply, Life.take_out, Life.write, Life.readmit)


@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_any_life(steps: list[Callable[[Life], None]]) -> None:
    """In any order of events: a grant needs a stored record of this very uid, and only an admin's act lets another one in.

    Each decision is made from what is stored alone, as after a restart.
    """
    life = Life()
    for step in steps:
        step(life)
        policy = read_policy(stored(life.names, life.record))
        verdict = decide(workload(), mesh(policy, life.uid), Limits(), fresh=True, now=NOW)
        due = bool(life.names) and life.uid is not None and life.uid == life.meant
        assert isinstance(verdict, Grant) == due, verdict
        assert not due or life.record["shop"] == life.uid


@pytest.mark.parametrize("ask", [workload(), asked()], ids=["workload", "request"])
@pytest.mark.parametrize(
    ("record", "uid", "expected"),
    [
        ({"shop": "u1"}, "u1", Grant),
        ({}, "u1", Unready),
        ({"shop": "u1"}, "u2", Refuse),
        ({"shop": ""}, "u1", Unready),
        ({"other": "u1"}, "u1", Unready),
        ({"shop": "u1"}, None, Refuse),
    ],
)
def test_on_every_path(ask: Any, record: dict[str, str], uid: str | None, expected: type) -> None:
    """Workloads and CertificateRequests alike: without a record they wait, with another uid they are refused."""
    policy = Policy("p", frozenset({FOO}), frozenset({"shop"}), certificate_requests=RequestRules())
    verdict = decide(ask, mesh(replace(policy, namespace_uids=record), uid), Limits(), fresh=True, now=NOW)
    assert isinstance(verdict, expected), verdict
    if uid == "u2":
        assert isinstance(verdict, Refuse)
        assert verdict.code == "NamespaceRemade"
        assert "mesh-signer tenants readmit shop" in verdict.message
    if isinstance(verdict, Unready):
        assert verdict.reason.code == "NamespaceNotRecorded"


@pytest.mark.parametrize("ask", [workload(), asked()], ids=["workload", "request"])
def test_audit_mode(ask: Any) -> None:
    """While the wall only watches nothing waits for a record: what enforcing would say goes along."""
    policy = Policy("p", frozenset({FOO}), frozenset({"shop"}), certificate_requests=RequestRules())
    verdict = decide(
        ask,
        mesh(policy, "u1", Settings(mode="audit", audit_until=NOW + timedelta(days=1))),
        Limits(),
        fresh=True,
        now=NOW,
    )
    assert isinstance(verdict, Grant)
    assert [reason.code for reason in verdict.would_refuse] == ["NamespaceNotRecorded"]


def test_remade_allow() -> None:
    """With `remade: Allow` the name counts, whoever has it, and needs no record."""
    for record in ({}, {"shop": "u1"}):
        policy = read_policy(stored(["shop"], record, remade="Allow"))
        assert isinstance(granted(mesh(policy, "u2"), "shop", FOO, now=NOW), Granted)
    assert isinstance(
        granted(mesh(read_policy(stored(["shop"], {}, remade="Refuse")), "u2"), "shop", FOO, now=NOW), NotGranted
    )
    assert "spec.namespaces.remade" in read_policy(stored(["shop"], {}, remade="allow")).problem


def test_what_is_recorded() -> None:
    """Names that exist and are not recorded; what is named no more goes; a broken policy records nothing."""
    there = {"shop": Namespace("u1"), "store": Namespace("u2")}
    assert to_record(stored(["shop", "later"], {}), there) == {"shop": "u1"}
    assert to_record(stored(["shop"], {"shop": "u0"}), there) == {}
    assert to_record(stored(["shop"], {"shop": "u1", "store": "u2"}), there) == {"store": None}
    assert to_record(stored([], {"store": "u2"}), there) == {"store": None}
    assert to_record(stored(["shop"], {}, remade="what"), there) == {}


def test_a_request_waits_for_the_policy_that_may_allow_it() -> None:
    """A CertificateRequest's refusal is final: it waits while one of the policies that open them has no record yet."""
    other = Policy("a", frozenset({FOO}), namespace_labels={"mesh-signer.dev/a": "b"})
    closed = replace(other, certificate_requests=None)
    strict = replace(other, certificate_requests=RequestRules(frozenset({"bob"})))
    coming = Policy("p", frozenset({FOO}), frozenset({"shop"}), certificate_requests=RequestRules())
    for first, second, expected in (
        (closed, coming, "NamespaceNotRecorded"),
        (strict, coming, "NamespaceNotRecorded"),
        (strict, replace(coming, certificate_requests=None), "RequesterNotAllowed"),
        (closed, replace(coming, certificate_requests=None), "RequestNotAllowed"),
        (closed, replace(coming, namespace_uids={"shop": "before"}), "NamespaceRemade"),
    ):
        found = mesh(first, "u1")
        found.namespaces["shop"] = Namespace("u1", {"mesh-signer.dev/a": "b"})
        found.policies[FOO] = (first, second)
        verdict = decide(asked(), found, Limits(), fresh=True, now=NOW)
        assert isinstance(verdict, Unready if expected == "NamespaceNotRecorded" else Refuse), verdict
        code = verdict.reason.code if isinstance(verdict, Unready) else verdict.code
        assert code == expected


def test_another_policy_is_enough() -> None:
    """A namespace that one policy does not mean any more is covered by another that does."""
    old = Policy("a", frozenset({FOO}), frozenset({"shop"}), namespace_uids={"shop": "u1"})
    new = Policy("b", frozenset({FOO}), namespace_labels={"mesh-signer.dev/team": "shop"})
    found = mesh(old, "u2")
    found.policies[FOO] = (old, new)
    assert isinstance(granted(found, "shop", FOO, now=NOW), NotGranted)
    found.namespaces["shop"] = Namespace("u2", {"mesh-signer.dev/team": "shop"})
    assert isinstance(granted(found, "shop", FOO, now=NOW), Granted)
