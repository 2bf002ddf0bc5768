"""Keeps the World that the wall decides on, and stores who owns a signer.

Everything runs on the loop. What changes is worked in once per turn of the loop, then handlers are called, synchronously.
Nothing is decided before all sources were read once (`world.unsynced`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.signerpolicy import SignerPolicy
from signer.authorities.registry import Registry
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import Unreachable
from signer.mesh.bindings import Bindings
from signer.mesh.confirmations import Confirmations
from signer.mesh.default_grace import DefaultGrace
from signer.mesh.live import LiveReads
from signer.mesh.policies.counts import PolicyCounts
from signer.mesh.policies.records import PolicyRecords
from signer.mesh.records import Records
from signer.mesh.reports import Reports
from signer.mesh.reread import Shared, read_config_map
from signer.mesh.sources import STALE_AFTER, Sources
from signer.tenancy.index import Index
from signer.tenancy.meshconfig.read import DEFAULT_CONFIG_MAP, MESH_KEY
from signer.tenancy.shared import shared_roots
from signer.tenancy.tally import Tally
from signer.tenancy.verdict import Confirm
from signer.tenancy.world import Settings, World

log = logging.getLogger(__name__)

# How often it is looked at whether all sources are heard of (seconds).
_ROUND = 1.0
# Live reads for refused requests, all together.
_READS = 8
# A live read that a change ran into is made again.
_TRIES = 3


class MeshWatcher:
    """The mesh as it is now, in `world`. `synced` is set once everything was read for the first time.

    `shared` is the name of the shared mesh config. With `owners` it stores who owns a signer by itself, and what became
    of the claim; one that only reads leaves that to the replicas that sign. `on_source_age` is given each source's name and age in seconds.
    """

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        reports: Reports,
        settings: Settings,
        *,
        shared: str = "",
        owners: bool = True,
        on_restart: Callable[[str], None] = lambda _resource: None,
        on_source_age: Callable[[str, float], None] = lambda _source, _age: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._registry = registry
        self._settings = settings
        self._shared = shared
        self._owners = owners
        self._on_source_age = on_source_age
        self._handlers: list[Callable[[], None]] = []
        self._scheduled = False
        self.index = Index(settings, shared=shared)
        self._sources = Sources(
            client, self.index, reports, self._changed, shared=shared, on_restart=on_restart, monotonic=monotonic
        )
        self._live = LiveReads(
            client, self.index, self._sources.proxy_configs, shared=shared, crowded=self._sources.crowded
        )
        errors = reports.write_errors
        self.bindings = Bindings(client, self.index, self._changed, utc_now, self._live, errors=errors)
        self._records = Records(client, self.index, self._changed, utc_now, errors=errors, about=self._about_issuer)
        self._confirmations = Confirmations(self.index, self._live, utc_now)
        self.tally = Tally()
        self._counts = PolicyCounts(client, self.tally, lambda: self._sources.policies, errors)
        self._grace = DefaultGrace(client, self.world, settings.cluster_resource_namespace, errors)
        self._policy_records = PolicyRecords(client, self.index, lambda: self._sources.policies, errors)
        self._look_at_roots = True
        self._shared_roots: frozenset[str] = frozenset()
        self._reads = asyncio.Semaphore(_READS)
        self._read_claims = Shared(self._reread_claims)
        self._read_config = Shared(self._reread_config)
        self._read_grace = Shared(self._reread_grace)
        registry.subscribe(self._issuer_changed)
        for state in registry.states():
            self._issuer_changed(state.ref)

    @property
    def world(self) -> World:
        """What decisions read. Only this watcher writes to it."""
        return self.index.world

    @property
    def policies(self) -> Mapping[str, SignerPolicy]:
        """The SignerPolicies as they are stored, by name. For reading only."""
        return self._sources.policies

    def mesh_configs(self) -> dict[str, str]:
        """Return the mesh config of each revision, by its ConfigMap's name; the shared one is not one of ours to write."""
        return {name: data[MESH_KEY] for name, data in self.index.config_maps.texts.items() if name != self._shared}

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call the handler, on the loop, after the world changed: once for all changes of a turn of the loop."""
        self._handlers.append(handler)

    async def bind(self, signer: IssuerRef, namespace: str, uid: str) -> None:
        """Store that a namespace owns a signer, unless one does; then the world has the owner.

        Raises ApiError, Unreachable.
        """
        await self.bindings.bind(signer, namespace, uid)

    async def confirm(self, asked: Confirm) -> None:
        """Find out live that this very namespace may have a signer; then the world says so for a while. Its CA is stored first.

        Raises ApiError, Unreachable, also when the watches are behind what is stored.
        """
        # A key that signs for the mesh is remembered before it does, whatever becomes of this process.
        await self._records.store(asked.signer)
        await self._confirmations.confirm(asked)

    async def reread(self, namespace: str) -> None:
        """Read a namespace's ProxyConfigs, the root namespace's and the mesh config live into the world.

        Raises ApiError, Unreachable.
        """
        spaces = {namespace, self.world.config.root_namespace}
        reads = [self._read_claims(one) for one in spaces]
        for found in await asyncio.gather(*reads, self._read_config(""), self._read_grace(""), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
        self._settle()

    def issued(self, signer: IssuerRef, namespace: str, now: datetime, policy: str) -> None:
        """Take that a namespace was given a certificate of a signer: an owner in grace must renew in time."""
        self.tally.issued(policy)
        self._grace.issued(signer, namespace, now)
        if self.index.issued(signer, namespace, now) and self._owners:
            self.bindings.issued(signer, now)

    def refused(self, signer: IssuerRef) -> None:
        """Take that a request for a signer was refused; the SignerPolicies that give it out count that."""
        if policies := self.world.policies.get(signer):
            self.tally.refused(policy.name for policy in policies)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for part in (
                self._sources.run,
                self.bindings.run,
                self._records.run,
                self._counts.run,
                self._policy_records.run,
                self._grace.run,
                self._look_round,
            ):
                tasks.create_task(part())
            await self._registry.synced.wait()
            self._changed()

    def _issuer_changed(self, ref: IssuerRef) -> None:
        state = self._registry.get(ref)
        if state is None:
            self.index.forget_keys(ref)
        elif state.authority is not None:
            new = self.index.put_key(ref, state.authority.key_id, state.authority.chain)
            if new and ref in self.world.signers:
                self._confirmations.begin_anew()  # the new key is stored before it signs
        self._changed()

    def _about_issuer(self, ref: IssuerRef) -> list[ObjectReference]:
        state = self._registry.get(ref)
        return [reference_to(ref.resource, state.issuer.metadata)] if state is not None else []

    # Live reads.

    async def _reread_claims(self, namespace: str) -> None:
        async with self._reads:
            resource = await self._sources.proxy_configs()
            for _ in range(_TRIES):
                self.index.proxy_configs.begin_read(namespace)
                found = await self._live.proxy_configs.of(resource, namespace) if resource is not None else []
                if self.index.proxy_configs.put_all(namespace, found):
                    return
        raise Unreachable(f"the ProxyConfigs of namespace {namespace} changed whenever they were read")

    async def _reread_config(self, _all: str) -> None:
        names = {DEFAULT_CONFIG_MAP, *self.index.config_maps.texts, *({self._shared} if self._shared else ())}
        async with self._reads:
            for name in sorted(names):
                if not await self._reread_config_map(name):
                    raise Unreachable(f"the mesh config changed whenever ConfigMap {name} was read")

    async def _reread_config_map(self, name: str) -> bool:
        """Read one; False where the watch told something each time: what was read may be older, and that is not told again."""
        for _ in range(_TRIES):
            before = self._sources.config_changes
            data = await read_config_map(self._client, self._settings.istio_namespace, name)
            if self._sources.config_changes == before:
                self._sources.take_config_map(name, data)
                return True
        return False

    async def _reread_grace(self, _all: str) -> None:
        async with self._reads:
            await self._grace.read()

    # What follows.

    def _changed(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        self._scheduled = False
        roots = self.world.roots
        touched = self.index.settle(utc_now())
        self._look_at_roots = self._look_at_roots or bool(touched) or self.world.roots is not roots
        self._judge_sources()
        self._sources.tell()
        if not self.world.unsynced and not self.world.stale:
            for signer in self.index.take_unrecorded():
                self._records.touch(signer)
        if self._owners:
            for signer in touched:
                self.bindings.touch(signer)
        self._tell()

    def _tell(self) -> None:
        self._policy_records.look()
        self._grace.look()
        for handler in self._handlers:
            handler()

    async def _look_round(self) -> None:
        while True:
            if self.index.pending:
                self._changed()
            # What waits to be worked in must be in the world before it is called read.
            if not self._scheduled and self._judge_sources():
                self._tell()
            self._tell_of_roots()
            for name, age in self._sources.ages().items():
                self._on_source_age(name, age)
            await asyncio.sleep(_ROUND)

    def _tell_of_roots(self) -> None:
        """Log which tenants trust each other by one root; each replica does, once."""
        if not self._look_at_roots or self.world.unsynced or self.world.stale:
            return
        self._look_at_roots = False
        found = frozenset(map(str, shared_roots(self.world)))
        for text in sorted(found - self._shared_roots):
            log.warning("%s", text)
        self._shared_roots = found

    def _judge_sources(self) -> bool:
        """Say which sources are not read yet, and which were not heard of for long; whether that changed."""
        world = self.world
        missing = [] if self._registry.synced.is_set() else ["issuers"]
        unsynced = "; ".join([*missing, *self._sources.missing(), *self.index.config_maps.unreadable.values()])
        stale = frozenset(name for name, age in self._sources.ages().items() if age > STALE_AFTER)
        if (unsynced, stale) == (world.unsynced, world.stale):
            return False
        if stale - world.stale:
            log.warning("nothing was heard for %.0f s of: %s", STALE_AFTER, ", ".join(sorted(stale)))
        if world.stale - stale:
            log.info("heard again: %s", ", ".join(sorted(world.stale - stale)))
        ready = bool(world.unsynced) and not unsynced
        world.unsynced, world.stale = unsynced, stale
        if ready:
            log.info(
                "mesh: %d signers, %d namespaces with claims, %d owners",
                len(world.signers),
                len(world.claims),
                len(world.bindings),
            )
            self.synced.set()
        if not unsynced and not stale:
            # What was held back until everything is known.
            self.index.touch_all()
            self._changed()
        return True
