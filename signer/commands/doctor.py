"""`mesh-signer doctor`: reads what the wall stands on, and says what is wrong with it, where, and how to mend it.

It writes nothing. What may not be read is told, never guessed.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS
from signer.api.injectable import API_SERVICES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from signer.api.pod import PODS
from signer.api.proxyconfig import PROXY_CONFIGS
from signer.commands.checks import access, admission, injection, install, istiod, mesh, replicas, requesters, workloads
from signer.commands.checks.facts import Access, Facts, Finding
from signer.commands.command import FINE, FOUND, UNKNOWN, add_options, run, say
from signer.commands.live import Listing, list_all, read_mesh
from signer.commands.tables import clean, coloured
from signer.csr.questions import SUBJECT_ACCESS_REVIEWS
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Unreachable
from signer.kube.leases.record import LEASES
from signer.kube.resource import Resource
from signer.kube.served import locate_newest
from signer.kube.skew import skew_of
from signer.settings.values import Settings

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
_CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
_ROLES = Resource(_RBAC, "v1", "roles", "Role", namespaced=True)
_ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding", namespaced=True)
_DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
_POLICIES = Resource(_ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
_BINDINGS = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
_MUTATING = Resource(_ADMISSION, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False)
_MUTATING_BINDINGS = Resource(
    _ADMISSION, "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", namespaced=False
)

CHECKS: tuple[Callable[[Facts], Iterable[Finding]], ...] = (
    install.check_crds,
    install.check_gaps,
    install.check_ourselves,
    access.check_needed,
    istiod.check_istiod,
    istiod.check_multiroot,
    mesh.check_cas,
    mesh.check_roots,
    mesh.check_claims,
    mesh.check_policies,
    workloads.check_workloads,
    workloads.check_variables,
    workloads.check_gateways,
    install.check_cert_manager,
    replicas.check_clocks,
    replicas.check_installations,
    injection.check_injection,
    admission.check_admission,
    requesters.check_requesters,
    access.check_others,
)
_ORDER = ("error", "warning", "unknown", "note")
_COLOURS = {"error": "red", "warning": "yellow", "unknown": "yellow"}
_AT_ONCE = 8

_DESCRIPTION = """\
Check what the wall between tenants stands on: CRDs, rights of ours and of everybody who could bypass it, istiod's
settings, roots, CAs, claims, workloads, gateways, cert-manager beside us, CAs to inject, admission policies. Nothing is
written. Exit status: 0 no problems, 1 problems, 2 no problems found, but some checks could not run.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    add_options(parser, people="text")


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, settings: Settings) -> int:
        findings = examine(await _gather(client, settings))
        if options.output == "json":
            say(json.dumps({"findings": [asdict(one) for one in findings]}, indent=2))
        else:
            say(report(findings, terminal=sys.stdout.isatty()))
        return status(findings)

    return run(options, work)


