"""Who has a host: claims, first come first served, and the admins' EdgePolicies."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import IssuerReference
from signer.api.edgepolicy import EdgePolicy
from signer.api.hostclaim import HostClaim
from signer.edge.hosts.decide import (
    MOST_HOSTS,
    Asker,
    Claim,
    EdgeWorld,
    Granted,
    HostVerdict,
    Take,
    TakeFirst,
    decide,
    granted_by_policy,
    may_order,
    new_claim,
    read_claim,
)
from signer.edge.hosts.policy import HostPolicy, deciding, read_edge_policy
from signer.tenancy.verdict import Refuse, Unready
from tests.unit.edge.objects import LE, host

FOO = Asker("foo", "uid-foo", {"mesh-signer.dev/tenant": "foo"})
BAR = Asker("bar", "uid-bar", {})
SHOP = "shop.foo.example"


def policy(
    name: str = "p",
    suffixes: Iterable[str] = ("foo.example",),
    recorded: dict[str, str] | None = None,
    **fields: Any,
) -> HostPolicy:
    spec = {"hostSuffixes": list(suffixes), "namespaces": {"names": ["foo"]}, **fields}
    body = {"metadata": {"name": name}, "spec": spec, "status": {"namespaceUIDs": recorded or {}}}
    return read_edge_policy(msgspec.convert(body, EdgePolicy))


def world(*claims: Claim, policies: Iterable[HostPolicy] = ()) -> EdgeWorld:
    return EdgeWorld({claim.host.claim_name: claim for claim in claims}, tuple(policies))


def claim(text: str, asker: Asker = FOO) -> Claim:
    return Claim(host(text), asker.namespace, asker.uid)


def ask(text: str, asker: Asker, found: EdgeWorld, issuer: IssuerReference = LE) -> HostVerdict:
    return decide(host(text), asker, issuer, found)


def code(verdict: HostVerdict) -> str:
    assert isinstance(verdict, Refuse), verdict
    return verdict.code


class TestFirstClaim:
    def test_nobody_has_it(self) -> None:
        """A host that nobody has is first claimed, and only then granted."""
        verdict = ask(SHOP, FOO, world())
        assert verdict == Take(host(SHOP), "foo", "uid-foo")
        assert isinstance(verdict, Take)
        stored = read_claim(msgspec.convert(new_claim(verdict), HostClaim))
        assert stored == claim(SHOP)
        assert ask(SHOP, FOO, world(claim(SHOP))) == Granted(host(SHOP))

    def test_somebody_has_it(self) -> None:
        """Whoever comes second is refused, and learns the claim's name but not whose it is."""
        verdict = ask(SHOP, BAR, world(claim(SHOP)))
        assert code(verdict) == "HostTaken"
        assert isinstance(verdict, Refuse)
        assert "foo" not in verdict.message.replace(SHOP, "")

    def test_a_namespace_made_again(self) -> None:
        """A namespace of the same name is not the same namespace."""
        verdict = ask(SHOP, Asker("foo", "another-uid", {}), world(claim(SHOP)))
        assert code(verdict) == "HostTaken"
        assert isinstance(verdict, Refuse)
        assert "7 days" in verdict.message

    def test_what_is_not_read_yet(self) -> None:
        """Before everything was read nothing is granted, not even what is claimed."""
        found = EdgeWorld({SHOP: claim(SHOP)}, (), unsynced="HostClaims were not read yet")
        assert isinstance(ask(SHOP, FOO, found), Unready)

    def test_an_unreadable_claim(self) -> None:
        """A claim that cannot be read belongs to nobody, and blocks the host until an admin mends it."""
        broken = Claim(host(SHOP), "", "", problem="spec.namespace: is missing")
        assert code(ask(SHOP, FOO, world(broken))) == "ClaimUnreadable"


