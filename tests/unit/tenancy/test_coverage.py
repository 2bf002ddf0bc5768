"""What SignerPolicies come to: namespaces covered, signers that do not exist, and policies that disagree."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition
from signer.api.signerpolicy import SignerPolicyStatus
from signer.tenancy.coverage import CONFLICT, READY, Coverage, Overlap, policy_status, read_coverage, would_have
from signer.tenancy.world import Binding, KeyRule, Namespace, Policy, Rate, RequestRules, World

FOO, BAR = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar"))
BOTH = frozenset({FOO, BAR})
TENANT, ZONE = "mesh-signer.dev/tenant", "mesh-signer.dev/zone"
NAMESPACES = {
    "a": Namespace("ua", {TENANT: "t", ZONE: "z"}),
    "b": Namespace("ub", {TENANT: "t"}),
    "c": Namespace("uc", {TENANT: "other", ZONE: "z"}),
    "d": Namespace("ud"),
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def policy(name: str = "p", *namespaces: str, signers: frozenset[IssuerRef] = frozenset({FOO}), **rest: Any) -> Policy:
    return Policy(name, signers, frozenset(namespaces), namespace_uids={one: f"u{one}" for one in namespaces}, **rest)


def coverage(*policies: Policy, issuers: frozenset[IssuerRef] = BOTH) -> dict[str, Coverage]:
    return read_coverage(policies, NAMESPACES, issuers)


class TestNamespaces:
    @pytest.mark.parametrize(
        ("names", "labels", "expected"),
        [
            ((), {}, ()),
            (("d", "a", "gone"), {}, ("a", "d")),
            ((), {TENANT: "t"}, ("a", "b")),
            ((), {TENANT: "t", ZONE: "z"}, ("a",)),
            (("d",), {TENANT: "t", ZONE: "z"}, ("a", "d")),
            ((), {TENANT: "nobody"}, ()),
            ((), {ZONE: ""}, ()),
        ],
    )
    def test_covered(self, names: tuple[str, ...], labels: dict[str, str], expected: tuple[str, ...]) -> None:
        """Those named that exist, and those that have all the labels."""
        assert coverage(policy("p", *names, namespace_labels=labels))["p"].namespaces == expected

    @given(
        st.sets(st.sampled_from([*NAMESPACES, "gone"])),
        st.dictionaries(st.sampled_from([TENANT, ZONE]), st.sampled_from(["t", "z", "other", ""])),
        st.sampled_from(["", "Identity"]),
    )
    def test_as_the_wall_has_it(self, names: set[str], labels: dict[str, str], route: Literal["", "Identity"]) -> None:
        """The status tells the same namespaces as a decision would."""
        one = policy("p", *names, namespace_labels=labels, route=route)
        expected = tuple(sorted(name for name, found in NAMESPACES.items() if one.covers(name, found)))
        assert coverage(one)["p"].namespaces == expected

    def test_a_broken_one_covers_none(self) -> None:
        """A policy with a problem covers nothing and disagrees with nobody."""
        found = coverage(policy("p", "a", problem="spec"), policy("q", "a", allow_ca=True))
        assert found == {"p": Coverage(), "q": Coverage(("a",))}


def test_a_route() -> None:
    """A policy that routes needs no issuer, is about all namespaces, takes the default from nobody, and disagrees with one that gives."""
    door = policy("door", route="Identity")
    (found,) = read_coverage([door], NAMESPACES, frozenset(), defaults=frozenset({FOO}), istio_namespace="d").values()
    assert (found.namespaces, found.missing, found.lost) == (tuple(NAMESPACES), (), ())
    status = policy_status(SignerPolicyStatus(), door, found, generation=1, now=NOW)
    ready = find_condition(status.conditions, READY)
    assert ready is not None
    assert (ready.status, ready.message) == ("True", "routes 4 namespaces")
    both = coverage(door, policy("plain", "a"))
    assert both["door"].overlaps == (Overlap("plain", FOO, "a", 1),)


def test_missing_signers() -> None:
    """Signers that do not exist are named."""
    assert coverage(policy(signers=BOTH), issuers=frozenset({FOO}))["p"].missing == (BAR,)
    assert coverage(policy(signers=BOTH))["p"].missing == ()


def test_a_namespace_made_again() -> None:
    """A namespace of another uid is not covered, and the policy says so and what an admin may do; one not recorded says nothing."""
    names = {"a": "ua", "b": "an-earlier-one"}
    one = Policy("p", frozenset({FOO}), frozenset({*names, "c", "gone"}), namespace_uids=names)
    found = coverage(one)["p"]
    assert (found.namespaces, found.remade) == (("a",), ("b",))
    ready = policy_status(SignerPolicyStatus(), one, found, generation=1, now=NOW).conditions[0]
    assert (ready.status, ready.reason) == ("False", "NamespaceRemade")
    assert "mesh-signer tenants readmit b" in ready.message
    assert coverage(replace(one, remade_allowed=True))["p"].remade == ()


@pytest.mark.parametrize(
    ("lifetime", "namespace", "reason"),
    [
        (timedelta(minutes=9), "a", "LifetimeTooShort"),
        (timedelta(minutes=9), "b", "Accepted"),
        (timedelta(minutes=10), "a", "Accepted"),
        (None, "a", "Accepted"),
    ],
)
def test_too_short_for_istiod(lifetime: timedelta | None, namespace: str, reason: str) -> None:
    """A lifetime that istiod's own certificate is not cut to is told on the policy that covers Istio's namespace."""
    one = policy("p", namespace, max_lifetime=lifetime)
    found = read_coverage((one,), NAMESPACES, BOTH, istio_namespace="a")["p"]
    ready = policy_status(SignerPolicyStatus(), one, found, generation=1, now=NOW).conditions[0]
    assert ready.reason == reason


class TestOverlaps:
    @pytest.mark.parametrize(
        "other",
        [
            {"requesters": frozenset({"x"})},
            {"trust_domains": frozenset({"x"})},
            {"service_accounts": frozenset({"x"})},
            {"dns_names": ("x",)},
            {"max_lifetime": HOUR},
            {"keys": (KeyRule("RSA"),)},
            {"usages": frozenset({"server auth"})},
            {"allow_ca": True},
            {"append_root": True},
            {"rate": Rate(1, HOUR)},
            {"certificate_requests": RequestRules()},
        ],
        ids=lambda value: next(iter(value)),
    )
    def test_each_limit(self, other: dict[str, Any]) -> None:
        """Two policies that differ in any limit, for one signer and namespace, are told on both."""
        found = coverage(policy("p", "a", "b"), policy("q", "b", "a", "d", **other))
        assert found["p"].overlaps == (Overlap("q", FOO, "a", 2),)
        assert found["q"].overlaps == (Overlap("p", FOO, "a", 2),)

    def test_none(self) -> None:
        """The same limits, other namespaces or other signers are no conflict."""
        same = coverage(policy("p", "a", dns_names=("x", "y")), policy("q", "a", dns_names=("y", "x")))
        apart = coverage(policy("p", "a"), policy("q", "b", allow_ca=True))
        others = coverage(policy("p", "a"), policy("q", "a", signers=frozenset({BAR}), allow_ca=True))
        for found in (same, apart, others):
            assert all(one.overlaps == () for one in found.values())

    def test_three(self) -> None:
        """Each is told of each that differs from it."""
        found = coverage(policy("p", "a"), policy("q", "a", allow_ca=True), policy("r", namespace_labels={TENANT: "t"}))
        told = {name: [one.policy for one in what.overlaps] for name, what in found.items()}
        assert told == {"p": ["q"], "q": ["p", "r"], "r": ["q"]}


class TestStatus:
    def status(self, one: Policy, what: Coverage, old: SignerPolicyStatus | None = None) -> SignerPolicyStatus:
        return policy_status(old or SignerPolicyStatus(), one, what, generation=3, now=NOW)

    def test_good(self) -> None:
        """A good policy is Ready, in no Conflict, and says how many namespaces it covers and the first of them."""
        names = tuple(f"n{number:02d}" for number in range(12))
        found = self.status(policy(), Coverage(names))
        assert json.loads(msgspec.json.encode(found)) == {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Accepted",
                    "message": "covers 12 namespaces",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                    "observedGeneration": 3,
                },
                {
                    "type": "Conflict",
                    "status": "False",
                    "reason": "NoOverlap",
                    "message": "no other policy says otherwise about the same signer and namespace",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                    "observedGeneration": 3,
                },
            ],
            "namespaceCount": 12,
            "namespaces": list(names[:10]),
        }

    @pytest.mark.parametrize(
        ("one", "what", "reason", "part"),
        [
            (policy(problem="spec.keys: x"), Coverage(), "InvalidSpec", "spec.keys: x. It grants nothing"),
            (policy(), Coverage(missing=(FOO,)), "SignerNotFound", "spec.signers: ClusterIssuer foo does not exist"),
            (policy(), Coverage(missing=(FOO,) * 7), "SignerNotFound", "ClusterIssuer foo and 2 more do not exist"),
        ],
    )
    def test_not_ready(self, one: Policy, what: Coverage, reason: str, part: str) -> None:
        """A policy that cannot be read, or names a signer that is not there, is not Ready and says why."""
        ready = find_condition(self.status(one, what).conditions, READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", reason)
        assert part in ready.message

    def test_conflict(self) -> None:
        """A conflict names the other policy, the signer and the namespace; of many, the first three."""
        overlaps = tuple(Overlap(f"q{number}", FOO, "a", 2) for number in range(5))
        conflict = find_condition(self.status(policy(), Coverage(("a",), overlaps=overlaps)).conditions, CONFLICT)
        assert conflict is not None
        assert conflict.status == "True"
        assert conflict.message.startswith(
            "SignerPolicy q0 gives ClusterIssuer foo to namespace a and 1 more with other"
        )
        assert "; and 2 more. Of those" in conflict.message

    def test_nothing_new(self) -> None:
        """The same again is an equal status, so that nothing is written; counts stay."""
        old = replace_counts(self.status(policy(), Coverage(("a",))), 5)
        later = policy_status(old, policy(), Coverage(("a",)), generation=3, now=NOW + HOUR)
        assert later == old
        assert later.issued == 5

    def test_since(self) -> None:
        """A condition has the time when the answer changed, not when it was written."""
        old = self.status(policy(), Coverage(("a",)))
        broken = policy_status(old, replace(policy(), problem="x"), Coverage(), generation=4, now=NOW + HOUR)
        ready, conflict = broken.conditions
        assert ready.last_transition_time == "2026-01-01T01:00:00Z"
        assert conflict.last_transition_time == "2026-01-01T00:00:00Z"


def replace_counts(status: SignerPolicyStatus, issued: int) -> SignerPolicyStatus:
    return msgspec.structs.replace(status, issued=issued)


ALL_NAMES = [*NAMESPACES, "gone", "later"]


class TestNobody:
    """A policy that keeps everybody from a signer does not look as if all were well."""

    def ready(self, one: Policy, *others: Policy, **around: Any) -> Any:
        found = read_coverage((one, *others), NAMESPACES, BOTH, **around)[one.name]
        return policy_status(SignerPolicyStatus(), one, found, generation=1, now=NOW).conditions[0]

    @given(
        st.sets(st.sampled_from(ALL_NAMES)),
        st.dictionaries(st.sampled_from([TENANT, ZONE]), st.sampled_from(["t", "z", "typo"])),
        st.sets(st.sampled_from(ALL_NAMES)),
        st.sampled_from([None, *NAMESPACES]),
    )
    def test_whoever_it_is(self, names: set[str], labels: dict[str, str], others: set[str], owner: str | None) -> None:
        """Ready is False as long as no namespace is what is asked for; who is cut off is named, and nobody else."""
        one, other = policy("p", *names, namespace_labels=labels), policy("q", *others)
        holders = frozenset({owner} - {None})
        ready = self.ready(one, other, holders=lambda signer: holders if signer == FOO else frozenset())
        covered = [name for name, found in NAMESPACES.items() if one.covers(name, found)]
        assert (ready.reason == "CoversNobody") == bool((names or labels) and not covered)
        assert (ready.status == "True") == (ready.reason == "Accepted")
        cut_off = owner is not None and not any(one.covers(owner, NAMESPACES[owner]) for one in (one, other))
        assert (f"ClusterIssuer foo is refused to namespace {owner}, which would have it" in ready.message) == cut_off
        assert ("refused" in ready.message) == cut_off

    def test_a_mistyped_label(self) -> None:
        """The message says what was asked for, whose signer it was, and until when it stays so."""
        one = policy("p", "later", namespace_labels={TENANT: "typo"})
        ready = self.ready(one, holders=lambda _: frozenset({"a"}))
        assert (ready.status, ready.reason) == ("False", "CoversNobody")
        assert ready.message == (
            "spec.namespaces: there is no namespace later, and no namespace has the label mesh-signer.dev/tenant=typo. By this "
            "policy nobody has ClusterIssuer foo, until there is such a namespace, or the policy is corrected or deleted: "
            "ClusterIssuer foo is refused to namespace a, which would have it, where no policy covers it"
        )

    def test_on_purpose(self) -> None:
        """A policy that names no namespaces closes its signers, which is Ready, and says whom it closes them to."""
        ready = self.ready(policy(), holders=lambda _: frozenset({"a"}))
        assert (ready.status, ready.reason) == ("True", "Accepted")
        assert "refused to namespace a" in ready.message

    def test_the_default(self) -> None:
        """Who takes the mesh's default away from everybody is told so."""
        ready = self.ready(policy("p", "gone"), defaults=frozenset({FOO}))
        assert "refused to whoever claims no signer, as it is the mesh's default" in ready.message

    @pytest.mark.parametrize(("names", "told"), [(("a",), True), (("a", "istio-system"), False)])
    @pytest.mark.parametrize("signer", [FOO, IssuerRef("ClusterIssuer", "", "istio-system")], ids=str)
    def test_istiods_own(self, names: tuple[str, ...], told: bool, signer: IssuerRef) -> None:
        """Who takes the signer of istiod's own certificate away from it is told so, by name."""
        there = NAMESPACES | {"istio-system": Namespace("ui")}
        one = replace(policy("p", *names), signers=frozenset({signer}))
        one = replace(one, namespace_uids={name: there[name].uid for name in names})
        found = read_coverage(
            (one,), there, BOTH | {signer}, istio_namespace="istio-system", defaults=frozenset({FOO})
        )["p"]
        ready = policy_status(SignerPolicyStatus(), one, found, generation=1, now=NOW).conditions[0]
        assert ("istiod itself, which gets no certificate at its next start" in ready.message) == told
        assert ("istiod" in ready.message) == told

    def test_about_to_be_recorded(self) -> None:
        """A namespace whose uid is not stored yet is there: the policy is not called empty for a moment."""
        assert self.ready(Policy("p", frozenset({FOO}), frozenset({"a"}))).status == "True"

    def test_comes_and_goes(self) -> None:
        """When there is such a namespace, the same policy is Ready, and so it is no longer when that is gone."""
        one = policy("p", namespace_labels={TENANT: "typo"})
        there = NAMESPACES | {"e": Namespace("ue", {TENANT: "typo"})}
        for namespaces, expected in ((NAMESPACES, "False"), (there, "True"), (NAMESPACES, "False")):
            found = read_coverage((one,), namespaces, BOTH)["p"]
            ready = policy_status(SignerPolicyStatus(), one, found, generation=1, now=NOW).conditions[0]
            assert ready.status == expected


@pytest.mark.parametrize(
    ("signer", "binding", "claimants", "expected"),
    [
        (IssuerRef("Issuer", "a", "x"), None, set(), {"a"}),
        (IssuerRef("Issuer", "gone", "x"), None, set(), set()),
        (FOO, ("a", "ua"), {"b"}, {"a"}),
        (FOO, ("a", "an-earlier-one"), {"b"}, set()),
        (FOO, None, {"b"}, {"b"}),
        (FOO, None, {"b", "c"}, set()),
        (IssuerRef("ClusterIssuer", "", "a"), None, {"a", "b"}, {"a"}),
        (IssuerRef("ClusterIssuer", "", "a"), None, {"b"}, set()),
    ],
)
def test_would_have(
    signer: IssuerRef, binding: tuple[str, str] | None, claimants: set[str], expected: set[str]
) -> None:
    """Who would have a signer without policies is an Issuer's namespace, the owner, or who would become it."""
    world = World(namespaces=dict(NAMESPACES), claimants={signer: frozenset(claimants)})
    if binding is not None:
        world.bindings[signer] = Binding(signer, *binding, created=NOW)
    assert would_have(world, signer) == expected
