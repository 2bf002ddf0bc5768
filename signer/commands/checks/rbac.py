"""Who may do what, by the roles and bindings of a cluster. Pure.

The API server's SubjectAccessReview answers for one user; here all are asked for who have a right, which it cannot.
Source: kubernetes pkg/registry/rbac/validation (VerbMatches, ResourceMatches, ResourceNameMatches).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from signer.commands.checks.facts import Facts, at, items, name_of, namespace_of, texts
from signer.commands.live import Json


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """A user, a group, or a service account (with its namespace)."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


@dataclass(frozen=True, slots=True)
class Right:
    """Any of these verbs on a resource (`signers`, `certificatesigningrequests/status`), under any of these names.

    No names: on all objects, or on some by name, whatever it is. `namespace` None: cluster-wide.
    """

    verbs: frozenset[str]
    group: str
    resource: str
    names: frozenset[str] = frozenset()
    namespace: str | None = None


class Roles:
    """The roles and bindings of a cluster."""

    def __init__(self, facts: Facts) -> None:
        self._rules: dict[tuple[str, str, str], list[Json]] = {}
        for kind, listing in (("ClusterRole", facts.cluster_roles), ("Role", facts.roles)):
            for role in listing.items:
                self._rules[kind, namespace_of(role), name_of(role)] = items(role, "rules")
        self._bindings = (*facts.cluster_role_bindings.items, *facts.role_bindings.items)

    def who(self, right: Right) -> dict[Subject, frozenset[str]]:
        """Return everybody who has this right, with the names of the roles that give it."""
        found: dict[Subject, set[str]] = defaultdict(set)
        for binding in self._bindings:
            namespace = namespace_of(binding)
            if namespace and namespace != right.namespace:
                continue
            kind, name = str(at(binding, "roleRef", "kind")), str(at(binding, "roleRef", "name"))
            rules = self._rules.get((kind, namespace if kind == "Role" else "", name), [])
            if any(_matches(rule, right) for rule in rules):
                for subject in _subjects(items(binding, "subjects"), namespace):
                    found[subject].add(name)
        return {subject: frozenset(roles) for subject, roles in found.items()}


def _subjects(listed: Iterable[Json], namespace: str) -> Iterator[Subject]:
    for one in listed:
        kind, name = str(one.get("kind")), str(one.get("name"))
        yield Subject(kind, str(one.get("namespace") or namespace) if kind == "ServiceAccount" else "", name)


def _matches(rule: Json, right: Right) -> bool:
    verbs, groups = texts(rule, "verbs"), texts(rule, "apiGroups")
    if "*" not in verbs and right.verbs.isdisjoint(verbs):
        return False
    if "*" not in groups and right.group not in groups:
        return False
    resources = texts(rule, "resources")
    _, slash, subresource = right.resource.partition("/")
    if not {"*", right.resource, *({f"*/{subresource}"} if slash else ())} & set(resources):
        return False
    names = texts(rule, "resourceNames")
    return not names or not right.names or not right.names.isdisjoint(names)
