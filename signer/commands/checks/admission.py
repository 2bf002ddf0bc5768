"""Admission policies and their bindings as they are in the cluster, held against those that we ship: every field. Pure.

What is shipped stands in shipped_admission.json, which `python -m manifests.generate` writes from the manifests. A policy
that differs may still look enforced: one selector more, and it holds for one namespace.
Source: Kubernetes, admissionregistration.k8s.io/v1 and its defaults (pkg/apis/admissionregistration/v1/defaults.go).
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signer.api.text import shown
from signer.commands.checks import bridges
from signer.commands.checks.facts import AGAIN, Facts, Finding, at, name_of, runs, texts
from signer.commands.live import Json
from signer.settings.values import POD_CERTIFICATES

_POLICIES = {
    "claims.mesh-signer.dev": "whoever may write a ProxyConfig may claim any signer that nobody owns yet",
    "certificates.mesh-signer.dev": "another signer in the cluster may sign what mesh-signer refuses",
    "bindings.mesh-signer.dev": "RBAC alone keeps people from writing SignerBindings",
    "namespace-labels.mesh-signer.dev": "whoever may label a namespace may put it under a SignerPolicy's matchLabels",
    "readmissions.mesh-signer.dev": "whoever gets hold of our tokens can let in a namespace that was made again",
}
_CONTROLLERS = "mesh-signer-controllers"
_CONTROLLERS_POLICIES = {
    "controllers-secrets.mesh-signer.dev": "whoever gets hold of the controllers' token can make himself cluster-admin",
    "controllers-certificates.mesh-signer.dev": "whoever gets hold of the controllers' token can change any Certificate",
    "controllers-requests.mesh-signer.dev": "whoever gets hold of the controllers' token can delete CertificateRequests",
}
"""Of manifests/base, where the controllers run."""
_PODS_POLICIES = {
    "podcertificaterequests.mesh-signer.dev": "whoever may create PodCertificateRequests may ask in the name of any Pod",
    "podcertificates.mesh-signer.dev": "another signer in the cluster may answer Pods' requests that mesh-signer keeps waiting",
    "trust-bundle-deletions.mesh-signer.dev": "whoever gets hold of the signer's token can delete any ClusterTrustBundle",
}
"""Of the component pod-certificates, where its controller runs."""
_SHIPPED = Path(__file__).parent / "shipped_admission.json"
# The namespace that the shipped expressions name; elsewhere they are changed with the rest.
_NAMESPACE = "system:serviceaccount:cert-manager:"
_DEFAULTS: Mapping[str, object] = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "scope": "*"}
_SHOWN = 3
_MOST_DIFFERENCES = 100
_WITH_ADMISSION = (
    "add manifests/components/admission to what mesh-signer is installed with (overlays/istio has it; in the chart it is on unless "
    "switched off), and apply that again, whole"
)
_WITH_PODS = (
    "add manifests/components/pod-certificates to what mesh-signer is installed with, and apply that again, whole"
)


@dataclass(frozen=True, slots=True)
class Shipped:
    """One object that we ship: `file` says where, below the repository."""

    kind: str
    name: str
    file: str
    spec: Json


@functools.cache
def shipped() -> tuple[Shipped, ...]:
    """Return all admission policies that we ship, and their bindings."""
    return tuple(Shipped(**one) for one in json.loads(_SHIPPED.read_text("utf-8")))


def check_admission(facts: Facts) -> Iterator[Finding]:
    """Whether the admission policies beside the wall are in force, and are what we ship."""
    for listing in (facts.admission_policies, facts.admission_bindings):
        if listing.problem:
            yield Finding(
                "unknown",
                "admission",
                f"the admission policies were not checked: {listing.problem}",
                code="AdmissionNotChecked",
            )
            return
    there = {name_of(one) for one in facts.admission_policies.items}
    bound = {
        str(at(one, "spec", "policyName"))
        for one in facts.admission_bindings.items
        if "Deny" in texts(one, "spec", "validationActions")
    }
    controllers = any(name_of(one) == _CONTROLLERS for one in facts.deployments.items)
    needed = (
        _POLICIES
        | (_CONTROLLERS_POLICIES if controllers else {})
        | (_PODS_POLICIES if any(runs(one, POD_CERTIFICATES) for one in facts.deployments.items) else {})
        | (bridges.POLICIES if bridges.in_use(facts) else {})
    )
    lacking = {name for name in needed if name not in there or name not in bound}
    for name in sorted(lacking):
        open_ = needed[name]
        lack = "is missing" if name not in there else "is not bound with the action Deny"
        yield Finding(
            "warning",
            "admission",
            f"the admission policy {name} {lack}: {open_}",
            f"ValidatingAdmissionPolicy {name}",
            _remedy(name),
            code="AdmissionPolicyMissing",
        )
    for one in shipped():
        if one.name not in lacking:
            yield from _compared(facts, one)


def _remedy(name: str) -> str:
    if name in _PODS_POLICIES:
        return _WITH_PODS
    return AGAIN if name in _CONTROLLERS_POLICIES or name in bridges.POLICIES else _WITH_ADMISSION


def _compared(facts: Facts, one: Shipped) -> Iterator[Finding]:
    """Name what is otherwise in the cluster than in one shipped object; what is not there is told elsewhere."""
    namespace = facts.settings.cluster_resource_namespace
    policies, bindings = {
        "V": (facts.admission_policies, facts.admission_bindings),
        "M": (facts.mutating_policies, facts.mutating_bindings),
    }[one.kind[0]]
    binds = one.kind.endswith("Binding")
    listing, other = (bindings, policies) if binds else (policies, bindings)
    found = [list(differences(one.spec, obj.get("spec"), namespace)) for obj in _candidates(listing.items, one)]
    if not found and not any(name_of(obj) == one.name for obj in other.items):
        return  # neither is there
    # Bindings add to each other: one that is as it should be is enough.
    if found and not all(found):
        return
    told = found[0] if found else ["it is not there, and what belongs to it is"]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    open_ = (_POLICIES | _CONTROLLERS_POLICIES | _PODS_POLICIES | bridges.POLICIES).get(one.name, "")
    yield Finding(
        "warning",
        "admission",
        f"it is not as we ship it: {'; '.join(told[:_SHOWN])}{more}"
        + (f". Where it does not hold, {open_}" if open_ else ""),
        f"{one.kind} {one.name}",
        f"kubectl replace -f {one.file} (`kubectl apply` leaves fields that the file does not have)",
        code="AdmissionPolicyChanged",
    )


def _candidates(items: tuple[Json, ...], one: Shipped) -> list[Json]:
    if not one.kind.endswith("Binding"):
        return [obj for obj in items if name_of(obj) == one.name]
    same = [obj for obj in items if at(obj, "spec", "policyName") == one.spec.get("policyName")]
    # The one of our name first: what it lacks is told.
    ours = [obj for obj in items if name_of(obj) == one.name]
    return ours + [obj for obj in same if obj not in ours]


def differences(ours: Any, theirs: Any, namespace: str, path: str = "spec") -> Iterator[str]:
    """Name each field in which `theirs` is not `ours`, after the API server's defaults.

    `namespace` is where mesh-signer runs: shipped expressions name its accounts. Lists are compared place by place.
    """
    found = _differences(_plain(ours, namespace), _plain(theirs, ""), path)
    for _, difference in zip(range(_MOST_DIFFERENCES), found, strict=False):
        yield difference


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for field in (*ours, *(field for field in theirs if field not in ours)):
            inner = f"{path}.{field}"
            if field not in theirs:
                yield f"{inner} is missing"
            elif field not in ours:
                yield f"{inner} is set, and ours has no such field"
            else:
                yield from _differences(ours[field], theirs[field], inner)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if path.endswith(".validationActions") and "Deny" in theirs:
            return  # to tell or to record besides takes nothing away
        for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from _differences(one, other, f"{path}[{index}]")
        if len(ours) != len(theirs):
            yield f"{path} has {len(theirs)} entries, ours {len(ours)}"
    elif ours != theirs:
        yield f"{path} is {_short(theirs)}, ours {_short(ours)}"


def _short(value: object) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value, default=str))


def _plain(value: Any, namespace: str, field: str = "") -> Any:
    """Leave out what the API server fills in, and what says nothing; white space in expressions is none."""
    if isinstance(value, dict):
        plain = {name: _plain(inner, namespace, name) for name, inner in value.items()}
        return {
            name: inner for name, inner in plain.items() if inner not in ({}, [], None) and _DEFAULTS.get(name) != inner
        }
    if isinstance(value, list):
        return [_plain(inner, namespace, field) for inner in value]
    if isinstance(value, str):
        text = " ".join(value.split())
        return text.replace(_NAMESPACE, f"system:serviceaccount:{namespace}:") if namespace else text
    return value
