"""Webhooks without which the API server stores nothing that we write: one that is down stops the mesh, and no replica is ill. Pure.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ (rules, failurePolicy).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from signer.api.text import some
from signer.commands.checks.facts import Facts, Finding, at, items, name_of, namespace_of, texts
from signer.commands.live import Json
from signer.kube.resource import Resource

ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True)
SERVICE_LABEL = "kubernetes.io/service-name"
# What has to be stored before a workload has its certificate, and what we stand on: (group, resource, operation).
WRITTEN = (
    ("certificates.k8s.io", "certificatesigningrequests", "CREATE"),
    ("certificates.k8s.io", "certificatesigningrequests/approval", "UPDATE"),
    ("certificates.k8s.io", "certificatesigningrequests/status", "UPDATE"),
    ("coordination.k8s.io", "leases", "UPDATE"),
    ("", "secrets", "UPDATE"),
    ("mesh-signer.dev", "signerbindings", "CREATE"),
    ("mesh-signer.dev", "signerrecords", "CREATE"),
    ("mesh-signer.dev", "signerrecords/status", "UPDATE"),
    ("cert-manager.io", "certificates/status", "UPDATE"),
    ("cert-manager.io", "certificaterequests", "CREATE"),
    ("cert-manager.io", "certificaterequests/status", "UPDATE"),
    ("cert-manager.io", "issuers/status", "UPDATE"),
    ("cert-manager.io", "clusterissuers/status", "UPDATE"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A webhook that is asked before `what` is stored, and that nothing is stored without. `limited`: selectors may take it out."""

    name: str
    what: tuple[str, ...]
    service: tuple[str, str] | None
    limited: bool


def asked(facts: Facts) -> list[Asked]:
    """Find the webhooks that the API server asks about what we write, and that must answer (failurePolicy Fail)."""
    found = []
    for config in facts.injectables.items:
        for hook in items(config, "webhooks"):
            what = tuple(
                _full(group, resource) for group, resource, verb in WRITTEN if _matches(hook, group, resource, verb)
            )
            if not what or hook.get("failurePolicy", "Fail") != "Fail":
                continue
            service = at(hook, "clientConfig", "service")
            found.append(
                Asked(
                    f"webhook {hook.get('name') or '(no name)'} of {name_of(config)}",
                    tuple(dict.fromkeys(what)),
                    (str(service.get("namespace") or ""), str(service.get("name") or ""))
                    if isinstance(service, dict)
                    else None,
                    any(hook.get(limit) for limit in ("namespaceSelector", "objectSelector", "matchConditions")),
                )
            )
    return found


def services(facts: Facts) -> set[tuple[str, str]]:
    """The Services (namespace, name) whose endpoints are to be looked at."""
    return {one.service for one in asked(facts) if one.service is not None}


def check_webhooks(facts: Facts) -> Iterator[Finding]:
    """Whether the webhooks that what we write waits for can answer."""
    if facts.injectables.problem:
        text = f"webhooks were not checked: {facts.injectables.problem}"
        yield Finding("unknown", "webhooks", text, code="WebhookNotChecked")
    ready = {
        (namespace_of(one), str(at(one, "metadata", "labels", SERVICE_LABEL) or ""))
        for one in facts.endpoints.items
        if any(at(end, "conditions", "ready") is not False for end in items(one, "endpoints"))
    }
    for one in asked(facts):
        stops = f"the API server asks it before it stores {some(one.what)}, and stores nothing without its answer"
        if one.service is None:
            text = f"{stops}; it is called by a URL, and whether it answers was not looked at"
            yield Finding("note", "webhooks", text, one.name, code="WebhookNotChecked")
        elif facts.endpoints.problem:
            text = f"{stops}; whether its Service has endpoints was not looked at: {facts.endpoints.problem}"
            yield Finding("unknown", "webhooks", text, one.name, code="WebhookNotChecked")
        elif one.service not in ready:
            where = "/".join(one.service)
            limited = ", for what its selectors and conditions take" if one.limited else ""
            yield Finding(
                "warning" if one.limited else "error",
                "webhooks",
                f"{stops}{limited}: Service {where} has no endpoint that is ready",
                one.name,
                f"start the Pods of Service {where} (kubectl -n {one.service[0]} get pods), or remove {one.name} until they run",
                code="WebhookDown",
            )


def _full(group: str, resource: str) -> str:
    name, slash, sub = resource.partition("/")
    return f"{name}.{group}{slash}{sub}" if group else resource


def _matches(hook: Json, group: str, resource: str, verb: str) -> bool:
    return any(
        {"*", group} & set(texts(rule, "apiGroups"))
        and {"*", verb} & set(texts(rule, "operations"))
        and any(_covers(pattern, resource) for pattern in texts(rule, "resources"))
        for rule in items(hook, "rules")
    )


def _covers(pattern: str, resource: str) -> bool:
    """Whether a rule's `resources` has a resource: `*` has no subresources, `*/*` all, `pods/*` those of pods, `*/scale` of all."""
    name, _, sub = resource.partition("/")
    left, slash, right = pattern.partition("/")
    if not slash:
        return left in {"*", name} and not sub
    return left in {"*", name} and right in {"*", sub} and (bool(sub) or right == "*")
