"""Which tenants trust each other by one root: a table over who holds two signers, and what they have in common."""

import itertools
from datetime import timedelta

import pytest

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.commands.tenancies.signers import roots_of, without_others_cas
from signer.tenancy.shared import by_key, has_the_ca_of, shared_roots
from signer.tenancy.world import Policy, Roots, World
from tests.unit.commands.meshes import state
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, TEAM, binding, claims, world

ISSUER = IssuerRef("Issuer", "shop", "ca")
OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
# Who holds each of these signers, in the world below.
HOLDERS = {FOO: "foo", BAR: "bar", DEFAULT: "all", ISSUER: "shop", TEAM: "foo"}


def having(*signers: IssuerRef, root: str = "root") -> World:
    policy = Policy("p", frozenset({TEAM}), namespaces=frozenset({"foo"}))
    roots = {signer: Roots(frozenset({root}), frozenset(), frozenset({root})) for signer in signers}
    others = {signer: Roots(frozenset({str(signer)}), frozenset(), frozenset({str(signer)})) for signer in HOLDERS}
    return world(bindings=OWNED, policies=(policy,), roots=others | roots)


@pytest.mark.parametrize("both", list(itertools.combinations(HOLDERS, 2)), ids=str)
def test_two_with_one_root(both: tuple[IssuerRef, IssuerRef]) -> None:
    """Two signers with one root are told of where they are of different tenants, and nobody else is."""
    found = shared_roots(having(*both))
    if HOLDERS[both[0]] == HOLDERS[both[1]]:
        assert found == ()
        return
    (one,) = found
    assert set(one.signers) == set(both)
    assert str(min(both)) in str(one)


def test_nobodys() -> None:
    """A signer that nobody has makes nobody trust anybody; each with a root of its own is no word worth."""
    idle = IssuerRef("ClusterIssuer", "", "idle")
    mesh = having(FOO, idle)
    assert shared_roots(mesh) == ()
    assert shared_roots(having()) == ()
    mesh.claimants[idle] = frozenset({"store"})
    mesh.claims["store"] = claims(idle)
    assert shared_roots(mesh)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("known", ["bar's", "its own", "bar's root"])
def test_what_mesh_config_writes(known: str, *, force: bool) -> None:
    """The CA of another tenant's signer gets no entry for a newcomer, unless forced; a shared root is told of."""
    mesh = world(bindings=OWNED, keys={authority("bar").key_id: frozenset({BAR})})
    if known == "bar's root":
        mesh.roots = {BAR: Roots(frozenset(), frozenset(), frozenset({authority("foo").root_key_id}))}
    states = {FOO: state(FOO, authority=authority("bar" if known == "bar's" else "foo"))}
    found = without_others_cas(mesh, states, roots_of([FOO], states), force=force)
    assert (signer_name_of(FOO) in found.pems) == (force or known != "bar's")
    assert bool(found.complaints) == (known != "its own")
    if found.complaints:
        assert "ClusterIssuer bar" in found.complaints[0]


def test_who_had_it_first_is_not_refused() -> None:
    """The owner of a CA is never told that a newcomer's signer has it; two new ones with one CA both are."""
    key = authority("bar").key_id
    mesh = world(bindings=OWNED, keys={key: frozenset({FOO, BAR})})
    mesh.key_since = {(key, BAR): NOW, (key, FOO): NOW + timedelta(seconds=1)}
    assert has_the_ca_of(mesh, BAR, key, {}) is None
    assert has_the_ca_of(mesh, FOO, key, {}) == BAR
    new = world(bindings=OWNED, keys={})
    assert has_the_ca_of(new, FOO, key, by_key({FOO: key, BAR: key})) == BAR
    assert has_the_ca_of(new, BAR, key, by_key({FOO: key, BAR: key})) == FOO


def test_two_that_policies_give_out() -> None:
    """Where SignerPolicies give out both, an admin decided that they share a CA."""
    key = authority("bar").key_id
    given = [
        Policy(one.name, frozenset({one}), namespaces=frozenset({space}))
        for one, space in ((FOO, "shop"), (BAR, "store"))
    ]
    for policies, right in ((given, None), (given[:1], BAR)):
        mesh = world(bindings=OWNED, policies=tuple(policies), keys={key: frozenset({FOO, BAR})})
        assert has_the_ca_of(mesh, FOO, key, {}) == right
