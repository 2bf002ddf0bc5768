"""What `leave` takes away: all of ours that is in cert-manager's way, nothing of others', and in an order that is safe."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.api.admissionpolicy import (
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
)
from signer.commands.handover import OURS, POLICIES, Found, Step, leaving, our_lease, working
from signer.kube.leases.record import Sighting

ROOT = Path(__file__).parents[3]
KINDS = {one.kind: one for one in (*POLICIES, *POLICIES.values())}
LABEL = {"app.kubernetes.io/part-of": "mesh-signer"}
Json = dict[str, Any]


def shipped() -> list[Json]:
    """All admission policies, bindings and definitions that any manifest of ours has, as they stand there."""
    files = sorted((ROOT / "manifests").rglob("*.yaml"))
    found = [one for file in files for one in yaml.load_all(file.read_text(), yaml.CSafeLoader) if one]
    return [one for one in found if one.get("kind") in {*KINDS, "CustomResourceDefinition"}]


def named(kind: str, name: str, labels: Json | None = None, **spec: Any) -> Json:
    return {"kind": kind, "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels or {}}, "spec": spec}


def deployment(name: str, namespace: str = "cert-manager", replicas: int = 2) -> Json:
    meta = {"name": name, "namespace": namespace, "uid": name}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"replicas": replicas}}


def found(objects: Iterable[Json], deployments: Iterable[Json] = (), challenges: Iterable[Json] = ()) -> Found:
    objects = list(objects)
    admission = {kind: tuple(one for one in objects if one["kind"] == kind.kind) for kind in KINDS.values()}
    definitions = tuple(one for one in objects if one["kind"] == "CustomResourceDefinition")
    return Found(tuple(deployments), admission, definitions, tuple(challenges))


def left(objects: Iterable[Json], steps: Iterable[Step]) -> list[Json]:
    """The objects as they are when these steps were taken."""
    kept = []
    gone = {(one.resource.kind, one.name) for one in steps if one.deed == "delete"}
    plain = {one.name for one in steps if one.deed == "unmark"}
    for one in objects:
        if (one["kind"], one["metadata"]["name"]) in gone:
            continue
        if one["kind"] == "CustomResourceDefinition" and one["metadata"]["name"] in plain:
            meta = {key: value for key, value in one["metadata"].items() if key not in {"annotations", "labels"}}
            kept.append(one | {"metadata": meta})
            continue
        kept.append(one)
    return kept


@pytest.mark.parametrize("labelled", [True, False])
def test_all_that_we_ship(labelled: bool) -> None:
    """Whatever component was installed, none of its policies stays, and no definition of cert-manager's groups is marked."""
    objects = shipped()
    if not labelled:
        for one in objects:
            one["metadata"].pop("labels", None)
    assert {one["kind"] for one in objects} == {*KINDS, "CustomResourceDefinition"}
    planned = leaving(found(objects), "cert-manager")
    kept = left(objects, planned.steps)
    assert {one["kind"] for one in kept} == {"CustomResourceDefinition"}
    theirs = [one for one in kept if one["spec"]["group"].endswith("cert-manager.io")]
    assert len(theirs) == 6
    assert [one["metadata"]["name"] for one in theirs if "annotations" in one["metadata"]] == []
    # Those of mesh-signer.dev stay as they are: a return goes on with them.
    own = [one for one in kept if one["spec"]["group"] == "mesh-signer.dev"]
    assert own == [one for one in objects if one["spec"].get("group") == "mesh-signer.dev"]
    assert own
    assert leaving(found(kept), "cert-manager").steps == ()


NAMES = st.sampled_from(
    ["a", "approval", "mesh-signer.dev", "approval.mesh-signer.dev.example.com", "cert-manager", "istio"]
)
FOREIGN = st.builds(
    lambda kind, name, of: named(kind, name, {"app.kubernetes.io/part-of": of}, policyName="somebodys"),
    st.sampled_from(sorted(KINDS)),
    NAMES,
    st.sampled_from(["cert-manager", "mesh-signer-2", ""]),
)
OURS_ADMISSION = st.builds(
    lambda kind, name, labelled: named(
        kind,
        name if labelled else f"{name}.mesh-signer.dev",
        LABEL if labelled else {},
        policyName=f"{name}.mesh-signer.dev",
    ),
    st.sampled_from(sorted(KINDS)),
    NAMES,
    st.booleans(),
)