class TestWildcards:
    @pytest.mark.parametrize("text", ["shop.foo.example", "a.b.foo.example", "*.b.foo.example"])
    def test_below_anothers_wildcard(self, text: str) -> None:
        """A name below another's wildcard would take traffic from it: refused, however deep."""
        assert code(ask(text, BAR, world(claim("*.foo.example")))) == "HostTaken"
        assert isinstance(ask(text, FOO, world(claim("*.foo.example"))), Take)

    @pytest.mark.parametrize("text", ["shop.foo.example", "a.b.foo.example", "*.b.foo.example"])
    def test_over_anothers_names(self, text: str) -> None:
        """A wildcard over another's names would certify them: refused."""
        verdict = ask("*.foo.example", BAR, world(claim(text)))
        assert code(verdict) == "HostTaken"
        assert isinstance(verdict, Refuse)
        assert text not in verdict.message
        assert isinstance(ask("*.foo.example", FOO, world(claim(text))), Take)

    @pytest.mark.parametrize("policies", [(), (policy(namespaces={"names": ["foo", "bar"]}),)], ids=["none", "both's"])
    def test_apex_and_wildcard_are_one(self, policies: Iterable[HostPolicy]) -> None:
        """One DNS record proves example.com and *.example.com: they are one namespace's, also below one policy for two."""
        for held, wanted in (("foo.example", "*.foo.example"), ("*.foo.example", "foo.example")):
            assert code(ask(wanted, BAR, world(claim(held), policies=policies))) == "HostTaken"
            assert isinstance(ask(wanted, FOO, world(claim(held), policies=policies)), Take)
            both = world(claim(held), claim(wanted, BAR), policies=policies)
            assert isinstance(ask(wanted, BAR, both), Granted)  # what was had before stays

    def test_a_policy_for_a_part(self) -> None:
        """A wildcard needs the word of every EdgePolicy below it, claimed or not; whose hosts they are stays untold."""
        part = policy("part", ["bar.foo.example"], namespaces={"names": ["bar"]})
        for held in ((), (claim("a.bar.foo.example", BAR),)):
            verdict = ask("*.foo.example", FOO, world(*held, policies=[part]))
            assert code(verdict) == "HostNotGranted"
            assert isinstance(verdict, Refuse)
            assert "bar" not in verdict.message
        assert isinstance(ask("*.foo.example", BAR, world(policies=[part])), Take)
        assert isinstance(ask("*.other.example", FOO, world(policies=[part])), Take)
        broken = policy("part", ["bar.foo.example"], maxHosts="many")
        assert code(ask("*.foo.example", FOO, world(policies=[broken]))) == "HostNotGranted"

    def test_one_that_was_had_by_mistake(self) -> None:
        """A claim that a wildcard had before its parts were asked gives no certificate any more."""
        part = policy("part", ["bar.foo.example"], namespaces={"names": ["bar"]})
        assert code(ask("*.foo.example", FOO, world(claim("*.foo.example"), policies=[part]))) == "HostNotGranted"

    def test_a_policy_for_the_wildcard(self) -> None:
        """Who was granted just the wildcard's name has it, though parts are others'; not who was granted more above it."""
        part = policy("part", ["bar.foo.example"], namespaces={"names": ["bar"]})
        held = claim("a.bar.foo.example", BAR)
        assert isinstance(ask("*.foo.example", FOO, world(held, policies=[part, policy("rest")])), Take)
        above = policy("above", ["example"])
        assert code(ask("*.foo.example", FOO, world(held, policies=[part, above]))) == "HostNotGranted"

    def test_neighbours(self) -> None:
        """Names that only end alike have nothing to do with each other."""
        assert isinstance(ask("a.badfoo.example", BAR, world(claim("*.foo.example"))), Take)


