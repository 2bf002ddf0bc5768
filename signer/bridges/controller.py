"""Reconciles one TenantBridge: asks both hands, reads what stands, and takes the steps that are missing, in their order.

Everything runs on the loop, but for keys and signatures, which leave it; a bridge is handled by one worker at a time. What is
wrong with one is told on it and never stops another.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from signer.api.destinationrule import DESTINATION_RULES
from signer.api.event import ObjectReference, reference_to
from signer.api.meta import find_condition, from_rfc3339
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge, TenantBridgeStatus
from signer.authorities.registry import Registry
from signer.bridges import status
from signer.bridges.again import LOOK_AGAIN, Again
from signer.bridges.bodies import rule_name
from signer.bridges.case import READING_ACCOUNTS, Around, Case, bridge_case
from signer.bridges.decide import Denied
from signer.bridges.defects import CONTAINED, WORKING, contained, in_front, working
from signer.bridges.facts import FactReads
from signer.bridges.issuing import BridgeIssuing
from signer.bridges.read import Wish
from signer.bridges.record import BridgeRecord
from signer.bridges.step import (
    IN_THE_WAY,
    Announce,
    DropRule,
    DropSecret,
    Issue,
    PutRule,
    Sight,
    Step,
    Wanted,
    build,
    due,
    take_away,
)
from signer.bridges.watched import Key, Watched
from signer.bridges.writer import FINALIZER, BridgeWriter
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, Forbidden, NotFound, Stopped, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reach import loudness
from signer.kube.resource import Resource
from signer.mesh.watcher import MeshWatcher
from signer.observe.notices import Notice, Notices
from signer.observe.write_errors import WRITE_FAILED, Told
from signer.tenancy.verdict import Reason, Refuse, Unready

log = logging.getLogger(__name__)

_RECHECK = 5.0
_PATIENCE = timedelta(seconds=30)
# What is left of a bridge that somebody took our finalizer from stays for so long: a watch that lags shows the same.
_STRAYS_STAY = timedelta(seconds=60)
FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the controller works with."""

    client: ApiClient
    registry: Registry
    mesh: MeshWatcher
    watched: Watched
    notices: Notices
    record: BridgeRecord
    clock: Callable[[], datetime]


