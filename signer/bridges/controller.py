"""Reconciles one TenantBridge: asks both hands, reads what stands, and takes the steps that are missing, in their order.

Everything runs on the loop, but for keys and signatures, which leave it; a bridge is handled by one worker at a time. What is
wrong with one is told on it and never stops another. Nothing is signed before bridge, policy and both namespaces were read
live: a watch may lag behind a hand that was taken away.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from issuers.certificate import new_serial
from issuers.errors import SigningFailed
from signer.api.destinationrule import DESTINATION_RULES
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, from_rfc3339
from signer.api.namespace import NAMESPACES
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge, TenantBridgeStatus
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.authorities.registry import Registry
from signer.bridges import credential, status
from signer.bridges.bodies import rule_name, secret_body
from signer.bridges.decide import Denied, allowed
from signer.bridges.defects import CONTAINED, WORKING, contained, working
from signer.bridges.facts import FactReads
from signer.bridges.read import Wish, read_bridge, read_bridge_policy
from signer.bridges.record import BridgeRecord, Issued
from signer.bridges.server import server_of, signer_of
from signer.bridges.step import (
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
from signer.bridges.watched import NO_RULES, Key, Watched
from signer.bridges.writer import FINALIZER, BridgeWriter
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.resource import Resource
from signer.mesh.watcher import MeshWatcher
from signer.observe.notices import Notice, Notices
from signer.tenancy.bridge import BRIDGE_USAGES
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Bridge, Claim, Confirm, Grant, Limits, Reason, Refuse, Unready

log = logging.getLogger(__name__)

# Seconds until a bridge that stands is looked at again, whatever the watches said.
LOOK_AGAIN = 300.0
_RECHECK = 5.0
_CONFIRMATIONS = 3
_PATIENCE = timedelta(seconds=30)
CLIENT_CHANGED = "ClientChanged"
READING_ACCOUNTS = "ReadingServiceAccounts"
CHANGED_MEANWHILE = "ChangedMeanwhile"


@dataclass(frozen=True, slots=True)
class _Case:
    """One bridge in one look: `denied` says why it is not to stand, else the other three are there."""

    obj: TenantBridge
    wish: Wish
    denied: Denied | None = None
    bridge: Bridge | None = None
    signer: IssuerRef | None = None
    wanted: Wanted | None = None


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
        self._notices = parts.notices
        self._record = parts.record
        self._queue = queue
        self._clock = parts.clock
        # What a bridge was found to be when nothing was missing, and until when that holds by itself.
        self._settled: dict[Key, tuple[object, datetime]] = {}
        self._reading: dict[Key, datetime] = {}
        self.standing: dict[Key, str] = {}
        """The TenantBridgePolicy of each bridge that stands."""

    def about(self, key: Key) -> list[ObjectReference]:
        """Name what work on a key is about."""
        obj = self._watched.bridges.store.get(key)
        return [reference_to(TENANT_BRIDGES, obj.metadata)] if obj is not None else []

    async def reconcile(self, key: Key) -> None:
        """Bring one bridge to what it should be. Raises ApiError, Unreachable: then it is tried again."""
        obj = self._watched.bridges.store.get(key)
        if obj is None:
            self._forget(key)
            return
        if self._mesh.world.unsynced and obj.metadata.deletion_timestamp is None:
            self._queue.add_after(key, _RECHECK)
            return
        now = self._clock()
        case = self._case(obj, now)
        if self._only_reading(key, case, now):
            self._queue.add_after(key, _RECHECK)
            return
        meta = obj.metadata
        facts = (
            *(meta.uid, meta.generation, meta.finalizers, meta.deletion_timestamp),
            *(case.denied, case.wanted, case.signer),
            self._watched.made_versions(meta.uid),
        )
        known, until = self._settled.get(key, (None, now))
        if known == facts and now < until:
            self._queue.add_after(key, (until - now).total_seconds())
            return
        try:
            until = await (self._end(key, case) if case.denied is not None else self._keep(key, case, now))
        except (Conflict, NotFound):
            # It changed, or is being made by somebody else this moment: the next look sees it.
            self._settled.pop(key, None)
            self._queue.add_backoff(key)
            return
        self._settled[key] = (facts, until)
        self._queue.add_after(key, max((until - self._clock()).total_seconds(), 0.001))

    def _only_reading(self, key: Key, case: _Case, now: datetime) -> bool:
        """Whether a bridge waits for a list that has just been asked for: that is told only when it lasts."""
        if case.denied is None or case.denied.reason.code != READING_ACCOUNTS:
            self._reading.pop(key, None)
            return False
        return now - self._reading.setdefault(key, now) < _PATIENCE

    def _forget(self, key: Key) -> None:
        self._reading.pop(key, None)
        self._settled.pop(key, None)
        self.standing.pop(key, None)
        self._record.forget(key)

    def _case(self, obj: TenantBridge, now: datetime) -> _Case:
        """Say what is wanted of a bridge, from what is known without asking anybody."""
        wish = read_bridge(obj)
        if obj.metadata.deletion_timestamp is not None:
            return _Case(obj, wish, Denied(Reason("Deleted", "it is being deleted")))
        place = obj.status.client_namespace
        if place and wish.client_namespace and place != wish.client_namespace:
            text = (
                f"it was built in namespace {place}: spec.client.namespace cannot be changed; make another TenantBridge"
            )
            return _Case(obj, wish, Denied(Reason(CLIENT_CHANGED, text)))
        world = self._mesh.world
        found = allowed(
            wish,
            self._watched.allowing.values(),
            world.namespaces,
            world.config.trust_domains,
            built_for=obj.status.client_namespace_uid,
            now=now,
        )
        if isinstance(found, Denied):
            return _Case(obj, wish, found)
        if self._watched.served.resource is None:
            return _Case(obj, wish, Denied(Reason("NoDestinationRules", NO_RULES), waits=True))
        signer = signer_of(world, wish.namespace, now=self._clock())
        if isinstance(signer, Reason):
            return _Case(obj, wish, Denied(signer))
        server = server_of(self._registry.get(signer), signer, world)
        if isinstance(server, Reason):
            # A CA that is being read, or mended, takes no bridge away: what stands ends with its certificate.
            return _Case(obj, wish, Denied(server, waits=True))
        accounts = wish.accounts or self._watched.accounts(wish.namespace)
        if accounts is None:
            text = f"the service accounts of namespace {wish.namespace} are being read"
            return _Case(obj, wish, Denied(Reason(READING_ACCOUNTS, text), waits=True))
        subsets = {host: self._watched.subsets(wish.namespace, host) for host in wish.hosts}
        return _Case(obj, wish, None, found, signer, Wanted(found, server, accounts, subsets))

    @property
    def _rules(self) -> Resource:
        return self._watched.served.resource or DESTINATION_RULES

    async def _end(self, key: Key, case: _Case) -> datetime:
        """Take away what stands, unless there only is to be waited; then say why there is no bridge."""
        obj, denied = case.obj, case.denied
        assert denied is not None  # noqa: S101 - the caller's condition
        wrote = obj.status
        later = self._clock() + timedelta(seconds=LOOK_AGAIN)
        if not denied.waits:
            self.standing.pop(key, None)
            place = replace(case.wish, client_namespace=obj.status.client_namespace or case.wish.client_namespace)
            sight = await self._writer.look(place, obj.status, _names(case.wish), self._rules)
            for step in take_away(place, sight):
                assert isinstance(step, DropRule | DropSecret)  # noqa: S101 - nothing else ends a bridge
                await self._writer.drop(place, step, self._rules)
                log.info("TenantBridge %s: %s is gone (%s)", case.wish.full_name, step.name, denied.reason.code)
            wrote = status.taken_away(obj.status)
            for kind in (WORKING, CONTAINED):
                wrote = status.with_defects(obj, wrote, kind, None, later)
        if obj.metadata.deletion_timestamp is not None:
            if FINALIZER in obj.metadata.finalizers:
                await self._writer.hold(obj, hold=False)
            self._record.forget(key)
            return later
        self._record.denied(key, obj, denied.reason)
        wrote = status.with_ready(obj, wrote, denied.reason, "", self._clock())
        self._tell(obj, denied.reason)
        if wrote != obj.status:
            obj = await self._writer.write_status(obj, wrote)
        if FINALIZER in obj.metadata.finalizers and not denied.waits:
            await self._writer.hold(obj, hold=False)
        return later

    async def _keep(self, key: Key, case: _Case, now: datetime) -> datetime:
        """Take the steps that are missing; returns when time alone makes the next look necessary."""
        obj, wish, wanted = case.obj, case.wish, case.wanted
        assert wanted is not None  # noqa: S101 - the caller's condition
        current = status.settled(obj.status, now)
        sight = await self._writer.look(wish, current, _names(wish), self._rules)
        steps = build(wish, wanted, current, sight, now)
        if isinstance(steps, Reason):
            return await self._end(key, replace(case, denied=Denied(steps)))
        if FINALIZER not in obj.metadata.finalizers:
            held = await self._writer.hold(obj, hold=True)
            if held is None:
                return now
            obj = held
        for step in steps:
            taken = await self._take(obj, replace(case, obj=obj), current, step)
            if isinstance(taken, Refuse | Unready):
                return await self._refused(key, replace(case, obj=obj), current, taken)
            obj, current = taken
        self.standing[key] = wanted.bridge.policy
        self._record.stands(key, wanted.bridge)
        current = status.with_ready(obj, current, None, status.built_message(wish, wanted.bridge), now)
        current = await self._examined(obj, wish, current)
        self._tell(obj, None)
        if current != obj.status:
            obj = await self._writer.write_status(obj, current)
        return _next_look(wanted, current, sight, now)

    async def _examined(self, obj: TenantBridge, wish: Wish, current: TenantBridgeStatus) -> TenantBridgeStatus:
        """Say what would make the bridge fail or leak, from what stands around it now."""
        facts = await self._facts.read(wish, self._mesh.world.config.root_namespace)
        now, rules = self._clock(), tuple(self._watched.rules_in(wish.client_namespace))
        current = status.with_defects(obj, current, WORKING, working(wish, facts, rules), now)
        return status.with_defects(obj, current, CONTAINED, contained(wish, facts), now)

    async def _take(
        self, obj: TenantBridge, case: _Case, current: TenantBridgeStatus, step: Step
    ) -> tuple[TenantBridge, TenantBridgeStatus] | Refuse | Unready:
        """Take one step, and store what it made."""
        wish = case.wish
        if isinstance(step, Announce):
            names = dict.fromkeys(step.rules, "")
            current = status.recorded(current, step.client_namespace, step.client_namespace_uid, names)
        elif isinstance(step, Issue):
            issued = await self._issue(case, current, step)
            if isinstance(issued, Refuse | Unready):
                return issued
            current = issued
        elif isinstance(step, PutRule):
            try:
                uid = await self._writer.put_rule(wish, step, self._rules)
            except AlreadyExists as error:
                raise Conflict(error.status, error.reason, error.message) from error
            current = status.rule_made(current, step.name, uid)
        else:
            await self._writer.drop(wish, step, self._rules)
            if isinstance(step, DropRule):
                current = status.rule_dropped(current, step.name)
        if current != obj.status:
            obj = await self._writer.write_status(obj, current)
        return obj, current

    async def _issue(
        self, case: _Case, current: TenantBridgeStatus, step: Issue
    ) -> TenantBridgeStatus | Refuse | Unready:
        """Ask the wall for a certificate, sign it and put it into the Secret."""
        bridge, signer = case.bridge, case.signer
        assert bridge is not None  # noqa: S101 - what is built has both
        assert signer is not None  # noqa: S101
        if (changed := await self._changed_meanwhile(case)) is not None:
            return Unready(changed)
        if self._record.blocked:
            return Unready(
                Reason("AuditBlocked", "nothing may be issued that cannot be written down (--audit-failure=stop)")
            )
        asked = await asyncio.to_thread(credential.new_request, bridge)
        grant = await self._decide(bridge, signer, asked)
        if isinstance(grant, Refuse | Unready):
            return grant
        state = self._registry.get(signer)
        authority = state.authority if state is not None else None
        if authority is None:
            return Unready(Reason("SignerNotReady", f"{signer} is not ready any more"))
        now = self._clock()
        template = credential.template(bridge, asked.request, grant, authority, now)
        if useless := credential.useless(template, authority):
            return Refuse(
                tuple(Reason("NotVerifiable", f"nobody would accept the certificate: {one}") for one in useless)
            )
        try:
            chain = await asyncio.to_thread(credential.sign_chain, template, authority, serial=(serial := new_serial()))
        except SigningFailed as error:
            return Unready(Reason("SigningError", str(error)))
        body = secret_body(case.wish, chain=chain, key=asked.key, roots="".join(step.roots).encode())
        line = self._record.line(case.obj, bridge, signer, Issued(grant, serial, template, authority.key_id))
        uid = await self._record.stored(line, lambda: self._writer.put_secret(case.wish, step, body))
        log.info("TenantBridge %s: a certificate for %s (%s)", case.wish.full_name, bridge.client, step.why)
        overlap = self._mesh.world.settings.max_workload_lifetime
        return status.secret_made(current, uid, step.roots[0], template.not_after, overlap=overlap, now=now)

    async def _decide(self, bridge: Bridge, signer: IssuerRef, asked: credential.Asked) -> Grant | Refuse | Unready:
        """Ask the wall; and where it wants the server's namespace read live first, once more after that."""
        for _ in range(_CONFIRMATIONS):
            state = self._registry.get(signer)
            authority = state.authority if state is not None else None
            claim = Claim(
                requester="",
                signer=signer,
                ca_key_id=authority.key_id if authority is not None else "",
                request=asked.request,
                usages=BRIDGE_USAGES,
                is_ca=False,
                lifetime=None,
                resource="TenantBridge",
                namespace=bridge.server,
                ca_not_after=authority.not_after if authority is not None else None,
                root_key_id=authority.root_key_id if authority is not None else "",
                chain=authority.chain if authority is not None else None,
                bridge=bridge,
            )
            verdict = decide(claim, self._mesh.world, Limits(), fresh=True, now=self._clock())
            if isinstance(verdict, Grant | Refuse | Unready):
                return verdict
            if isinstance(verdict, Confirm):
                await self._mesh.confirm(verdict)
        return Unready(Reason("ReadingNamespace", f"namespace {bridge.server} changes all the time"))

    async def _changed_meanwhile(self, case: _Case) -> Reason | None:
        """Read both hands and both namespaces live, and decide on them again. Raises ApiError, Unreachable."""
        wish, bridge = case.wish, case.bridge
        assert bridge is not None  # noqa: S101 - what is built has one
        try:
            raw = await self._client.get(TENANT_BRIDGES, wish.name, wish.namespace)
            policy = await self._client.get(TENANT_BRIDGE_POLICIES, bridge.policy)
            spaces = [await self._client.get(NAMESPACES, name) for name in (bridge.server, bridge.client.namespace)]
        except NotFound as error:
            return Reason(CHANGED_MEANWHILE, f"it is no longer so: {error}")
        live, allowing = msgspec.convert(raw, TenantBridge), msgspec.convert(policy, TenantBridgePolicy)
        world = self._mesh.world
        there = {str(one["metadata"]["name"]): one for one in spaces if not _ending(one)}
        namespaces = {
            name: msgspec.structs.replace(world.namespaces[name], uid=str(one["metadata"]["uid"]))
            for name, one in there.items()
            if name in world.namespaces
        }
        found = allowed(
            read_bridge(live),
            [read_bridge_policy(allowing)],
            namespaces,
            world.config.trust_domains,
            built_for=live.status.client_namespace_uid,
            now=self._clock(),
        )
        if found == bridge and live.metadata.uid == wish.uid and live.metadata.deletion_timestamp is None:
            return None
        return Reason(CHANGED_MEANWHILE, "it, its policy or a namespace changed this moment")

    async def _refused(self, key: Key, case: _Case, current: TenantBridgeStatus, verdict: Refuse | Unready) -> datetime:
        """Tell that the wall gives no certificate. A refusal ends what stands; what is not known yet does not."""
        obj = case.obj
        if isinstance(verdict, Refuse):
            reason = Reason(verdict.code, verdict.message, verdict.others)
            self._record.refused(obj, case.bridge, case.signer, verdict)
            await self._end(key, replace(case, denied=Denied(reason)))
            return self._clock() + timedelta(seconds=LOOK_AGAIN)
        wrote = status.with_ready(obj, current, verdict.reason, "", self._clock())
        self._tell(obj, verdict.reason)
        if wrote != obj.status:
            await self._writer.write_status(obj, wrote)
        return self._clock() + timedelta(seconds=_RECHECK)

    def _tell(self, obj: TenantBridge, reason: Reason | None) -> None:
        about = reference_to(TENANT_BRIDGES, obj.metadata)
        said = [Notice("Warning", reason.code, reason.message)] if reason is not None else []
        if self._notices.say(about, said) and reason is not None:
            others = f" ({reason.others})" if reason.others else ""
            log.warning("TenantBridge %s/%s: %s%s", about.namespace, about.name, reason.message, others)
        before = find_condition(obj.status.conditions, status.READY)
        if reason is None and (before is None or before.status != "True"):
            self._notices.happened(about, Notice("Normal", status.BUILT, "the bridge stands"))


def _names(wish: Wish) -> tuple[str, ...]:
    return tuple(rule_name(wish, host) for host in wish.hosts)


def _ending(namespace: dict[str, Any]) -> bool:
    return bool(namespace["metadata"].get("deletionTimestamp"))


def _next_look(wanted: Wanted, current: TenantBridgeStatus, sight: Sight, now: datetime) -> datetime:
    held = sight.secret.credential if sight.secret is not None else None
    moments = [now + timedelta(seconds=LOOK_AGAIN)]
    if wanted.bridge.ends is not None:
        moments.append(wanted.bridge.ends)
    if (former := from_rfc3339(current.former_root_until)) is not None:
        moments.append(former)
    if held is not None and from_rfc3339(current.not_after) == held.not_after:
        moments.append(due(wanted.bridge, wanted.server, held))
    else:
        moments.append(now)  # it was made this moment: the next look reads it
    return min(moments)
