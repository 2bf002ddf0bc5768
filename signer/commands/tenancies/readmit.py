"""`mesh-signer tenants readmit`: what was an earlier namespace's is that of the one which has its name now.

Policies give signers, hosts and bridges to a namespace by its name, and mean the one that had it first. What is to be given is told
before anything is written; each write names the version that was shown.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from signer.api.edgepolicy import EDGE_POLICIES, EdgePolicy
from signer.api.hostclaim import HOST_CLAIMS, HostClaim
from signer.api.namespace import NAMESPACES
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.api.text import capped
from signer.commands.command import FINE, FOUND, NotFoundOut
from signer.commands.live import list_all
from signer.commands.output import say
from signer.commands.tables import clean
from signer.commands.tenancies.owners import agreed
from signer.edge.hosts.decide import Asker, given_back, read_claim
from signer.edge.hosts.policy import HostPolicy, Policies, read_edge_policy
from signer.edge.hosts.retention import KEPT
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.resource import Resource
from signer.settings.values import Settings

P = TypeVar("P", SignerPolicy, EdgePolicy, TenantBridgePolicy)


@dataclass(frozen=True, slots=True)
class Readmission(Generic[P]):
    """Policies that mean an earlier namespace of the name."""

    resource: Resource
    policies: tuple[P, ...]

    @property
    def names(self) -> str:
        """Their names, for people."""
        return clean(", ".join(one.metadata.name for one in self.policies))


def remade(policies: Sequence[P], namespace: str, uid: str) -> tuple[P, ...]:
    """Those of the policies that mean an earlier namespace of this name. Pure."""
    return tuple(one for one in policies if one.status.namespace_uids.get(namespace, uid) != uid)


def hosts_of_earlier(
    claims: Sequence[HostClaim], policies: Sequence[EdgePolicy], namespace: str, uid: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts that an earlier namespace of the name has: those that the one of now gets once it is readmitted, and the others.

    Pure. `policies` are all that there are, as they are now.
    """
    known = Policies(_then(read_edge_policy(one), namespace, uid) for one in policies)
    asker = Asker(namespace, uid, {})
    found = [claim for claim in map(read_claim, claims) if claim is not None and not claim.problem]
    earlier = [claim for claim in found if claim.namespace == namespace and claim.namespace_uid != uid]
    back = tuple(sorted(str(claim.host) for claim in earlier if given_back(claim, asker, known)))
    return back, tuple(sorted({str(claim.host) for claim in earlier} - set(back)))


async def readmit(client: ApiClient, _settings: Settings, namespace: str, *, yes: bool) -> int:
    """Have policies mean the namespace of now. Raises NotFoundOut, ApiError, Unreachable."""
    try:
        uid = str((await client.get(NAMESPACES, namespace))["metadata"]["uid"])
    except NotFound:
        raise NotFoundOut(f"there is no namespace {clean(namespace)}") from None
    kinds = (SIGNER_POLICIES, EDGE_POLICIES, HOST_CLAIMS, TENANT_BRIDGE_POLICIES)
    listed = await asyncio.gather(*(list_all(client, one) for one in kinds))
    for kind, found in zip(kinds, listed, strict=True):
        if found.problem:
            raise NotFoundOut(f"{_plural(kind)} could not be read: {found.problem}")
    signer, edge, held, joined = (one.items for one in listed)
    of_hosts = [msgspec.convert(one, EdgePolicy) for one in edge]
    signers = Readmission(
        SIGNER_POLICIES, remade([msgspec.convert(one, SignerPolicy) for one in signer], namespace, uid)
    )
    hosts = Readmission(EDGE_POLICIES, remade(of_hosts, namespace, uid))
    bridges = Readmission(
        TENANT_BRIDGE_POLICIES, remade([msgspec.convert(one, TenantBridgePolicy) for one in joined], namespace, uid)
    )
    back, left = hosts_of_earlier([msgspec.convert(one, HostClaim) for one in held], of_hosts, namespace, uid)
    groups: tuple[Readmission[Any], ...] = (signers, hosts, bridges)
    if not any(one.policies for one in groups):
        raise NotFoundOut(
            f"no SignerPolicy, EdgePolicy or TenantBridgePolicy gave anything to an earlier namespace {clean(namespace)}{_of_hosts(back, left)}"
        )
    question = [f"There was an earlier namespace {clean(namespace)}; the one of now has the uid {uid}."]
    if signers.policies:
        question.append(
            f"SignerPolicy {signers.names} gave signers to the earlier one. Once readmitted, the one of now has them, and is trusted"
            " by what the policy covers besides."
        )
    if hosts.policies:
        question.append(
            f"EdgePolicy {hosts.names} gave hosts to the earlier one. Once readmitted, the one of now may have them."
        )
    if bridges.policies:
        question.append(
            f"TenantBridgePolicy {bridges.names} let bridges lead to or from the earlier one. Once readmitted, those of the one of now "
            "may be built."
        )
    if not await agreed(" ".join(question) + _of_hosts(back, left), "readmit", yes=yes):
        return FOUND
    for group in groups:
        await _write(client, group, namespace, uid)
    by = " and ".join(f"{one.resource.kind} {one.names}" for one in groups if one.policies)
    say(f"namespace {clean(namespace)} is readmitted by {by}{_of_hosts(back, left)}")
    return FINE


def _of_hosts(back: Sequence[str], left: Sequence[str]) -> str:
    said = ""
    if back:
        said += f" Of the earlier one's hosts it has these as soon as it asks: {clean(', '.join(capped(list(back))))}."
    if left:
        said += (
            f" No EdgePolicy gives it {clean(', '.join(capped(list(left))))}: they are free {KEPT.days} days after their last use, or"
            " when one names it, or after mesh-signer release host."
        )
    return f".{said}" if said else ""


async def _write(client: ApiClient, group: Readmission[Any], namespace: str, uid: str) -> None:
    for one in group.policies:
        body = {
            "metadata": {"resourceVersion": one.metadata.resource_version, "uid": one.metadata.uid},
            "status": {"namespaceUIDs": {namespace: uid}},
        }
        await client.patch(group.resource, one.metadata.name, body, subresource="status")


def _then(policy: HostPolicy, namespace: str, uid: str) -> HostPolicy:
    """The policy once the namespace is readmitted."""
    readmitted = {namespace: uid} if namespace in policy.namespace_uids else {}
    return replace(policy, namespace_uids={**policy.namespace_uids, **readmitted})


def _plural(kind: Resource) -> str:
    return "HostClaims" if kind == HOST_CLAIMS else f"{kind.kind.removesuffix('y')}ies"