@pytest.mark.heavy
@given(st.lists(FOREIGN), st.lists(OURS_ADMISSION), st.lists(st.sampled_from(OURS), unique=True))
def test_nothing_of_others(foreign: list[Json], ours: list[Json], running: list[str]) -> None:
    """Policies of others stay; ours go, first the bindings, and only after all of ours that runs has been stopped."""
    strangers = [deployment("mesh-signer", "elsewhere"), deployment("cert-manager")]
    steps = leaving(found([*foreign, *ours], [*map(deployment, running), *strangers]), "cert-manager").steps
    assert {one.name for one in steps if one.deed == "stop"} == set(running)
    deeds = [one.deed for one in steps]
    assert deeds == sorted(deeds, key=["stop", "delete", "unmark"].index)
    deleted = [(one.resource, one.name) for one in steps if one.deed == "delete"]
    named_ours = {(one["kind"], one["metadata"]["name"]) for one in ours}
    assert {(kind.kind, name) for kind, name in deleted} == named_ours
    for bindings, policies in ((VALIDATING_BINDINGS, VALIDATING_POLICIES), (MUTATING_BINDINGS, MUTATING_POLICIES)):
        kinds = [kind for kind, _ in deleted if kind in {bindings, policies}]
        assert kinds == sorted(kinds, key=[bindings, policies].index)


def test_a_binding_of_somebodys_own() -> None:
    """An administrator's own binding of one of our policies goes with it: it would refuse everything without."""
    objects = [named("ValidatingAdmissionPolicy", "claims.mesh-signer.dev")]
    objects.append(named("ValidatingAdmissionPolicyBinding", "mine", policyName="claims.mesh-signer.dev"))
    assert [one.name for one in leaving(found(objects), "cert-manager").steps] == ["mine", "claims.mesh-signer.dev"]


@pytest.mark.parametrize("name", ["mesh-signer", "mesh-signer-controllers", "mesh-signer-ca-injector"])
def test_stopped_already(name: str) -> None:
    """What is scaled to nothing, and has ended, is not stopped again; one whose Pods are still there is waited for."""
    assert leaving(found([], [deployment(name, replicas=0)]), "cert-manager").steps == ()
    ending = deployment(name, replicas=0) | {"status": {"replicas": 1}}
    assert [str(one) for one in leaving(found([], [ending]), "cert-manager").steps] == [
        f"scale Deployment cert-manager/{name} to no replicas"
    ]


@pytest.mark.parametrize("count", [1, 10, 11, 3000])
def test_challenges_under_way(count: int) -> None:
    """While the controllers run, they clear away first; without them it is told what stays. The list has an end."""
    challenges = [
        {"metadata": {"namespace": "shop", "name": f"c-{number:04}"}, "status": {"presented": True}}
        for number in range(count)
    ]
    done = {"metadata": {"namespace": "shop", "name": "done"}, "status": {"presented": False, "state": "valid"}}
    running = leaving(found([], [deployment("mesh-signer-controllers")], [*challenges, done]), "cert-manager")
    assert len(running.problems) == 1
    assert "shop/c-0000" in running.problems[0]
    assert "shop/done" not in running.problems[0]
    assert len(running.problems[0]) < 400
    alone = leaving(found([], [], challenges), "cert-manager")
    assert (alone.problems, len(alone.notes)) == ((), 1)


def test_who_works() -> None:
    """A Lease that is held and renewed is somebody at work; one that was given up, or ran out, is nobody."""
    leases = {
        "mesh-signer-controllers": Sighting("one", 15, "1", 100.0),
        "mesh-signer-a": Sighting("", 5, "1", 100.0),
        "mesh-signer-b": Sighting("b", 5, "1", 90.0),
    }
    assert working(leases.items(), 100.5) == ("Lease mesh-signer-controllers, held by one",)
    assert working(leases.items(), 115.5) == ()
    ours = {"metadata": {"name": "mesh-signer-mesh-signer-7d9-x"}}
    assert our_lease(ours)
    assert not our_lease({"metadata": {"name": "cert-manager-controller"}})
    assert not our_lease({"metadata": {"name": "mesh-signers"}})
