"""What a check-up knows and what it finds. Values only."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from signer.api.issuer import IssuerRef
from signer.api.meant import nearest
from signer.commands.live import Json, Listing, Mesh
from signer.settings.values import Settings

AGAIN = "apply again, whole, what mesh-signer was installed with: kubectl apply -k OVERLAY, or helm upgrade RELEASE CHART with its values"
"""Never a part alone, such as manifests/base: that would set image, options and namespaces back to what is shipped."""
DEFINITIONS = "kubectl apply -k manifests/crds, or helm upgrade RELEASE CHART with its values"
WITH_FORCE = (
    "; its price: workloads that run trust the old root until they have renewed, and those that start meanwhile do not reach "
    "them. If the CA was not to change, put its former Secret back instead"
)


def field_in(problem: str) -> str:
    """Say what to correct: the object and field that a problem begins with, or the object alone."""
    named, colon, _ = problem.partition(": ")
    if named.startswith("spec."):
        named = named.partition(" ")[0]  # "spec.usages lacks client auth"
    return named if colon and len(named) <= _LONGEST_FIELD else "the field that this begins with"


Severity = Literal["error", "warning", "unknown", "note"]
_LONGEST_FIELD = 160


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `what` is the case, `where`, and how to `mend` it. `code` names its kind, for good.

    error: the wall is open, or nothing works. warning: it will be, or somebody may open it. unknown: it could not be
    checked. note: nothing to fix, but to know.
    """

    severity: Severity
    check: str
    what: str
    where: str = ""
    mend: str = ""
    code: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Access:
    """One right that somebody needs, and whether he has it (None: it could not be asked). `role`: the shipped one that gives it."""

    user: str
    verb: str
    resource: str
    group: str = ""
    name: str = ""
    namespace: str = ""
    subresource: str = ""
    need: str = ""
    role: str = ""
    allowed: bool | None = None

    def __str__(self) -> str:
        full = f"{self.resource}.{self.group}" if self.group else self.resource
        full += f"/{self.subresource}" if self.subresource else ""
        name = f" {self.name}" if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {full}{name}{where}"


@dataclass(frozen=True, slots=True)
class Facts:
    """The cluster at one moment. Each Listing says by itself when it could not be read.

    `endpoints` are the EndpointSlices of webhooks' Services alone.
    `skew` is how far the clock here is ahead of the API server's, None where that could not be found out.
    """

    settings: Settings
    mesh: Mesh
    now: datetime
    crds: Listing = field(default_factory=Listing)
    cluster_roles: Listing = field(default_factory=Listing)
    cluster_role_bindings: Listing = field(default_factory=Listing)
    roles: Listing = field(default_factory=Listing)
    role_bindings: Listing = field(default_factory=Listing)
    deployments: Listing = field(default_factory=Listing)
    pods: Listing = field(default_factory=Listing)
    proxy_configs: Listing = field(default_factory=Listing)
    admission_policies: Listing = field(default_factory=Listing)
    admission_bindings: Listing = field(default_factory=Listing)
    mutating_policies: Listing = field(default_factory=Listing)
    mutating_bindings: Listing = field(default_factory=Listing)
    injectables: Listing = field(default_factory=Listing)
    bridges: Listing = field(default_factory=Listing)
    leases: Listing = field(default_factory=Listing)
    endpoints: Listing = field(default_factory=Listing)
    skew: timedelta | None = None
    accesses: tuple[Access, ...] = ()
    access_problem: str = ""


def or_near(facts: Facts, ref: IssuerRef, mend: str) -> str:
    """Ask first, where an issuer is not there and another is called nearly so, whether that one is meant."""
    if ref in facts.mesh.issuers:
        return mend
    # By the name alone: what all of a kind have in common makes none of them near.
    beside = {one.name: one for one in facts.mesh.issuers if (one.kind, one.namespace) == (ref.kind, ref.namespace)}
    near = nearest(ref.name, sorted(beside), 0.75)
    return f"correct the name if {beside[near]} is meant; else {mend}" if near else mend


def at(obj: Any, *path: str) -> Any:
    """Return what stands at a path of mappings in an object of somebody else's, None where there is nothing."""
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def items(obj: Any, *path: str) -> list[Json]:
    """Return the mappings of a list at a path; whatever else stands there is left out."""
    found = at(obj, *path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def texts(obj: Any, *path: str) -> list[str]:
    """Return the texts of a list at a path."""
    found = at(obj, *path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def name_of(obj: Json) -> str:
    """Return metadata.name."""
    return str(at(obj, "metadata", "name") or "")


def namespace_of(obj: Json) -> str:
    """Return metadata.namespace."""
    return str(at(obj, "metadata", "namespace") or "")


def containers(template: Any) -> list[Json]:
    """Return the containers of a Pod, or of a Pod template, sidecars among the init containers too."""
    return [*items(template, "spec", "containers"), *items(template, "spec", "initContainers")]


def environment(template: Any) -> dict[str, str | None]:
    """Return the environment of all containers, None for a value that stands elsewhere (valueFrom)."""
    found: dict[str, str | None] = {}
    for container in containers(template):
        for entry in items(container, "env"):
            name = entry.get("name")
            if isinstance(name, str):
                value = entry.get("value", None if "valueFrom" in entry else "")
                found[name] = value if value is None else str(value)
    return found


def arguments(template: Any) -> list[str]:
    """Return the command lines of all containers."""
    return [
        one for container in containers(template) for one in (*texts(container, "command"), *texts(container, "args"))
    ]


def runs(deployment: Json, controller: str) -> bool:
    """Tell whether a Deployment's options name a controller of ours."""
    chosen = [one.partition("=")[2] for one in arguments(at(deployment, "spec", "template")) if "--controllers=" in one]
    names = {name.strip() for one in chosen for name in one.split(",")}
    return controller in names or (name_of(deployment).startswith("mesh-signer") and "*" in names)
