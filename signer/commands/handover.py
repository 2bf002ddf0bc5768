"""What is to be done so that a cert-manager can work where mesh-signer did, and no more than that. Pure.

What is left alone is of use to it, or does nothing: Certificates, issuers, Secrets, the definitions themselves, finalizers
(they are cert-manager's own), SignerBindings and the like, which a return would go on with.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from signer.api.admissionpolicy import (
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
)
from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS, OURS_ANNOTATION
from signer.api.labels import PART_OF
from signer.api.signerpolicy import MESH_GROUP
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.examination import DEPLOYMENTS
from signer.commands.checks.facts import at, name_of, namespace_of
from signer.commands.live import Json
from signer.kube.leases.record import Sighting
from signer.kube.resource import Resource

INJECTOR = "mesh-signer-ca-injector"
OURS = (SIGNER, CONTROLLERS, INJECTOR)
POLICIES = {VALIDATING_BINDINGS: VALIDATING_POLICIES, MUTATING_BINDINGS: MUTATING_POLICIES}
"""The kinds of bindings with the kinds of what they bind."""
_THEIRS = ("cert-manager.io", "acme.cert-manager.io")
_SUFFIX = f".{MESH_GROUP}"
_NAMED = 10

Deed = Literal["stop", "delete", "unmark"]
_TOLD: Mapping[Deed, str] = {
    "stop": "scale {} to no replicas",
    "delete": "delete {}",
    "unmark": f"take the annotation {OURS_ANNOTATION} and our label off {{}}",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What is there. `admission`: policies and bindings by their kind."""

    deployments: tuple[Json, ...] = ()
    admission: Mapping[Resource, tuple[Json, ...]] = field(default_factory=dict)
    definitions: tuple[Json, ...] = ()
    challenges: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One write: `stop` a Deployment, `delete` what admits or refuses, `unmark` a definition. `uid` is the object's."""

    deed: Deed
    resource: Resource
    name: str
    namespace: str = ""
    uid: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return _TOLD[self.deed].format(f"{self.resource.kind} {where}{self.name}")


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` in the order in which they are safe; `problems` are for a person to end first; `notes` are to be known."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def leaving(found: Found, namespace: str) -> Plan:
    """Plan the hand-over. The wall's policies go when nothing of ours writes any more, bindings before what they bind.

    `namespace` is where mesh-signer runs. What belongs to challenges that are under way is put back by the controllers alone, so
    while these run they are waited for.
    """
    stops = tuple(_stops(found.deployments, namespace))
    steps = (*stops, *_deletions(found.admission), *_unmarked(found.definitions))
    under_way = [f"{namespace_of(one)}/{name_of(one)}" for one in found.challenges if _presented(one)]
    if not under_way:
        return Plan(steps)
    named = ", ".join(sorted(under_way)[:_NAMED]) + (
        f" and {len(under_way) - _NAMED} more" if len(under_way) > _NAMED else ""
    )
    if stops:
        text = f"answers to challenges are in place, and only mesh-signer takes them away: wait for Challenges {named}, or delete their Orders"
        return Plan(steps, (text,))
    text = f"nobody takes away what was put in place for Challenges {named}: routes, records, redirects of gateways"
    return Plan(steps, (), (text,))


def working(sightings: Iterable[tuple[str, Sighting]], now: float) -> tuple[str, ...]:
    """Name those of our Leases that somebody renews, at `now` in monotonic seconds."""
    return tuple(sorted(f"Lease {name}, held by {one.holder[:80]}" for name, one in sightings if not one.expired(now)))


def our_lease(lease: Json) -> bool:
    """Tell whether a Lease is one of mesh-signer's: a leader's, or a replica's."""
    return name_of(lease) in OURS or any(name_of(lease).startswith(f"{name}-") for name in OURS)


def _stops(deployments: Iterable[Json], namespace: str) -> Iterator[Step]:
    for one in deployments:
        if namespace_of(one) != namespace or name_of(one) not in OURS:
            continue
        if at(one, "spec", "replicas") != 0 or at(one, "status", "replicas"):
            yield _step("stop", DEPLOYMENTS, one)


def _deletions(admission: Mapping[Resource, tuple[Json, ...]]) -> Iterator[Step]:
    for bindings, policies in POLICIES.items():
        ours = [one for one in admission.get(policies, ()) if _ours(one)]
        names = {name_of(one) for one in ours}
        for one in admission.get(bindings, ()):
            if _ours(one) or at(one, "spec", "policyName") in names:
                yield _step("delete", bindings, one)
        for one in ours:
            yield _step("delete", policies, one)


def _ours(obj: Json) -> bool:
    """By its label, or by its name, where somebody took the label away."""
    return name_of(obj).endswith(_SUFFIX) or _labelled(obj)


def _unmarked(definitions: Iterable[Json]) -> Iterator[Step]:
    """The definitions of cert-manager's groups that we brought: marked, our controllers would take them for theirs.

    By the label, `kubectl delete crd -l` of what is ours would delete every Certificate.
    """
    for one in definitions:
        if at(one, "spec", "group") in _THEIRS and (_noted(one) or _labelled(one)):
            yield _step("unmark", CUSTOM_RESOURCE_DEFINITIONS, one)


def _noted(obj: Json) -> bool:
    return OURS_ANNOTATION in (at(obj, "metadata", "annotations") or {})


def _labelled(obj: Json) -> bool:
    labels = at(obj, "metadata", "labels") or {}
    return any(labels.get(key) == value for key, value in PART_OF.items())


def _presented(challenge: Json) -> bool:
    return at(challenge, "status", "presented") is True


def _step(deed: Deed, resource: Resource, obj: Json) -> Step:
    return Step(deed, resource, name_of(obj), namespace_of(obj), str(at(obj, "metadata", "uid") or ""))
