"""Writes the status of TenantBridgePolicies: which namespaces their names mean, whether each can be read, and how many bridges stand.

The uids are stored before anything is built on them, and what is stored stays (signer/bridges/read.py, to_record): each is read
live before. Runs on the loop, in the leader; a patch carries the resourceVersion that it was made from.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from signer.api.event import ObjectReference, reference_to
from signer.api.meta import set_condition, to_rfc3339
from signer.api.namespace import NAMESPACES
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy, TenantBridgePolicyStatus
from signer.api.text import some
from signer.bridges.decide import ENDED, NO_NAMESPACE, NO_TRUST_DOMAIN, REMADE
from signer.bridges.read import BridgePolicy, to_record
from signer.bridges.watched import Key, Watched
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.mesh.watcher import MeshWatcher
from signer.tenancy.verdict import Reason
from signer.tenancy.world import Namespace

READY = "Ready"


class BridgePolicies:
    """Works on names of TenantBridgePolicies."""

    def __init__(
        self,
        client: ApiClient,
        mesh: MeshWatcher,
        watched: Watched,
        standing: Mapping[Key, str],
        queue: WorkQueue[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._mesh = mesh
        self._watched = watched
        self._standing = standing
        self._queue = queue
        self._clock = clock

    def about(self, name: str) -> list[ObjectReference]:
        """Name what work on a key is about."""
        obj = self._watched.policies.store.get(("", name))
        return [reference_to(TENANT_BRIDGE_POLICIES, obj.metadata)] if obj is not None else []

    def look_at_all(self) -> None:
        """Have all of them looked at."""
        for _, name in tuple(self._watched.policies.store):
            self._queue.add(name)

    async def reconcile(self, name: str) -> None:
        """Bring one status to what it should be. Raises ApiError, Unreachable."""
        obj = self._watched.policies.store.get(("", name))
        policy = self._watched.allowing.get(name)
        world = self._mesh.world
        if obj is None or policy is None or world.unsynced:
            return
        there = {one: found for one, found in world.namespaces.items() if one not in self._mesh.index.terminating}
        missing = await self._as_stored(to_record(policy, there))
        uids = {one: uid for one, uid in {**policy.namespace_uids, **missing}.items() if uid is not None}
        count = sum(1 for one in self._standing.values() if one == name)
        now = self._clock()
        counted = TenantBridgePolicyStatus(bridges=count, namespace_uids=uids)
        wanted = policy_status(obj, policy, counted, now, there=there, trust_domains=world.config.trust_domains)
        if policy.ends is not None and policy.ends > now:
            self._queue.add_after(name, (policy.ends - now).total_seconds())
        if wanted == obj.status:
            return
        body = {**msgspec.to_builtins(wanted), "bridges": count, "namespaceUIDs": {**uids, **missing}}
        meta = {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}
        try:
            await self._client.patch(
                TENANT_BRIDGE_POLICIES, name, {"metadata": meta, "status": body}, subresource="status"
            )
        except NotFound:
            return
        except Conflict as error:
            self._queue.add_backoff(name, why=error)

    async def _as_stored(self, missing: Mapping[str, str | None]) -> dict[str, str | None]:
        """Leave out what a watch shows that lags: what is stored of a name stays, whoever has it by now."""
        found: dict[str, str | None] = {}
        for name, uid in missing.items():
            if uid is not None and await self._uid(name) != uid:
                continue  # the watch brings the other one, and this policy is looked at again
            found[name] = uid
        return found

    async def _uid(self, namespace: str) -> str:
        try:
            return str((await self._client.get(NAMESPACES, namespace))["metadata"]["uid"])
        except NotFound:
            return ""


def policy_status(
    obj: TenantBridgePolicy,
    policy: BridgePolicy,
    counted: TenantBridgePolicyStatus,
    now: datetime,
    *,
    there: Mapping[str, Namespace],
    trust_domains: frozenset[str],
) -> TenantBridgePolicyStatus:
    """Return the status as it should be: `counted` with its conditions. Pure.

    `there` are the namespaces that exist, `trust_domains` the mesh's.
    """
    wrong = _wrong(policy, counted.namespace_uids, now, there, trust_domains)
    conditions = set_condition(
        obj.status.conditions,
        READY,
        "True" if wrong is None else "False",
        reason="Read" if wrong is None else wrong.code,
        message="bridges may be built within it" if wrong is None else wrong.message,
        now=now,
        generation=obj.metadata.generation,
    )
    return replace(counted, conditions=conditions)


def _wrong(
    policy: BridgePolicy,
    uids: Mapping[str, str],
    now: datetime,
    there: Mapping[str, Namespace],
    trust_domains: frozenset[str],
) -> Reason | None:
    """Say why some bridge that it seems to allow is none, as a bridge would be told (decide.py)."""
    if policy.problem:
        return Reason("Invalid", f"allows nothing: {policy.problem}")
    if policy.ends is not None and now >= policy.ends:
        return Reason(ENDED, f"allows nothing: it ended at {to_rfc3339(policy.ends)}, as spec.endTime says")
    if missing := sorted(name for name in policy.named if name not in uids or name not in there):
        fields = "spec.servers.names, spec.clients"
        text = (
            f"there is no namespace {some(missing)} ({fields}): no bridge to or from it. Make it, or correct the name"
        )
        return Reason(NO_NAMESPACE, text)
    if not policy.remade_allowed and (remade := sorted(one for one in policy.named if uids[one] != there[one].uid)):
        text = (
            f"namespace {some(remade)} was deleted and made again since this policy named it: no bridge to or from it. If it is the "
            f"same tenant's: mesh-signer tenants readmit {remade[0]}"
        )
        return Reason(REMADE, text)
    if not any(policy.serves(name, one) for name, one in there.items()):
        labels = ", ".join(f"{key}={value}" for key, value in sorted(policy.server_labels.items()))
        return Reason(NO_NAMESPACE, f"allows nothing: no namespace has the labels {labels} (spec.servers.matchLabels)")
    known = some(sorted(trust_domains)) if trust_domains else "not known"
    if policy.trust_domain and policy.trust_domain not in trust_domains:
        text = f"allows nothing: spec.trustDomain is {policy.trust_domain}, and the mesh's are {known}"
        return Reason(NO_TRUST_DOMAIN, text)
    if not policy.trust_domain and len(trust_domains) != 1:
        text = f"allows nothing: the mesh's trust domains are {known}, and spec.trustDomain names none"
        return Reason(NO_TRUST_DOMAIN, text)
    return None
