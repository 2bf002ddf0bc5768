"""Puts the controllers of bridges together: watches, queues, and who hears of which change. The leader runs it.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from signer.authorities.registry import Registry
from signer.bridges.controller import BridgeController, Parts
from signer.bridges.policies import BridgePolicies
from signer.bridges.record import BridgeRecord
from signer.bridges.status import refused
from signer.bridges.watched import Key, Watched
from signer.bridges.writer import BridgeWriter
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.mesh.watcher import MeshWatcher
from signer.observe.audit import AuditLog
from signer.observe.controller_queue import ControllerQueue, namespace_of
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.notices import Notices
from signer.observe.write_errors import Told, WriteErrors

TENANT_BRIDGES_CONTROLLER = "tenantbridges"
POLICIES_CONTROLLER = "tenantbridgepolicies"
_WORKERS = 4
# Changes of the mesh that come together are worked together (seconds).
_SETTLES = 0.2
# A bridge that is to end must not wait long for its next try.
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class BridgeParts:
    """What bridges share with the rest of the process."""

    client: ApiClient
    registry: Registry
    mesh: MeshWatcher
    recorder: EventRecorder
    metrics: Metrics
    audit: AuditLog


class Bridges:
    """Runs both controllers until cancelled."""

    def __init__(self, parts: BridgeParts, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._parts = parts
        self._clock = clock
        self._changed: Callable[[], None] = lambda: None
        self._due = False
        parts.mesh.subscribe(self._tell)
        parts.registry.subscribe(lambda _ref: self._tell())

    def _tell(self) -> None:
        """Have all bridges looked at soon: the mesh changes all the time, and what ends a bridge is mostly told elsewhere."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(_SETTLES, self._now)

    def _now(self) -> None:
        self._due = False
        self._changed()

    async def run(self) -> None:
        """Work until cancelled."""
        parts, metrics = self._parts, self._parts.metrics
        client, mesh = parts.client, parts.mesh
        watched = Watched(client, metrics.watch_restarted)
        errors, notices = WriteErrors(parts.recorder), Notices(parts.recorder)
        queue = ControllerQueue[Key](metrics, TENANT_BRIDGES_CONTROLLER, flow=namespace_of, cap=_LONGEST_PAUSE)
        names = ControllerQueue[str](metrics, POLICIES_CONTROLLER, cap=_LONGEST_PAUSE)
        record = BridgeRecord(metrics, parts.audit, self._clock)
        shared = Parts(client, parts.registry, mesh, watched, notices, record, self._clock)
        controller = BridgeController(shared, queue)
        policies = BridgePolicies(client, mesh, watched, controller.standing, names, self._clock)
        watched.enqueue, watched.policy_changed = queue.add, names.add
        writer = BridgeWriter(client)

        async def show(key: Key, told: Told) -> None:
            obj = watched.bridges.store.get(key)
            if obj is not None and (wanted := refused(obj, told.reason, told.message, self._clock())) != obj.status:
                await writer.write_status(obj, wanted)

        queue.tells(errors, controller.about, show)
        names.tells(errors, policies.about)

        async def bridge(key: Key) -> None:
            before = controller.standing.get(key)
            await controller.reconcile(key)
            for name in {before, controller.standing.get(key)} - {None}:
                names.add(str(name))

        def changed() -> None:
            watched.enqueue_all()
            policies.look_at_all()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watched.run())
                await mesh.synced.wait()
                await parts.registry.synced.wait()
                await watched.synced()
                self._changed = changed
                changed()
                tasks.create_task(queue.run(bridge, workers=_WORKERS))
                tasks.create_task(names.run(policies.reconcile))
        finally:
            self._changed = lambda: None
            notices.clear()
            record.clear()
