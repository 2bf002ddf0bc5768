"""Writes the status of TenantBridgePolicies: which namespaces their names mean, whether each can be read, and how many bridges stand.

The uids are stored before anything is built on them, and what is stored stays (signer/bridges/read.py, to_record): each is read
live before. Runs on the loop, in the leader; a patch carries the resourceVersion that it was made from.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from signer.api.event import ObjectReference, reference_to
from signer.api.meta import set_condition
from signer.api.namespace import NAMESPACES
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy, TenantBridgePolicyStatus
from signer.api.text import some
from signer.bridges.read import BridgePolicy, to_record
from signer.bridges.watched import Key, Watched
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.mesh.watcher import MeshWatcher

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
        wanted = policy_status(obj, policy, uids, count, self._clock())
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
    obj: TenantBridgePolicy, policy: BridgePolicy, uids: Mapping[str, str], bridges: int, now: datetime
) -> TenantBridgePolicyStatus:
    """Return the status as it should be. Pure."""
    missing = sorted(policy.named - uids.keys())
    reason, message = "Read", "bridges may be built within it"
    if policy.problem:
        reason, message = "Invalid", f"allows nothing: {policy.problem}"
    elif missing:
        reason, message = "NamespaceNotFound", f"there is no namespace {some(missing)}: no bridge to or from it yet"
    conditions = set_condition(
        obj.status.conditions,
        READY,
        "True" if reason == "Read" else "False",
        reason=reason,
        message=message,
        now=now,
        generation=obj.metadata.generation,
    )
    return TenantBridgePolicyStatus(conditions=conditions, bridges=bridges, namespace_uids=dict(uids))