class TestPolicies:
    def test_granted(self) -> None:
        """A policy lets its namespaces have the hosts, with its name and rate."""
        found = policy(rate={"certificates": 3, "per": "1h"})
        verdict = ask(SHOP, FOO, world(claim(SHOP), policies=[found]))
        assert isinstance(verdict, Granted)
        assert (verdict.policy, verdict.rate) == ("p", found.rate)
        assert isinstance(ask(SHOP, FOO, world(policies=[found])), Take)

    def test_by_labels(self) -> None:
        """Labels under mesh-signer.dev/ stand for namespaces; all of them must be there."""
        found = policy(namespaces={"matchLabels": {"mesh-signer.dev/tenant": "foo"}})
        assert isinstance(ask(SHOP, FOO, world(policies=[found])), Take)
        assert code(ask(SHOP, BAR, world(policies=[found]))) == "HostNotGranted"

    def test_a_namespace_made_again(self) -> None:
        """A policy by name is for the namespace that had the name first; for a later one only if it says so."""
        again = Asker("foo", "another", {"mesh-signer.dev/tenant": "foo"})
        for remade, has_it in (("Refuse", False), ("Allow", True)):
            found = policy(namespaces={"names": ["foo"], "remade": remade}, recorded={"foo": "uid-foo"})
            assert isinstance(ask(SHOP, FOO, world(policies=[found])), Take)
            verdict = ask(SHOP, again, world(policies=[found]))
            assert isinstance(verdict, Take) == has_it
            assert granted_by_policy(host(SHOP), again, [found]) == has_it
            if isinstance(verdict, Refuse):
                assert "remade: Allow" in verdict.message
        labels = {"names": ["foo"], "matchLabels": {"mesh-signer.dev/tenant": "foo"}}
        by_labels = policy(namespaces=labels, recorded={"foo": "uid-foo"})
        assert isinstance(ask(SHOP, again, world(policies=[by_labels])), Take)

    def test_others_are_refused(self) -> None:
        """Hosts that a policy speaks about are for its namespaces only, claimed or not."""
        assert code(ask(SHOP, BAR, world(policies=[policy()]))) == "HostNotGranted"
        verdict = ask(SHOP, BAR, world(claim(SHOP, BAR), policies=[policy()]))
        assert code(verdict) == "HostNotGranted"

    def test_elsewhere_the_first_has_it(self) -> None:
        """A policy says nothing about hosts outside of its suffixes."""
        assert isinstance(ask("shop.bar.example", BAR, world(policies=[policy()])), Take)
        assert isinstance(ask("shop.badfoo.example", BAR, world(policies=[policy()])), Take)

    def test_the_longest_suffix_decides(self) -> None:
        """A more exact policy takes a part of another's hosts."""
        rest, part = policy("rest"), policy("part", ["bar.foo.example"], namespaces={"names": ["bar"]})
        found = world(claim("*.foo.example"), policies=[rest, part])
        assert [one.name for one in deciding([rest, part], host("a.bar.foo.example"))] == ["part"]
        assert isinstance(ask("a.bar.foo.example", BAR, found), Take)
        assert code(ask("a.bar.foo.example", FOO, found)) == "HostNotGranted"
        assert code(ask("a.foo.example", BAR, found)) == "HostNotGranted"

    def test_nobody(self) -> None:
        """A policy without namespaces keeps its hosts from everybody."""
        nobody = policy(namespaces=None)
        assert code(ask(SHOP, FOO, world(policies=[nobody]))) == "HostNotGranted"

    def test_a_broken_policy_grants_nothing(self) -> None:
        """A policy that cannot be read still keeps its hosts from everybody: a mistake opens nothing."""
        broken = policy(maxHosts="many")
        assert broken.problem
        assert code(ask(SHOP, FOO, world(policies=[broken]))) == "HostNotGranted"

    def test_issuers(self) -> None:
        """Only the issuers that the policy names may be asked."""
        found = world(policies=[policy(issuers=[{"name": "le"}, {"kind": "Issuer", "name": "own"}])])
        assert isinstance(ask(SHOP, FOO, found), Take)
        assert isinstance(ask(SHOP, FOO, found, IssuerReference(name="own")), Take)
        assert code(ask(SHOP, FOO, found, IssuerReference(name="own", kind="ClusterIssuer"))) == "IssuerNotAllowed"

    def test_quota(self) -> None:
        """A namespace has no more hosts of a policy than it allows; those it has stay."""
        found = policy(maxHosts=2)
        held = [claim("a.foo.example"), claim("b.foo.example"), claim("c.other.example")]
        assert isinstance(ask(SHOP, FOO, world(*held[:1], held[2], policies=[found])), Take)
        assert code(ask(SHOP, FOO, world(*held, policies=[found]))) == "TooManyHosts"
        assert isinstance(ask("a.foo.example", FOO, world(*held, policies=[found])), Granted)

    def test_every_reason_is_told(self) -> None:
        """All reasons are told at once."""
        verdict = ask(SHOP, BAR, world(claim(SHOP), policies=[policy()]))
        assert isinstance(verdict, Refuse)
        assert {reason.code for reason in verdict.reasons} == {"HostNotGranted", "HostTaken"}

    def test_a_grant_for_the_gateways_namespace(self) -> None:
        """Only a policy grants what is written into the gateway's namespace; a claim does not."""
        assert granted_by_policy(host(SHOP), FOO, [policy()])
        assert not granted_by_policy(host(SHOP), BAR, [policy()])
        assert not granted_by_policy(host(SHOP), FOO, [])