def examine(facts: Facts) -> list[Finding]:
    """Make every check; the worst findings first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda one: _ORDER.index(one.severity))


def status(findings: Iterable[Finding]) -> int:
    """Return the exit status for these findings."""
    severities = {one.severity for one in findings}
    if severities & {"error", "warning"}:
        return FOUND
    return UNKNOWN if "unknown" in severities else FINE


def report(findings: list[Finding], *, terminal: bool) -> str:
    """Write the findings for a person."""
    lines = []
    for one in findings:
        word = one.severity.upper()
        colour = _COLOURS.get(one.severity, "")
        lines.append(
            f"{coloured(word, colour, terminal=terminal)}{' ' * (9 - len(word))}{one.check}: {clean(one.what)}"
        )
        if one.where:
            lines.append(f"{'':9}at {clean(one.where)}")
        if one.mend:
            lines.append(f"{'':9}-> {clean(one.mend)}")
    counts = [(sum(one.severity == kind for one in findings), kind) for kind in _ORDER]
    words = {"error": "errors", "warning": "warnings", "unknown": "not checked", "note": "notes"}
    summary = ", ".join(f"{count} {words[kind]}" for count, kind in counts if count)
    return "\n".join([*lines, summary or "no problems found"])


async def _gather(client: ApiClient, settings: Settings) -> Facts:
    now = datetime.now(UTC)
    own, istio = settings.cluster_resource_namespace, settings.istio_namespace
    places = sorted({own, istio})
    found = await read_mesh(client, settings, now=now)
    lists = await asyncio.gather(
        *(
            list_all(client, resource)
            for resource in (
                CUSTOM_RESOURCE_DEFINITIONS,
                _CLUSTER_ROLES,
                _CLUSTER_ROLE_BINDINGS,
                _DEPLOYMENTS,
                PODS,
                _POLICIES,
                _BINDINGS,
                _MUTATING,
                _MUTATING_BINDINGS,
                LEASES,
            )
        )
    )
    asking = (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS, API_SERVICES)
    injectables = _joined(await asyncio.gather(*(list_all(client, one) for one in asking)))
    roles = _joined(await asyncio.gather(*(list_all(client, _ROLES, place) for place in places)))
    role_bindings = _joined(await asyncio.gather(*(list_all(client, _ROLE_BINDINGS, place) for place in places)))
    facts = Facts(
        settings,
        found,
        now,
        crds=lists[0],
        cluster_roles=lists[1],
        cluster_role_bindings=lists[2],
        roles=roles,
        role_bindings=role_bindings,
        deployments=lists[3],
        pods=lists[4],
        proxy_configs=await _proxy_configs(client),
        admission_policies=lists[5],
        admission_bindings=lists[6],
        mutating_policies=lists[7],
        mutating_bindings=lists[8],
        injectables=injectables,
        leases=lists[9],
        skew=await _skew(client),
    )
    return await _with_rights(client, facts)


async def _skew(client: ApiClient) -> timedelta | None:
    try:
        answer = await client.request("GET", "/version")
    except (ApiError, Unreachable):
        return None
    return skew_of(answer.headers.get("Date", ""), datetime.now(UTC))


async def _proxy_configs(client: ApiClient) -> Listing:
    """List ProxyConfigs whole: of those that the wall reads, only what it goes by is kept."""
    try:
        found = await locate_newest(PROXY_CONFIGS)(client)
    except (ApiError, Unreachable) as error:
        return Listing(problem=f"the versions of ProxyConfigs could not be read: {error}")
    return Listing(absent=True) if found is None else await list_all(client, found)


def _joined(listings: Iterable[Listing]) -> Listing:
    listed = list(listings)
    problem = "; ".join(one.problem for one in listed if one.problem)
    return Listing(tuple(item for one in listed for item in one.items), problem)


async def _with_rights(client: ApiClient, facts: Facts) -> Facts:
    """Ask the API server for each right that is needed."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(wanted: Access) -> Access | ApiError | Unreachable:
        async with limit:
            try:
                return replace(wanted, allowed=await _allowed(client, wanted))
            except (ApiError, Unreachable) as error:
                return error

    answers = await asyncio.gather(*map(ask, access.needed(facts)))
    known = tuple(one for one in answers if isinstance(one, Access))
    problem = next((str(one) for one in answers if not isinstance(one, Access)), "")
    return replace(facts, accesses=known, access_problem=problem)


async def _allowed(client: ApiClient, wanted: Access) -> bool:
    groups = ["system:authenticated"]
    parts = wanted.user.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{parts[2]}"]
    attributes = {
        "verb": wanted.verb,
        "group": wanted.group,
        "version": "*",
        "resource": wanted.resource,
        "subresource": wanted.subresource,
        "name": wanted.name,
        "namespace": wanted.namespace,
    }
    review = {"spec": {"user": wanted.user, "groups": groups, "resourceAttributes": attributes}}
    answer = await client.create(SUBJECT_ACCESS_REVIEWS, review)
    found = answer.get("status")
    return isinstance(found, dict) and found.get("allowed") is True
