"""Tenants by identity: who gets nothing by the one name that istiod asks, and why. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from signer.api.signername import signer_name_of
from signer.commands.checks.facts import Facts, Finding, at, containers, namespace_of
from signer.commands.checks.mesh import refusal
from signer.tenancy.grants import NotGranted
from signer.tenancy.routes import MISSING, route

_PROXY = "istio-proxy"
_AMBIENT = "ambient.istio.io/redirection"
_ENDED = {"Succeeded", "Failed"}


def check_by_identity(facts: Facts) -> Iterator[Finding]:
    """Namespaces that are routed by identity and get nothing. One without a signer is told where it is named, or is in the mesh."""
    world = facts.mesh.world
    if facts.mesh.gaps or not world.routed:
        return  # what is not known is told by check_gaps
    in_mesh = _with_workloads(facts)
    for asked in sorted(world.routed):
        routing = [policy for policy in world.policies.get(asked, ()) if policy.by_identity]
        for name, exists in sorted(world.namespaces.items()):
            if not any(policy.covers(name, exists) for policy in routing):
                continue
            way = route(world, asked, name, now=facts.now)
            missing = isinstance(way, NotGranted) and way.reason.code == MISSING
            if missing and name not in in_mesh and not any(name in policy.namespaces for policy in routing):
                continue
            if (why := refusal(facts, name, asked)) is not None:
                mend = f"mesh-signer explain --namespace={name} --signer={signer_name_of(asked)}"
                yield replace(why, check="policies", where=f"namespace {name}", mend=mend, code="RouteRefused")


def _with_workloads(facts: Facts) -> frozenset[str]:
    """Name the namespaces in which Pods have Istio's proxy, or are in the ambient mesh."""
    return frozenset(
        namespace_of(pod)
        for pod in facts.pods.items
        if at(pod, "status", "phase") not in _ENDED
        and (
            any(one.get("name") == _PROXY for one in containers(pod))
            or at(pod, "metadata", "annotations", _AMBIENT) == "enabled"
        )
    )