@pytest.mark.parametrize(
    "change",
    [
        {"hostSuffixes": []},
        {"hostSuffixes": ["*.foo.example"]},
        {"hostSuffixes": ["Foo.example"]},
        {"hostSuffixes": [""]},
        {"namespaces": {}},
        {"namespaces": {"names": ["A"]}},
        {"namespaces": {"matchLabels": {"team": "foo"}}},
        {"namespaces": {"matchLabels": {"mesh-signer.dev/a": "no value"}}},
        {"issuers": [{"kind": "Other", "name": "a"}]},
        {"issuers": [{"name": ""}]},
        {"maxHosts": 0},
        {"rate": {"certificates": 0}},
        {"rate": {"certificates": 1, "per": "25h"}},
        {"rate": {"certificates": 1, "per": "x"}},
        {"namespaces": {"names": ["foo"], "remade": "Maybe"}},
        {"namespaces": 7},
    ],
    ids=str,
)
def test_wrong_policies(change: dict[str, Any]) -> None:
    """Each mistake in a policy is told with its field, and the policy grants nothing."""
    spec: dict[str, Any] = {"hostSuffixes": ["foo.example"], "namespaces": {"names": ["foo"]}, **change}
    found = read_edge_policy(msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, EdgePolicy))
    assert found.problem.startswith("spec.")
    assert not found.covers("foo", "uid-foo", {"team": "foo", "mesh-signer.dev/a": "no value"})


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("shop.foo.example", {"host": "other.foo.example", "namespace": "foo", "namespaceUID": "u"}),
        ("shop.foo.example", {"host": "shop.foo.example", "namespace": "A", "namespaceUID": "u"}),
        ("shop.foo.example", {"host": "shop.foo.example", "namespace": "foo"}),
        ("shop.foo.example", None),
    ],
)
def test_wrong_claims(name: str, spec: Any) -> None:
    """A claim that says something else than its name is a problem: the host is nobody's."""
    found = read_claim(msgspec.convert({"metadata": {"name": name}, "spec": spec}, HostClaim))
    assert found is not None
    assert found.host == host(name)
    assert found.problem
    assert found.namespace == ""


def test_a_claim_of_no_host() -> None:
    """An object whose name is not a host's is about nothing."""
    assert read_claim(msgspec.convert({"metadata": {"name": "cluster.local"}}, HostClaim)) is None


