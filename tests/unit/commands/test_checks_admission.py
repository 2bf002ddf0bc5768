"""Admission policies in the cluster, held against those that we ship: a fault drawn from a seed is named by its field."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.commands.checks.admission import _WITH_ADMISSION, Shipped, check_admission, differences, shipped
from signer.commands.checks.facts import AGAIN, Finding
from signer.commands.live import Json, Listing
from signer.settings.values import Settings
from tests.examples import examples
from tests.unit.commands.meshes import deployment, facts, named, whats

KINDS = {
    "ValidatingAdmissionPolicy": "admission_policies",
    "ValidatingAdmissionPolicyBinding": "admission_bindings",
    "MutatingAdmissionPolicy": "mutating_policies",
    "MutatingAdmissionPolicyBinding": "mutating_bindings",
}
DEFAULTS = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "scope": "*",
    "namespaceSelector": {},
    "objectSelector": {},
}


def stored(one: Shipped, namespace: str = "cert-manager") -> Json:
    """The object as the API server has it: with its defaults, in the namespace of this installation."""
    spec = _renamed(copy.deepcopy(one.spec), namespace)
    for where in (spec.get("matchConstraints"), spec.get("matchResources")):
        if isinstance(where, dict):
            where.setdefault("matchPolicy", "Equivalent")
            where.setdefault("namespaceSelector", {})
            where.setdefault("objectSelector", {})
            for rule in where.get("resourceRules", ()):
                rule.setdefault("scope", "*")
    if not one.kind.endswith("Binding"):
        spec.setdefault("failurePolicy", "Fail")
    return named(one.kind, one.name, spec=spec)


def _renamed(value: Any, namespace: str) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(inner, namespace) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, namespace) for inner in value]
    return (
        value.replace("serviceaccount:cert-manager:", f"serviceaccount:{namespace}:")
        if isinstance(value, str)
        else value
    )


def check(*objects: Json, namespace: str = "cert-manager", controllers: bool = False) -> list[Finding]:
    lists: dict[str, Any] = {field: [one for one in objects if one["kind"] == kind] for kind, field in KINDS.items()}
    if controllers:
        lists["deployments"] = [deployment("mesh-signer-controllers", namespace)]
    return list(check_admission(facts(settings=Settings(cluster_resource_namespace=namespace), **lists)))


@pytest.mark.parametrize("namespace", ["cert-manager", "pki"])
def test_as_shipped(namespace: str) -> None:
    """What is as we ship it, with the API server's defaults and in another namespace too, is in order."""
    assert check(*(stored(one, namespace) for one in shipped()), namespace=namespace, controllers=True) == []


def test_accounts_of_another_namespace() -> None:
    """Policies that name accounts of a namespace in which mesh-signer does not run hold for nobody: that is told."""
    found = check(*map(stored, shipped()), namespace="pki")
    assert "ValidatingAdmissionPolicy bindings.mesh-signer.dev" in {one.where for one in found}


def test_what_is_missing() -> None:
    """A policy of the wall that is missing, or bound without Deny, is told by what is open then."""
    needed = ("claims", "certificates", "bindings", "namespace-labels", "readmissions")
    assert [one.where for one in check()] == [
        f"ValidatingAdmissionPolicy {name}.mesh-signer.dev" for name in sorted(needed)
    ]
    told = check(*(stored(one) for one in shipped() if one.name.split(".")[0] in needed), controllers=True)
    assert [(one.where, one.mend) for one in told] == [
        (f"ValidatingAdmissionPolicy controllers-{name}.mesh-signer.dev", AGAIN)
        for name in ("certificates", "requests", "secrets")
    ]
    weak = [stored(one) for one in shipped()]
    for one in weak:
        if one["spec"].get("policyName") == "claims.mesh-signer.dev":
            one["spec"]["validationActions"] = ["Warn"]
    (found,) = check(*weak)
    assert found.what.startswith("the admission policy claims.mesh-signer.dev is not bound with the action Deny")
    assert whats(check_admission(facts(admission_policies=Listing(problem="no"))))[0].startswith("unknown")


