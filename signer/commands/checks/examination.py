"""Reads a cluster for a check-up, and makes every check: what `doctor` tells, and `status` counts.

It writes nothing. What may not be read is told, never guessed. One event loop for each call.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from signer.api.admissionpolicy import (
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
)
from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS
from signer.api.injectable import API_SERVICES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from signer.api.pod import PODS
from signer.api.proxyconfig import PROXY_CONFIGS
from signer.api.tenantbridge import TENANT_BRIDGES
from signer.commands.checks import (
    access,
    admission,
    bridges,
    identity,
    injection,
    install,
    istiod,
    lent,
    mesh,
    persistent,
    replicas,
    requesters,
    roots,
    webhooks,
    workloads,
)
from signer.commands.checks.facts import Facts, Finding
from signer.commands.live import Listing, list_all, read_mesh, read_skew
from signer.commands.rights import ask_rights
from signer.kube.client import ApiClient
from signer.kube.discovery.served import locate_newest
from signer.kube.errors import ApiError, Unreachable
from signer.kube.leases.record import LEASES
from signer.kube.resource import Resource
from signer.settings.values import Settings

_RBAC = "rbac.authorization.k8s.io"
_CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
_CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
_ROLES = Resource(_RBAC, "v1", "roles", "Role", namespaced=True)
_ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)

CHECKS: tuple[Callable[[Facts], Iterable[Finding]], ...] = (
    install.check_crds,
    install.check_namespaces,
    roots.check_mesh_config,
    install.check_gaps,
    install.check_ourselves,
    access.check_needed,
    istiod.check_istiod,
    istiod.check_multiroot,
    mesh.check_cas,
    roots.check_roots,
    mesh.check_claims,
    mesh.check_policies,
    identity.check_by_identity,
    workloads.check_workloads,
    workloads.check_variables,
    workloads.check_gateways,
    install.check_cert_manager,
    replicas.check_cert_managers_lease,
    replicas.check_clocks,
    replicas.check_installations,
    replicas.check_leader,
    webhooks.check_webhooks,
    injection.check_injection,
    bridges.check_bridges,
    persistent.check_persistent,
    lent.check_lent,
    admission.check_admission,
    requesters.check_requesters,
    access.check_others,
)
SEVERITIES = ("error", "warning", "unknown", "note")


def examine(facts: Facts) -> list[Finding]:
    """Make every check; the worst findings first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


async def gather(client: ApiClient, settings: Settings) -> Facts:
    """Read everything that the checks are about. Raises nothing for what may not be read: each listing says so itself."""
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
                DEPLOYMENTS,
                PODS,
                VALIDATING_POLICIES,
                VALIDATING_BINDINGS,
                MUTATING_POLICIES,
                MUTATING_BINDINGS,
                LEASES,
                TENANT_BRIDGES,
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
        bridges=lists[10],
        skew=await read_skew(client),
    )
    asking_for = sorted({namespace for namespace, _ in webhooks.services(facts)})
    ends = await asyncio.gather(*(list_all(client, webhooks.ENDPOINT_SLICES, namespace) for namespace in asking_for))
    return await _with_rights(client, replace(facts, endpoints=_joined(ends)))


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
    known, problem = await ask_rights(client, access.needed(facts))
    return replace(facts, accesses=known, access_problem=problem)
