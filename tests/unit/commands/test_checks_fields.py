"""Definitions that are older than this program: each field that one may lack, and what is said of what is then not kept."""

import copy
import functools

import pytest

from manifests.generate.__main__ import FIELDS, fields
from manifests.generate.crd import acme_kinds, definition, kinds, mesh_kinds
from signer.commands.checks.facts import DEFINITIONS
from signer.commands.checks.fields import lacking, shipped_fields
from signer.commands.checks.install import check_crds
from signer.commands.checks.mesh import check_policies
from signer.commands.live import Json, Listing
from signer.tenancy.world import Policy
from tests.unit.commands.meshes import facts, mesh
from tests.unit.tenancy.worlds import FOO, world


@functools.cache
def shipped() -> dict[str, Json]:
    return {crd["metadata"]["name"]: dict(crd) for crd in map(definition, (*kinds(), *acme_kinds(), *mesh_kinds()))}


ALL = [
    (name, version, field) for name, each in shipped_fields().items() for version, one in each.items() for field in one
]


def without(name: str, field: str) -> Json:
    crd = copy.deepcopy(shipped()[name])
    part, _, last = field.partition(".")
    for version in crd["spec"]["versions"]:
        del version["schema"]["openAPIV3Schema"]["properties"][part]["properties"][last]
    return crd


def test_what_is_shipped() -> None:
    """The fields are those of the source, and the definitions of now lack none."""
    assert FIELDS.read_text("utf-8") == fields()
    assert len(ALL) > 100
    assert lacking(Listing(tuple(shipped().values()))) == {}


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "version", "field"), ALL)
def test_each_field(name: str, version: str, field: str) -> None:
    """A definition of ours that lacks a field is named with it; cert-manager's own, one that is open, or unreadable is not."""
    old = without(name, field)
    assert lacking(Listing((old,))) == {name: (field,)}
    (found,) = [one for one in check_crds(facts(crds=[old])) if one.code == "CRDOlder"]
    assert field in found.what
    assert found.mend == DEFINITIONS
    theirs = old | {"metadata": {"name": name}}
    assert bool(lacking(Listing((theirs,)))) == name.endswith(".mesh-signer.dev")
    schema = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"][field.partition(".")[0]]["x-kubernetes-preserve-unknown-fields"] = True
    assert lacking(Listing((old,))) == {}
    assert version
    assert lacking(Listing((old | {"spec": {"versions": 3}}, {}))) == {}


@pytest.mark.parametrize("old", [True, False])
def test_what_is_not_kept(*, old: bool) -> None:
    """Where the uid of a namespace is written and not kept, the definition is the remedy, not the signer."""
    name = "signerpolicies.mesh-signer.dev"
    crd = without(name, "status.namespaceUIDs") if old else shipped()[name]
    policy = Policy("p", frozenset({FOO}), namespaces=frozenset({"foo"}), namespace_uids={"other": "x"})
    here = mesh(world(policies=(policy,)))
    (found,) = [one for one in check_policies(facts(here, crds=[crd])) if one.code == "PolicyHeldBack"]
    assert (found.mend == DEFINITIONS) == old
