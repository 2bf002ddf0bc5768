"""What a check-up knows and what it finds. Values only."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from signer.api.issuer import IssuerRef
from signer.commands.live import Json, Listing, Mesh
from signer.settings.values import Settings

Severity = Literal["error", "warning", "unknown", "note"]
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `what` is the case, `where`, and how to `mend` it.

    error: the wall is open, or nothing works. warning: it will be, or somebody may open it. unknown: it could not be
    checked. note: nothing to fix, but to know.
    """

    severity: Severity
    check: str
    what: str
    where: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """One right that somebody needs, and whether he has it (None: it could not be asked)."""

    user: str
    verb: str
    resource: str
    group: str = ""
    name: str = ""
    namespace: str = ""
    subresource: str = ""
    need: str = ""
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
    leases: Listing = field(default_factory=Listing)
    skew: timedelta | None = None
    accesses: tuple[Access, ...] = ()
    access_problem: str = ""


def or_near(facts: Facts, ref: IssuerRef, mend: str) -> str:
    """Ask first, where an issuer is not there and another is called nearly so, whether that one is meant."""
    if ref in facts.mesh.issuers:
        return mend
    near = difflib.get_close_matches(str(ref), map(str, sorted(facts.mesh.issuers)), n=1, cutoff=0.75)
    return f"correct the name if {near[0]} is meant; else {mend}" if near else mend


def some(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Name the first few, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


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
