"""Without one right at a time: what a command may not read is told as that, by verb and resource, and never as absence."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.integration.commands.operating import OPERATORS, Result, Run, World, authorities, operators_roles
from tests.localmesh import Cluster
from tests.localmesh.errors import LocalMeshError

pytestmark = pytest.mark.integration

# What says that there is nothing, of whatever was not read.
_ABSENT = ("does not exist", "is not installed", "not found", "there is no ", "was never known")
_COMMANDS: dict[str, Callable[[World], tuple[str, ...]]] = {
    "explain": lambda world: ("explain", f"--namespace={world.name('foo')}", f"--signer={world.name('foo')}"),
    "tenants": lambda _world: ("tenants",),
    "mesh-config": lambda world: ("mesh-config", world.name("foo")),
    "doctor": lambda _world: ("doctor", "-o", "json"),
}
_RIGHTS = [
    ("namespaces", "list", ("explain", "tenants", "doctor")),
    ("proxyconfigs", "list", ("explain", "tenants", "doctor")),
    ("configmaps", "list", ("explain", "tenants", "doctor")),
    ("clusterissuers", "list", ("explain", "tenants", "mesh-config", "doctor")),
    ("issuers", "list", ("explain", "tenants", "mesh-config", "doctor")),
    ("signerpolicies", "list", ("explain", "tenants", "doctor")),
    ("signerbindings", "list", ("explain", "tenants", "doctor")),
    ("signerrecords", "list", ("explain", "tenants", "doctor")),
    ("secrets", "get", ("mesh-config", "doctor")),
    ("pods", "list", ("doctor",)),
    ("deployments", "list", ("doctor",)),
    ("customresourcedefinitions", "list", ("doctor",)),
    ("validatingadmissionpolicies", "list", ("doctor",)),
    ("clusterroles", "list", ("doctor",)),
    ("subjectaccessreviews", "create", ("doctor",)),
]


def without(roles: list[dict[str, Any]], resource: str) -> list[dict[str, Any]]:
    """The operators' roles without every right on one resource."""
    found = copy.deepcopy(roles)
    for one in found:
        for rule in one.get("rules", ()):
            rule["resources"] = [name for name in rule["resources"] if name != resource] or ["nothing"]
    return found


@pytest.fixture
def tenants(world: World, mesh: Cluster) -> Iterator[World]:
    """One tenant that owns its signer; the operators' roles are whole again afterwards."""
    foo = world.tenant("foo")
    world.signer("foo")
    world.mesh_config(authorities(foo))
    world.bind(foo, foo)
    yield world
    mesh.apply(yaml.safe_dump_all(operators_roles(world.istio)))


def lines(found: Result) -> list[str]:
    """What was said: the lines, or the findings of doctor."""
    if found.out.startswith("{"):
        return [one["what"] for one in json.loads(found.out)["findings"]] + found.err.splitlines()
    return [*found.out.splitlines(), *found.err.splitlines()]


@pytest.mark.parametrize(("resource", "verb", "commands"), _RIGHTS, ids=[f"{one[1]} {one[0]}" for one in _RIGHTS])
def test_a_missing_right(
    run: Run, tenants: World, mesh: Cluster, resource: str, verb: str, commands: tuple[str, ...]
) -> None:
    """Each command names the verb and the resource that it lacks, ends with a status that is not 0, and calls nothing absent."""
    mesh.apply(yaml.safe_dump_all(without(operators_roles(tenants.istio), resource)))
    user = f"olga-{resource}"  # no answer of the API server's is remembered for her

    def refused() -> bool:
        # `can-i` ends with 1 for a no, which is an error here.
        who = ("--as", user, "--as-group", OPERATORS)
        try:
            mesh.kubectl("auth", "can-i", verb, resource, "-n", tenants.istio, *who)
        except LocalMeshError:
            return True
        return False

    mesh.wait_for(refused, f"{user} may not {verb} {resource}")
    for command in commands:
        found = run(*_COMMANDS[command](tenants), user=user)
        said = lines(found)
        assert found.status != 0, (command, said)
        assert any(resource in one and verb in one for one in said), (command, said)
        absent = [one for one in said if any(text in one for text in _ABSENT) and tenants.name("foo") in one]
        assert absent == [], (command, absent)
