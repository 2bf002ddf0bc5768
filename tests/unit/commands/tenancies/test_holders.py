"""Who has which signer, and SignerPolicies for what is shared."""

from datetime import timedelta

import yaml
from msgspec.structs import replace

from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.api.signerpolicy import SignerPolicy
from signer.commands.tenancies.holders import FREE, GRANTED, KEPT, Tenancy, manifest, proposals, tenancies
from signer.tenancy.policies import read_policy
from signer.tenancy.world import NO_CLAIMS, Namespace, Policy, World
from tests.unit.commands.meshes import ALL, mesh, state
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, OTHER, TEAM, binding, claims, world


def rows(found: World, *more: IssuerRef) -> dict[tuple[str, IssuerRef], Tenancy]:
    """The lines of `tenants`, where these issuers are there besides the task's."""
    here = mesh(found, issuers=[*map(state, ALL), *map(state, more)])
    return {(row.namespace, row.signer): row for row in tenancies(here, NOW)}


def test_owner_and_newcomer() -> None:
    """An owner has its signer by its SignerBinding; one that claims a free signer gets it by asking."""
    last = NOW - timedelta(hours=1)
    found = rows(world(bindings=(binding(FOO, "foo", last_issued=last),)))
    assert (found["foo", FOO].status, found["foo", FOO].last_issued) == (GRANTED, last)
    assert found["foo", FOO].ca_ends is not None
    assert (found["bar", BAR].status, found["bar", BAR].last_issued) == (FREE, None)
    assert not any(row.refused for row in found.values())


def test_refused() -> None:
    """A claim of another's signer is refused, and says why; so is one of a signer that is none of the mesh's."""
    claimed = {"foo": claims(FOO), "bar": claims(FOO), "shop": claims(OTHER)}
    found = rows(world(claimed=claimed, bindings=(binding(FOO, "foo"),)), OTHER)
    assert found["bar", FOO].status == "SignerClaimed"
    assert found["bar", FOO].refused
    assert found["shop", OTHER].status == "NotAMeshSigner"
    absent = rows(world(claimed=claimed))
    assert absent["shop", OTHER].status == "IssuerNotFound", "as the signer says of it"


def test_default() -> None:
    """Namespaces that claim nothing are one line: they share the mesh's default signer."""
    found = rows(world())
    assert found["istio-system", DEFAULT].status == GRANTED
    others = found["", DEFAULT]
    assert others.others == 3  # cert-manager, shop, store
    assert not others.refused


def test_default_under_a_policy() -> None:
    """A default that a SignerPolicy gives out is only for those whom it covers."""
    policy = Policy("p", frozenset({DEFAULT}), namespaces=frozenset({"shop"}))
    found = rows(world(policies=(policy,)))
    assert (found["", DEFAULT].others, found["", DEFAULT].status) == (2, "TenantMismatch")  # cert-manager, store
    assert found["shop", DEFAULT].status == GRANTED
    assert found["istio-system", DEFAULT].status == "TenantMismatch"


def test_policy_with_labels() -> None:
    """What a policy gives by labels is listed for each namespace that has them."""
    policy = Policy("p", frozenset({TEAM}), namespace_labels={"mesh-signer.dev/team": "a"})
    named = world(policies=(policy,))
    named.namespaces["shop"] = Namespace("u", {"mesh-signer.dev/team": "a"})
    found = rows(named)
    assert (found["shop", TEAM].status, found["shop", TEAM].source) == (GRANTED, "SignerPolicy p")
    assert ("store", TEAM) not in found


def test_own_issuer() -> None:
    """An Issuer that is a signer of the mesh is its own namespace's."""
    shop = IssuerRef("Issuer", "shop", "ca")
    found = rows(world(signers=frozenset({FOO, DEFAULT, shop})), shop)
    assert found["shop", shop].status == GRANTED


def test_kept() -> None:
    """A signer whose owner claims it no longer stays his, which is not a refusal."""
    long_ago = NOW - timedelta(days=100)
    old = binding(FOO, "foo", claim_ended=long_ago, last_issued=long_ago)
    found = rows(world(claimed={"foo": NO_CLAIMS}, bindings=(old,)))
    assert found["foo", FOO].status == KEPT
    gone = rows(world(claimed={}, bindings=(binding(TEAM, "gone"),)))
    assert gone["gone", TEAM].status == KEPT


def test_unreadable_binding() -> None:
    """A SignerBinding that cannot be read has a line of its own."""
    found = rows(world(claimed={}, bindings=(replace(binding(TEAM, "x"), problem="spec.namespace: bad"),)))
    assert "spec.namespace: bad" in found["", TEAM].source
    assert found["", TEAM].refused


def test_propose_what_nobody_owns() -> None:
    """A signer that several namespaces claim and nobody owns is proposed for all of them; the file is a good policy."""
    claimed = {"shop": claims(TEAM), "store": claims(TEAM), "foo": claims(FOO)}
    (found,) = proposals(world(claimed=claimed))
    assert (found.signer, found.namespaces, found.refused) == (TEAM, ("shop", "store"), ())
    obj = yaml.safe_load(manifest([found]))
    policy = read_policy(SignerPolicy(metadata=ObjectMeta(name=obj["metadata"]["name"]), raw_spec=obj["spec"]))
    assert (policy.problem, policy.signers, policy.namespaces) == ("", frozenset({TEAM}), frozenset({"shop", "store"}))


def test_propose_never_grants_a_thief() -> None:
    """Who claims an owned signer is proposed as a comment only: applying the file unread opens nothing."""
    claimed = {"foo": claims(FOO), "bar": claims(FOO, BAR), "shop": claims(BAR)}
    found = proposals(world(claimed=claimed, bindings=(binding(FOO, "foo"),)))
    assert [(one.signer, one.namespaces, one.refused) for one in found] == [
        (BAR, ("bar",), ("shop",)),
        (FOO, ("foo",), ("bar",)),
    ]
    text = manifest(found)
    assert [obj["spec"]["namespaces"]["names"] for obj in yaml.safe_load_all(text)] == [["bar"], ["foo"]]
    assert '      # - "shop"' in text


def test_propose_leaves_out() -> None:
    """The mesh's default, signers of nobody's, what a policy speaks about and what one namespace has need no policy."""
    policy = Policy("p", frozenset({TEAM}), namespaces=frozenset({"shop"}))
    claimed = {"shop": claims(DEFAULT, TEAM, OTHER), "store": claims(DEFAULT, TEAM, OTHER), "foo": claims(FOO)}
    assert proposals(world(claimed=claimed, policies=(policy,))) == []


def test_odd_names() -> None:
    """A namespace whose name YAML would take for a number stays a name."""
    claimed = {"007": claims(TEAM), "true": claims(TEAM)}
    (found,) = proposals(world(claimed=claimed, namespaces=("007", "true")))
    assert yaml.safe_load(manifest([found]))["spec"]["namespaces"]["names"] == ["007", "true"]