def test_policies_of_pods() -> None:
    """Where a Deployment of ours answers Pods' requests, the policies that say who may ask and answer are looked for."""
    there = [stored(one) for one in shipped() if not one.name.startswith("podcertificate")]
    lists: dict[str, Any] = {field: [one for one in there if one["kind"] == kind] for kind, field in KINDS.items()}
    ours = deployment("mesh-signer", "cert-manager", args=["run", "--controllers=csr,podcertificates"])
    found = list(check_admission(facts(deployments=[ours], **lists)))
    assert [(one.where, "pod-certificates" in one.mend) for one in found] == [
        ("ValidatingAdmissionPolicy podcertificaterequests.mesh-signer.dev", True),
        ("ValidatingAdmissionPolicy podcertificates.mesh-signer.dev", True),
    ]
    assert list(check_admission(facts(**lists))) == []


@pytest.mark.heavy
@pytest.mark.parametrize("one", shipped(), ids=lambda one: f"{one.kind} {one.name}")
def test_half_of_it(one: Shipped) -> None:
    """A policy without its binding, or a binding without its policy, is told, of parts that may be left out too."""
    found = check(*(stored(other) for other in shipped() if other != one), controllers=True)
    assert [one.name for told in found if one.name in told.where or one.name in told.what] == [one.name]


def test_what_adds_something() -> None:
    """A second binding that narrows nothing away, and an action more, are no fault."""
    objects = [stored(one) for one in shipped()]
    more = named(
        "ValidatingAdmissionPolicyBinding",
        "mine",
        spec={
            "policyName": "claims.mesh-signer.dev",
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"a": "b"}},
        },
    )
    for one in objects:
        if one["spec"].get("policyName") == "bindings.mesh-signer.dev":
            one["spec"]["validationActions"] = ["Audit", "Deny"]
    assert check(more, *objects) == []


def places(value: Any, path: str) -> list[tuple[Any, Any, str]]:
    """Every field and every entry below: its container, its key, and its path."""
    found: list[tuple[Any, Any, str]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        where = f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]"
        found += [(value, key, where), *places(inner, where)]
    return found


@pytest.mark.heavy
@settings(max_examples=examples(300))
@given(one=st.sampled_from(shipped()), how=st.sampled_from(["remove", "change", "add"]), data=st.data())
def test_any_fault(one: Shipped, how: str, data: st.DataObject) -> None:
    """Whatever is taken out of a policy or binding, changed in it or put into it: doctor names the field, and the remedy."""
    broken = stored(one)
    before = copy.deepcopy(broken)
    container, key, path = data.draw(st.sampled_from(places(broken["spec"], "spec")))
    if how == "remove":
        del container[key]
    elif how == "change":
        container[key] = data.draw(st.sampled_from(["x", ["x"], {"x": "y"}, False, 7]))
    else:
        inner = container[key] if isinstance(container[key], dict) else container
        if not isinstance(inner, dict):
            return
        inner["namespaceSelectors"] = {"matchLabels": {"enforce": "yes"}}
    # What the API server fills in says the same when it is not there.
    if how == "remove" and DEFAULTS.get(key, "") == before["spec"].get(key, DEFAULTS.get(key)) and key in DEFAULTS:
        assert list(differences(one.spec, broken["spec"], "cert-manager")) == []
        return
    others = [stored(other) for other in shipped() if other != one]
    found = check(broken, *others, controllers=True)
    assert found, path
    (told,) = [
        one
        for one in found
        if one.mend.startswith("kubectl replace -f manifests/") or one.mend in (AGAIN, _WITH_ADMISSION)
    ]
    assert one.name in told.where or one.name in told.what
    if "replace" in told.mend:
        assert one.file in told.mend
        assert "spec" in told.what
        head = path.split(".")[1].partition("[")[0]
        assert f"spec.{head}" in told.what or "namespaceSelectors" in told.what or path == "spec"
