"""Whoever gets nothing by identity is told so before he asks: on the policies, by doctor and by tenants, as the wall would say it."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given

from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition
from signer.api.signerpolicy import SignerPolicyStatus
from signer.commands.checks.identity import check_by_identity
from signer.commands.tenancies.holders import tenancies
from signer.tenancy import mesh_cas
from signer.tenancy.coverage import READY, policy_status, read_coverage
from signer.tenancy.index import Index
from signer.tenancy.led_nowhere import refusal
from signer.tenancy.verdict import Reason, Refuse
from signer.tenancy.world import Policy, World
from tests.unit.commands.meshes import facts, mesh, state
from tests.unit.csr.crafted import NOW, authority
from tests.unit.csr.test_by_identity import (
    BAR,
    DOOR,
    FOO,
    ISTIO,
    MESH,
    SHOP,
    TENANTS,
    code,
    covering,
    indexed,
    judge,
    recorded,
)
from tests.unit.csr.test_by_identity import meshes as drawn

HAVE_CAS = (FOO, BAR, SHOP, ISTIO)
PROXY: dict[str, Any] = {"spec": {"containers": [{"name": "istio-proxy"}]}, "status": {"phase": "Running"}}


def find(ref: IssuerRef) -> tuple[mesh_cas.CA, bool] | None:
    if ref not in HAVE_CAS:
        return None
    found = authority(ref.name)
    return mesh_cas.CA(ref, found.key_id, found.chain), found.root_pem is not None


def refused(world: World) -> dict[str, Reason]:
    found = {name: refusal(world, MESH, name, find, NOW) for name in world.namespaces if world.by_identity(name)}
    return {name: reason for name, reason in found.items() if reason is not None}


def ready(world: World, policies: Iterable[Policy]) -> dict[str, tuple[str, str, str]]:
    """The condition Ready of each policy: status, reason, message."""
    listed = list(policies)
    coverage = read_coverage(listed, world.namespaces, frozenset(HAVE_CAS), refused=refused(world))
    found = {}
    for policy in listed:
        status = policy_status(SignerPolicyStatus(), policy, coverage[policy.name], generation=1, now=NOW)
        one = find_condition(status.conditions, READY)
        assert one is not None
        found[policy.name] = (one.status, one.reason, one.message)
    return found


def policies_of(world: World) -> list[Policy]:
    return list({policy.name: policy for found in world.policies.values() for policy in found}.values())


@given(drawn())
def test_as_the_wall_would_say(index: Index) -> None:
    """In any mesh: each namespace that is routed and refused is told with the wall's reason, and no other; a policy says so."""
    world = index.world
    for name in world.namespaces:
        if not world.by_identity(name):
            continue
        verdict = judge(world, name)
        told = refusal(world, MESH, name, find, NOW)
        assert (told is not None) == isinstance(verdict, Refuse), (name, verdict, told)
        if told is not None:
            assert told.code == code(verdict)
    conditions = ready(world, policies_of(world))
    for name, reason in refused(world).items():
        covering_it = [one for one in policies_of(world) if one.covers(name, world.namespaces[name])]
        told_of = [conditions[one.name] for one in covering_it]
        # A policy has one reason: another fault of it may come first.
        assert any(reason.code in f"{code} {text}" or status == "False" for status, code, text in told_of), (
            name,
            reason,
        )


FAULTS: dict[str, tuple[Index, str, str]] = {
    "two policies give two signers": (
        indexed((DOOR, covering("foo"), recorded("two", "bar", namespaces={"names": ["foo"]}))),
        "foo",
        "RouteAmbiguous",
    ),
    "both routed and given": (
        indexed([DOOR, recorded("plain", "mesh", namespaces={"names": ["foo"]}), *TENANTS]),
        "foo",
        "RouteAmbiguous",
    ),
    "named by the route, and of no tenant": (
        indexed([recorded("door", "mesh", route="Identity", namespaces={"names": ["foo", "shop"]}), *TENANTS]),
        "shop",
        "RouteMissing",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_who_is_told(case: str) -> None:
    """The policy is not Ready, with the wall's code; doctor and tenants have it too, where no workload asks yet."""
    index, namespace, reason = FAULTS[case]
    told = [one for one in ready(index.world, policies_of(index.world)).values() if one[0] == "False"]
    assert reason in {one[1] for one in told}
    assert any(f"namespace {namespace}: " in one[2] for one in told)
    here = mesh(index.world, list(map(state, HAVE_CAS)))
    found = [one for one in check_by_identity(facts(here)) if one.where == f"namespace {namespace}"]
    assert [(one.code, one.what.partition(":")[0]) for one in found] == [("RouteRefused", reason)]
    rows = [row for row in tenancies(here, NOW) if (row.namespace, row.signer) == (namespace, MESH)]
    assert [(row.status, row.refused) for row in rows] == [(reason, True)]


def test_who_is_not_in_the_mesh() -> None:
    """A route for all: a namespace without workloads of the mesh has no signer and is no fault; one with a proxy, or in ambient, is."""
    index = indexed()
    conditions = ready(index.world, policies_of(index.world))
    assert conditions["door"][0] == "True"
    assert "get nothing" in conditions["door"][2]
    assert "shop (RouteMissing)" in conditions["door"][2]
    assert conditions["foo"][:2] == ("True", "Accepted")
    here = mesh(index.world, list(map(state, HAVE_CAS)))
    assert [one.where for one in check_by_identity(facts(here))] == []
    rows = [row for row in tenancies(here, NOW) if row.status == "RouteMissing"]
    assert [(row.namespace, row.others, row.refused) for row in rows] == [("", 2, False)]
    meta = {"name": "web", "namespace": "shop"}
    ambient = {"metadata": meta | {"annotations": {"ambient.istio.io/redirection": "enabled"}}, "spec": {}}
    for pod in (PROXY | {"metadata": meta}, ambient):
        assert [one.where for one in check_by_identity(facts(here, pods=[pod]))] == ["namespace shop"]