class BridgeController:
    """Works on keys of `watched.bridges`."""

    def __init__(self, parts: Parts, queue: WorkQueue[Key]) -> None:
        self._client = parts.client
        self._registry = parts.registry
        self._mesh = parts.mesh
        self._watched = parts.watched
        self._writer = BridgeWriter(parts.client)
        self._facts = FactReads(parts.client)
        self._issuing = BridgeIssuing(parts.client, parts.registry, parts.mesh, parts.record, parts.clock)
        self._notices = parts.notices
        self._record = parts.record
        self._queue = queue
        self._clock = parts.clock
        # What a bridge was found to be when nothing was missing, and until when that holds by itself.
        self._settled: dict[Key, tuple[object, datetime]] = {}
        self._reading: dict[Key, datetime] = {}
        self._strays: dict[Key, datetime] = {}
        self._again = Again()
        self.standing: dict[Key, str] = {}
        """The TenantBridgePolicy of each bridge that stands."""

    def about(self, key: Key) -> list[ObjectReference]:
        """Name what work on a key is about."""
        obj = self._watched.bridges.store.get(key)
        return [reference_to(TENANT_BRIDGES, obj.metadata)] if obj is not None else []

    async def reconcile(self, key: Key) -> None:
        """Bring one bridge to what it should be. Raises ApiError, Unreachable: then it is tried again.

        What is not foreseen is told on it before it is raised: whoever waits for it, or for its end, cannot see our log.
        """
        await self._sweep(key)
        obj = self._watched.bridges.store.get(key)
        if obj is None:
            self._forget(key)
            return
        try:
            await self._look(key, obj)
        except (ApiError, Stopped, Unreachable):
            raise
        except Exception as error:
            text = f"an unforeseen {type(error).__name__} stopped the work on it: the log of mesh-signer says where"
            self._notices.say(reference_to(TENANT_BRIDGES, obj.metadata), [Notice("Warning", FAILED, text)])
            with contextlib.suppress(ApiError, Unreachable):
                await self.show(key, Told(FAILED, text))
            raise

    async def show(self, key: Key, told: Told) -> None:
        """Say on it what keeps a bridge from being built, renewed or ended. Raises ApiError, Unreachable."""
        obj = self._watched.bridges.store.get(key)
        if obj is not None:
            found, now = Reason(told.reason, told.message), self._clock()
            if told.reason == WRITE_FAILED:
                wanted = status.refused(obj, found.code, found.message, now)
            else:
                wanted = status.with_defects(obj, obj.status, WORKING, (found,), now)
            await self._written(obj, wanted)

    async def _sweep(self, key: Key) -> None:
        """Take away what is left, after a while, of a bridge that went without us, its finalizer taken by somebody else."""
        strays, now = self._watched.strays(key), self._clock()
        if not strays:
            self._strays.pop(key, None)
            return
        due = self._strays.setdefault(key, now) + _STRAYS_STAY
        if now < due:
            self._queue.add_after(key, (due - now).total_seconds())
            return
        there = await self._writer.uid(key)
        for stray in strays:
            if stray.bridge == there:
                continue
            try:
                await self._writer.sweep(stray, self._rules)
            except (Conflict, Forbidden) as error:
                log.log(loudness(error), "%s %s/%s of a bridge that is gone stays: %s", *stray[:3], error)
                self._strays[key] = now + timedelta(seconds=LOOK_AGAIN)
                self._queue.add_after(key, LOOK_AGAIN + _STRAYS_STAY.total_seconds())
            else:
                log.info("%s %s/%s of a bridge that is gone was taken away", *stray[:3])

    async def _look(self, key: Key, obj: TenantBridge) -> None:
        if self._mesh.world.unsynced and obj.metadata.deletion_timestamp is None:
            self._queue.add_after(key, _RECHECK)
            return
        now = self._clock()
        case = bridge_case(obj, self._around(), now)
        if self._only_reading(key, case, now):
            self._queue.add_after(key, _RECHECK)
            return
        meta = obj.metadata
        # Its status, too: what was written is known when it is seen.
        facts = (
            *(meta.uid, meta.generation, meta.finalizers, meta.deletion_timestamp, obj.status),
            *(case.denied, case.wanted, case.signer),
            self._watched.made_versions(meta.uid),
            in_front(case.wish, self._watched.rules_in(case.wish.client_namespace), self._root_namespace),
        )
        known, until = self._settled.get(key, (None, now))
        if known == facts and now < until:
            self._queue.add_after(key, (until - now).total_seconds())
            return
        self._settled.pop(key, None)
        try:
            until = await (self._end(key, case) if case.denied is not None else self._keep(key, case, now))
        except (Conflict, NotFound) as error:
            # It changed, or is being made by somebody else this moment: the next look sees it.
            self._queue.add_backoff(key, why=error)
            return
        self._settled[key] = (facts, until)
        self._queue.add_after(key, max((until - self._clock()).total_seconds(), 0.001))

    def _only_reading(self, key: Key, case: Case, now: datetime) -> bool:
        """Whether a bridge waits for a list that has just been asked for: that is told only when it lasts."""
        if case.denied is None or case.denied.reason.code != READING_ACCOUNTS:
            self._reading.pop(key, None)
            return False
        return now - self._reading.setdefault(key, now) < _PATIENCE

    def _forget(self, key: Key) -> None:
        self._reading.pop(key, None)
        self._again.forget(key)
        self._settled.pop(key, None)
        self.standing.pop(key, None)
        self._record.forget(key)

    def _around(self) -> Around:
        watched = self._watched
        rules = watched.rules_in if watched.served.resource is not None else None
        return Around(self._mesh.world, tuple(watched.allowing.values()), self._registry.get, watched.accounts, rules)

    @property
    def _rules(self) -> Resource:
        return self._watched.served.resource or DESTINATION_RULES

    @property
    def _root_namespace(self) -> str:
        return self._mesh.world.config.root_namespace

    async def _end(self, key: Key, case: Case) -> datetime:
        """Take away what stands, unless there only is to be waited; then say why there is no bridge."""
        obj, denied = case.obj, case.denied
        assert denied is not None  # noqa: S101 - the caller's condition
        wrote = obj.status
        unwatched = denied.waits or denied.reason.code == IN_THE_WAY
        again = self._again.seconds(key, denied.reason.code if unwatched else "")
        later = self._clock() + timedelta(seconds=again)
        if not denied.waits:
            self.standing.pop(key, None)
            await self._take_away(case, denied)
            wrote = status.taken_away(obj.status)
            for kind in (WORKING, CONTAINED):
                wrote = status.with_defects(obj, wrote, kind, None, later)
        if obj.metadata.deletion_timestamp is not None:
            if FINALIZER in obj.metadata.finalizers:
                await self._writer.release(obj)
            self._record.forget(key)
            return later
        self._record.denied(key, obj, denied.reason)
        wrote = status.with_ready(obj, wrote, denied.reason, "", self._clock())
        self._tell(obj, denied.reason)
        obj = await self._written(obj, wrote)
        if FINALIZER in obj.metadata.finalizers and not denied.waits:
            await self._writer.release(obj)
        return later

    async def _take_away(self, case: Case, denied: Denied) -> None:
        """Take away what stands: all rules, whichever of them fails, then the Secret, whatever is in it."""
        stored = case.obj.status
        place = replace(case.wish, client_namespace=stored.client_namespace or case.wish.client_namespace)
        if not place.client_namespace:
            return
        failed: list[ApiError | Unreachable] = []
        names = {*_names(case.wish), *self._watched.rules_of(case.wish.uid, place.client_namespace)}
        rules = await self._writer.rules(place, stored, names, self._rules)
        for sight in (Sight(rules=rules), None):
            if failed:
                raise failed[0]
            seen = sight or Sight(await self._writer.secret(place, stored, contents=False))
            for step in take_away(place, seen):
                assert isinstance(step, DropRule | DropSecret)  # noqa: S101 - nothing else ends a bridge
                try:
                    await self._writer.drop(place, step, self._rules)
                except (ApiError, Unreachable) as error:
                    failed.append(error)
                else:
                    log.info("TenantBridge %s: %s is gone (%s)", case.wish.full_name, step.name, denied.reason.code)
        if failed:
            raise failed[0]

    async def _keep(self, key: Key, case: Case, now: datetime) -> datetime:
        """Take the steps that are missing; returns when time alone makes the next look necessary."""
        obj, wish, wanted = case.obj, case.wish, case.wanted
        assert wanted is not None  # noqa: S101 - the caller's condition
        sight = await self._writer.look(wish, obj.status, _names(wish), self._rules)
        steps = build(wish, wanted, self._planned(case, sight, now), sight, now, stored=obj.status)
        if isinstance(steps, Reason):
            return await self._end(key, replace(case, denied=Denied(steps)))
        if FINALIZER not in obj.metadata.finalizers:
            obj = await self._writer.hold(obj)
        for step in steps:
            taken = await self._take(replace(case, obj=obj), sight, step)
            if isinstance(taken, Refuse | Unready):
                return await self._refused(key, replace(case, obj=obj), taken)
            obj, sight = taken
        if steps and isinstance(steps[-1], DropRule | DropSecret):
            return now  # what went is to be made again, or is not: seen anew
        self.standing[key] = wanted.bridge.policy
        self._record.stands(key, wanted.bridge)
        current = self._planned(replace(case, obj=obj), sight, now)
        current = status.with_ready(obj, current, None, status.built_message(wish, wanted.bridge), now)
        before, obj = obj, await self._written(obj, current)
        self._tell(before, None)
        obj = await self._written(obj, await self._examined(obj, wish, obj.status))
        told = find_condition(obj.status.conditions, WORKING)
        wrong = told.message if told is not None and told.status == "False" else ""
        self._say(obj, Reason(told.reason, wrong) if told is not None and wrong else None)
        return _next_look(wanted, obj.status, sight, now, self._again.seconds(key, wrong))

    def _planned(self, case: Case, sight: Sight, now: datetime) -> TenantBridgeStatus:
        assert case.wanted is not None  # noqa: S101 - the callers' condition
        overlap = self._mesh.world.settings.max_workload_lifetime
        return status.planned(case.obj.status, case.wish, case.wanted, sight, now, overlap=overlap)

    async def _written(self, obj: TenantBridge, current: TenantBridgeStatus) -> TenantBridge:
        return obj if current == obj.status else await self._writer.write_status(obj, current)

    async def _examined(self, obj: TenantBridge, wish: Wish, current: TenantBridgeStatus) -> TenantBridgeStatus:
        """Say what would make the bridge fail or leak, from what stands around it now."""
        facts = await self._facts.read(wish, self._root_namespace)
        now, rules = self._clock(), tuple(self._watched.rules_in(wish.client_namespace))
        current = status.with_defects(obj, current, WORKING, working(wish, facts, rules), now)
        return status.with_defects(obj, current, CONTAINED, contained(wish, facts), now)

    async def _take(self, case: Case, sight: Sight, step: Step) -> tuple[TenantBridge, Sight] | Refuse | Unready:
        """Take one step; returns the TenantBridge and what stands, as they are after it."""
        obj, wish, rules = case.obj, case.wish, dict(sight.rules)
        if isinstance(step, Announce):
            # Which namespace it is for is recorded for good.
            new = step.status.client_namespace_uid != obj.status.client_namespace_uid
            if new and (changed := await self._issuing.changed(case)) is not None:
                return Unready(changed)
            return await self._written(obj, step.status), sight
        if isinstance(step, Issue):
            issued = await self._issuing.issue(case, step)
            return issued if isinstance(issued, Refuse | Unready) else (obj, replace(sight, secret=issued))
        if isinstance(step, DropSecret):
            await self._writer.drop(wish, step, self._rules)
            return obj, replace(sight, secret=None)
        if isinstance(step, PutRule):
            rules[step.name] = await self._writer.put_rule(wish, step, self._rules)
        else:
            await self._writer.drop(wish, step, self._rules)
            rules.pop(step.name, None)
        return obj, replace(sight, rules=rules)

    async def _refused(self, key: Key, case: Case, verdict: Refuse | Unready) -> datetime:
        """Tell that the wall gives no certificate. A refusal ends what stands; what is not known yet does not."""
        obj = case.obj
        if isinstance(verdict, Refuse):
            reason = Reason(verdict.code, verdict.message, verdict.others)
            self._record.refused(obj, case.bridge, case.signer, verdict)
            await self._end(key, replace(case, denied=Denied(reason)))
            return self._clock() + timedelta(seconds=LOOK_AGAIN)
        self._tell(obj, verdict.reason)
        await self._written(obj, status.with_ready(obj, obj.status, verdict.reason, "", self._clock()))
        return self._clock() + timedelta(seconds=_RECHECK)

    def _tell(self, obj: TenantBridge, reason: Reason | None) -> None:
        if reason is not None:
            self._say(obj, reason)
            return
        before = find_condition(obj.status.conditions, status.READY)
        if before is None or before.status != "True":
            self._say(obj, None)
            self._notices.happened(
                reference_to(TENANT_BRIDGES, obj.metadata), Notice("Normal", status.BUILT, "the bridge stands")
            )

    def _say(self, obj: TenantBridge, reason: Reason | None) -> None:
        """Say all that is wrong with a bridge: why it does not stand, or else why it does not work."""
        about = reference_to(TENANT_BRIDGES, obj.metadata)
        said = [Notice("Warning", reason.code, reason.message)] if reason is not None else []
        if self._notices.say(about, said) and reason is not None:
            others = f" ({reason.others})" if reason.others else ""
            log.warning("TenantBridge %s/%s: %s%s", about.namespace, about.name, reason.message, others)


def _names(wish: Wish) -> tuple[str, ...]:
    return tuple(rule_name(wish, host) for host in wish.hosts)


def _next_look(wanted: Wanted, current: TenantBridgeStatus, sight: Sight, now: datetime, again: float) -> datetime:
    held = sight.secret.credential if sight.secret is not None else None
    moments = [now + timedelta(seconds=again)]
    if wanted.bridge.ends is not None:
        moments.append(wanted.bridge.ends)
    if (former := from_rfc3339(current.former_root_until)) is not None:
        moments.append(former)
    if held is not None:
        moments.append(due(wanted.bridge, wanted.server, held))
    return min(moments)
