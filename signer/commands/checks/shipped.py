"""Which rights the shipped roles give our accounts, and which of them an installation needs by what runs there. Pure.

They stand in shipped_rights.json, which `python -m manifests.generate` writes from the manifests: a right that is new there is
asked for here without another word.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from signer.api.text import some
from signer.commands.checks.facts import AGAIN, Access, Facts, Finding, arguments, at, environment, name_of, runs
from signer.commands.live import Json
from signer.settings.given import PREFIX
from signer.settings.values import POD_CERTIFICATES

CONTROLLERS = "mesh-signer-controllers"
_SHIPPED = Path(__file__).parent / "shipped_rights.json"
_OWN, _ISTIO = "cert-manager", "istio-system"
_SHOWN_ON = frozenset({"true", "1", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Role:
    """A role of ours as it is bound to an account: `component` is "" for the base; `file` is where, below the repository."""

    component: str
    name: str
    file: str
    account: str
    rights: tuple[Access, ...]


def switched_on(deployment: Json, option: str) -> bool:
    """Tell whether a Deployment has an option of yes or no set to yes, by its arguments or its environment."""
    template = at(deployment, "spec", "template")
    line = arguments(template)
    given = environment(template).get(PREFIX + option.replace("-", "_").upper())
    for index, one in enumerate(line):
        if one.startswith(f"--{option}="):
            given = one.partition("=")[2]
        elif one == f"--{option}" and index + 1 < len(line):
            given = line[index + 1]
    return str(given).strip().lower() in _SHOWN_ON


def _by_option(option: str) -> Callable[[Facts], bool]:
    return lambda facts: any(switched_on(one, option) for one in facts.deployments.items)


ON: Mapping[str, Callable[[Facts], bool]] = {
    "": lambda _facts: True,
    "bridges": _by_option("tenant-bridges"),
    "ca-injector": lambda _facts: True,
    "manage-mesh-config": _by_option("manage-mesh-config"),
    "pod-certificates": lambda facts: any(runs(one, POD_CERTIFICATES) for one in facts.deployments.items),
}
"""By component whether it is at work. Its account's Deployment is there as well, or nobody lacks the right."""
WHAT: Mapping[str, str] = {
    "": "some of what it is there for does not work",
    "bridges": "bridges are not built, renewed, examined or ended",
    "ca-injector": "CAs are not written where they are asked for",
    "manage-mesh-config": "the mesh config does not follow the CAs",
    "pod-certificates": "Pods' requests are not answered, or their roots not published",
}
OPTIONAL = frozenset({("approve", "cert-manager.io", "signers")})
"""Rights that whoever installs mesh-signer may take away, as the role says: (verb, group, resource)."""


@functools.cache
def roles() -> tuple[Role, ...]:
    """Return all shipped roles that are bound to accounts of ours."""
    found = json.loads(_SHIPPED.read_text("utf-8"))
    return tuple(
        Role(
            one["component"],
            one["name"],
            one["file"],
            one["account"],
            tuple(_rights(one["namespace"], one["rules"])),
        )
        for one in found
    )


def _rights(namespace: str, rules: Iterable[Mapping[str, list[str]]]) -> Iterator[Access]:
    for rule in rules:
        names = rule.get("resourceNames", [""])
        for group, named, verb, name in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"], names):
            resource, _, subresource = named.partition("/")
            yield Access("", verb, resource, group, name, namespace=namespace, subresource=subresource)


def rights(facts: Facts) -> Iterator[Access]:
    """List the rights of every shipped role whose component is at work, each with the role that gives it."""
    settings = facts.settings
    places = {_OWN: settings.cluster_resource_namespace, _ISTIO: settings.istio_namespace}
    there = {name_of(one) for one in facts.deployments.items}
    for role in roles():
        if role.account not in there or not ON[role.component](facts):
            continue
        user = f"system:serviceaccount:{settings.cluster_resource_namespace}:{role.account}"
        for one in role.rights:
            if (one.verb, one.group, one.resource) not in OPTIONAL:
                yield replace(one, user=user, namespace=places.get(one.namespace, one.namespace), role=role.name)


def check_roles(missing: Iterable[Access]) -> Iterator[Finding]:
    """One finding for each role of which something is missing: mostly it is not bound, or older than the program."""
    lacking: dict[tuple[str, str], list[Access]] = {}
    for one in missing:
        lacking.setdefault((one.user, one.role), []).append(one)
    for (user, name), listed in sorted(lacking.items()):
        role = next(one for one in roles() if one.name == name)
        yield Finding(
            "error",
            "rights",
            f"{user} may not {some(map(str, listed))}, as the shipped role {name} lets it: {WHAT[role.component]}",
            f"role {name} and its binding ({role.file})",
            AGAIN,
            code="RightMissing",
        )