SUFFIXES = ["example.com", "a.example.com", "b.a.example.com"]
GIVEN = st.lists(
    st.builds(
        lambda name, suffix, whose: policy(name, [suffix], namespaces={"names": [whose]}),
        st.sampled_from(["p", "q", "r"]),
        st.sampled_from(SUFFIXES),
        st.sampled_from(["foo", "bar", "nobody"]),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)
NAMES = st.sampled_from(["example.com", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com"])


@given(st.lists(st.tuples(NAMES, st.sampled_from([FOO, BAR])), max_size=6), NAMES)
def test_nobody_takes_what_another_has(asked: list[tuple[str, Asker]], name: str) -> None:
    """Whatever was asked in whatever order, no name is granted to two, nor a name below another's wildcard."""
    claims: dict[str, Claim] = {}
    for text, asker in asked:
        verdict = ask(text, asker, EdgeWorld(claims, ()))
        if isinstance(verdict, Take):
            made = Claim(verdict.host, verdict.namespace, verdict.namespace_uid)
            assert claims.setdefault(made.host.claim_name, made) is made
    owners = {one.host: one.namespace for one in claims.values()}
    for one, owner in owners.items():
        for other, holder in owners.items():
            if one.wildcard and other.below(one.name):
                assert owner == holder
    results = [ask(name, asker, EdgeWorld(claims, ())) for asker in (FOO, BAR)]
    assert sum(isinstance(one, Granted) for one in results) <= 1


@given(st.dictionaries(NAMES, st.sampled_from([FOO, BAR]), max_size=4), GIVEN, NAMES, st.sampled_from(SUFFIXES))
def test_a_policy_for_others_opens_nothing(
    held: dict[str, Asker], given: list[HostPolicy], name: str, suffix: str
) -> None:
    """Whatever is held and granted: one more policy, for others, never has a host given that was refused without it.

    But the word that gave the asker just this wildcard's name stands against the claims of those that it was meant to stand over.
    """
    claims = [claim(text, asker) for text, asker in held.items()]
    before = ask(name, FOO, world(*claims, policies=given))
    one_more = policy("more", [suffix], namespaces={"names": ["nobody"]})
    after = ask(name, FOO, world(*claims, policies=[*given, one_more]))
    for_it = any(host(name).name in one.suffixes and "foo" in one.namespaces for one in given)
    if isinstance(before, Refuse) and not (host(name).wildcard and for_it):
        assert isinstance(after, Refuse)


@given(GIVEN, st.permutations([(name, who) for name in ("*.example.com", "b.a.example.com") for who in (FOO, BAR)]))
def test_no_order_of_askers_matters(given: list[HostPolicy], order: list[tuple[str, Asker]]) -> None:
    """In whatever order a wildcard and a name below it are asked for, two have them only where administrators said so."""
    claims: dict[str, Claim] = {}
    for text, asker in order:
        verdict = ask(text, asker, EdgeWorld(claims, given))
        if isinstance(verdict, Take):
            claims[verdict.host.claim_name] = Claim(verdict.host, verdict.namespace, verdict.namespace_uid)
    owners = {claim.namespace for claim in claims.values()}
    if len(owners) == 2:
        low = claims[host("b.a.example.com").claim_name].namespace
        assert any(low in one.namespaces for one in given)
        assert any(one.suffixes == {"example.com"} and (owners - {low}) <= one.namespaces for one in given)


class TestHowMany:
    """Nobody proves that he has a host before he claims it, so how many one may claim is bounded."""

    def test_without_a_policy(self) -> None:
        """A namespace that has its five hundred hosts gets no more, until an administrator gives it some."""
        held = [claim(f"h{number}.example") for number in range(MOST_HOSTS)]
        last = world(*held[1:])
        assert isinstance(ask("one-more.example", FOO, last), Take)
        full = world(*held)
        assert code(ask("one-more.example", FOO, full)) == "TooManyHosts"
        assert isinstance(ask("h7.example", FOO, full), Granted)
        assert isinstance(ask("one-more.example", BAR, full), Take)
        given = policy(suffixes=("one-more.example",))
        assert isinstance(ask("one-more.example", FOO, world(*held, policies=[given])), Take)

    def test_of_an_earlier_namespace(self) -> None:
        """What an earlier namespace of this name holds does not count for the one of now."""
        full = world(*[claim(f"h{number}.example", Asker("foo", "earlier", {})) for number in range(MOST_HOSTS)])
        assert isinstance(ask("one-more.example", FOO, full), Take)
        limited = policy(suffixes=["example"], maxHosts=1)
        assert isinstance(ask("one-more.example", FOO, world(*full.claims.values(), policies=[limited])), Take)

    @pytest.mark.heavy
    @pytest.mark.parametrize("granted", [False, True], ids=["without a policy", "by a policy"])
    def test_all_at_once(self, granted: bool) -> None:
        """The names of one certificate are counted together: a hundred at once do not get past the limit."""
        limit = 30 if granted else MOST_HOSTS
        policies = [policy(suffixes=("foo.example",), maxHosts=limit)] if granted else []
        for free in (0, 1, 2, 5):
            held = [claim(f"h{number}.foo.example") for number in range(limit - free)]
            for wanted in (1, 2, 3, 5, 6, 100):
                names = [f"new{number}.foo.example" for number in range(wanted)]
                verdict = may_order(names, FOO, LE, world(*held, policies=policies))
                assert isinstance(verdict, TakeFirst) == (wanted <= free), (free, wanted)

    @given(st.lists(st.sampled_from(["co.uk", "shop.co.uk", "com", "a.com", "kobe.jp", "x.kobe.jp", "github.io"])))
    def test_no_wildcard_of_a_suffix_is_ever_taken(self, names: list[str]) -> None:
        """Whatever is ordered, and with whom: no claim is made for all names below a public suffix."""
        verdict = may_order([f"*.{name}" for name in names], FOO, LE, world())
        bad = {"co.uk", "com", "kobe.jp", "x.kobe.jp"} & set(names)
        assert isinstance(verdict, Refuse) == (bool(bad) or not names)
