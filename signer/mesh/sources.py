"""The six sources of the World: watches what says who may have which signer, and puts it into the Index.

Everything runs on the loop. One that is refused to us counts as not read, never as empty. A definition (CRD) that is not
there is empty, but for SignerBindings and SignerRecords: without them nobody could own anything, and a restart would forget.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from signer.api.configmap import CONFIG_MAPS, ConfigMap
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.proxyconfig import PROXY_CONFIGS, ProxyConfig
from signer.api.signerbinding import SIGNER_BINDINGS, SignerBinding
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.api.signerrecord import SIGNER_RECORDS, SignerRecord
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate, locate_newest
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from signer.mesh.reading import (
    BINDING_CODEC,
    NAMESPACE_CODEC,
    POLICY_CODEC,
    PROXY_CONFIG_CODEC,
    RECORD_CODEC,
    config_map_codec,
)
from signer.mesh.reports import Reports
from signer.tenancy.index import Index
from signer.tenancy.meshconfig.read import DEFAULT_CONFIG_MAP, MESH_KEY
from signer.tenancy.world import NO_CLAIMS

STALE_AFTER = 300.0

NO_CRDS = "the CRDs of mesh-signer.dev are not installed: kubectl apply -k manifests/crds"


class _Source(msgspec.Struct, frozen=True):
    """One source: its name in World.stale, and what is known of it."""

    name: str
    known: Callable[[], bool]
    trouble: Callable[[], str]
    last_contact: Callable[[], float]


class Sources:
    """Watches into an Index. `changed` is called after each change; `shared` names the shared mesh config.

    `config_changes` counts what the watch told of the mesh config.
    """

    def __init__(
        self,
        client: ApiClient,
        index: Index,
        reports: Reports,
        changed: Callable[[], None],
        *,
        shared: str = "",
        on_restart: Callable[[str], None] = lambda _resource: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config_changes = 0
        self._refs: dict[str, ObjectReference] = {}
        self._said: tuple[frozenset[IssuerRef], dict[IssuerRef, str]] | None = None
        self._index = index
        self._reports = reports
        self._changed = changed
        self._monotonic = monotonic

        def served(name: str, find: Any, codec: Any, handler: Any, on_absent: Callable[[], None]) -> Served[Any]:
            return Served(
                name,
                client,
                find,
                codec,
                handler,
                on_absent=on_absent,
                on_restart=on_restart,
                clock=monotonic,
                remedy="" if name == "ProxyConfigs" else NO_CRDS,  # a mesh need not have Istio's
            )

        def reflector(resource: Resource, codec: Any, namespace: str | None = None) -> Reflector[Any]:
            def restarted(_why: str) -> None:
                on_restart(resource.plural)

            return Reflector(client, resource, codec, namespace=namespace, on_restart=restarted, clock=monotonic)

        self._proxy_configs: Served[ProxyConfig] = served(
            "ProxyConfigs",
            locate_newest(PROXY_CONFIGS),
            PROXY_CONFIG_CODEC,
            self._proxy_config_changed,
            lambda: self._absent(lambda: index.proxy_configs.retain(())),
        )
        self._policies: Served[SignerPolicy] = served(
            "SignerPolicies",
            locate(SIGNER_POLICIES),
            POLICY_CODEC,
            self._policy_changed,
            lambda: self._absent(self._retain_policies),
        )
        self._bindings: Served[SignerBinding] = served(
            "SignerBindings",
            locate(SIGNER_BINDINGS),
            BINDING_CODEC,
            self._binding_changed,
            lambda: self._absent(self._retain_bindings),
        )
        self._records: Served[SignerRecord] = served(
            "SignerRecords",
            locate(SIGNER_RECORDS),
            RECORD_CODEC,
            self._record_changed,
            lambda: self._absent(self._retain_records),
        )
        self._config_maps: Reflector[ConfigMap] = reflector(
            CONFIG_MAPS, config_map_codec(shared), index.world.settings.istio_namespace
        )
        self._namespaces: Reflector[NamespaceObject] = reflector(NAMESPACES, NAMESPACE_CODEC)
        self._config_maps.subscribe(self._config_map_changed)
        self._namespaces.subscribe(self._namespace_changed)
        self._all = (
            _of_served("ProxyConfigs", self._proxy_configs),
            _of_reflector("mesh config", self._config_maps),
            _of_served("SignerPolicies", self._policies),
            _of_served("SignerBindings", self._bindings, absent=NO_CRDS),
            _of_served("SignerRecords", self._records, absent=NO_CRDS),
            _of_reflector("Namespaces", self._namespaces),
        )

    @property
    def policies(self) -> dict[str, SignerPolicy]:
        """The SignerPolicies as they are stored, by name."""
        return {name: obj for (_, name), obj in self._policies.store.items()}

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for part in (
                self._proxy_configs.run,
                self._policies.run,
                self._bindings.run,
                self._records.run,
                self._config_maps.run,
                self._namespaces.run,
            ):
                tasks.create_task(part())

    def missing(self) -> list[str]:
        """Name the sources that were not read yet, with what is in the way."""
        return [f"{one.name} ({one.trouble() or 'being read'})" for one in self._all if not one.known()]

    def ages(self) -> dict[str, float]:
        """Return how long ago (seconds) each source that was read was heard of."""
        now = self._monotonic()
        return {one.name: max(now - one.last_contact(), 0.0) for one in self._all if one.known()}

    async def proxy_configs(self) -> Resource | None:
        """Find ProxyConfigs as they are served, None when they are not. Raises ApiError, Unreachable."""
        return self._proxy_configs.resource or await self._proxy_configs.locate()

    # What the watches tell.

    def _proxy_config_changed(self, change: Change[ProxyConfig]) -> None:
        obj = change.new or change.old
        if change.kind == "synced":
            self._index.proxy_configs.retain(self._proxy_configs.store)
        elif obj is not None:
            if change.kind == "deleted":
                self._index.proxy_configs.remove(obj.metadata.namespace, obj.metadata.name, obj.metadata.uid)
                self._reports.problems(reference_to(self._resource, obj.metadata), ())
            elif not self._index.proxy_configs.put(obj):  # what is wrong with it is told when it is worked in
                return
        self._changed()

    @property
    def _resource(self) -> Resource:
        return self._proxy_configs.resource or PROXY_CONFIGS

    def tell(self) -> None:
        """Tell what is wrong with ProxyConfigs, each beside the others of its namespace, and whom the mesh default is not."""
        world = self._index.world
        names = self._index.take_read_anew()
        for name in names:
            told = world.claims.get(name, NO_CLAIMS).told
            for obj in self._index.proxy_configs.of(name):
                ref = reference_to(self._resource, obj.metadata)
                self._reports.problems(ref, told.get(obj.metadata.name, ()))
        if world.unsynced or (self._said == (world.defaults, world.no_default) and not names):
            return
        before, self._said = self._said, (world.defaults, dict(world.no_default))
        if (about := self._default_is_told_on()) is not None:
            self._reports.default(about, world.defaults, before[0] if before is not None else None, world.no_default)

    def crowded(self, namespaces: Collection[str]) -> None:
        """Tell of namespaces that not all ProxyConfigs were read of, each on the first one that is known."""
        told: dict[str, ObjectReference | None] = {}
        for name in sorted(namespaces):
            known = self._index.proxy_configs.of(name)
            first = min((obj.metadata.name, obj.metadata.uid) for obj in known) if known else None
            told[name] = (
                ObjectReference(self._resource.api_version, PROXY_CONFIGS.kind, name, *first) if first else None
            )
        self._reports.crowded(told)

    def _default_is_told_on(self) -> ObjectReference | None:
        """The mesh config, by which the mesh has its default, or where there is none the root namespace's ProxyConfig."""
        world = self._index.world
        for name in (DEFAULT_CONFIG_MAP, *sorted(self._refs)):
            if (ref := self._refs.get(name)) is not None:
                return ref
        space = world.config.root_namespace
        speaker = world.claims.get(space, NO_CLAIMS).speaker
        if speaker is None:
            return None
        return ObjectReference(self._resource.api_version, PROXY_CONFIGS.kind, space, speaker.name, speaker.uid)

    def _config_map_changed(self, change: Change[ConfigMap]) -> None:
        obj = change.new or change.old
        if obj is not None:
            self.config_changes += 1
            self.take_config_map(obj.metadata.name, None if change.kind == "deleted" else obj.data, obj.metadata)
        self._changed()

    def take_config_map(self, name: str, data: Mapping[str, str] | None, metadata: ObjectMeta | None = None) -> None:
        """Put a ConfigMap of Istio's namespace into the index, None: it is gone."""
        problems = self._index.config_maps.put(name, data)
        if data is None or MESH_KEY not in data:
            self._refs.pop(name, None)
        elif metadata is not None:
            self._refs[name] = reference_to(CONFIG_MAPS, metadata)
        if metadata is not None:
            self._reports.problems(reference_to(CONFIG_MAPS, metadata), problems)

    def _namespace_changed(self, change: Change[NamespaceObject]) -> None:
        if change.kind == "deleted":
            self._index.remove_namespace(change.key[1])
        elif change.new is not None:
            self._index.put_namespace(change.new)
        self._changed()

    def _policy_changed(self, change: Change[SignerPolicy]) -> None:
        obj = change.new or change.old
        if change.kind == "synced":
            self._retain_policies()
        elif obj is not None:
            problem = ""
            if change.kind == "deleted":
                self._index.remove_policy(obj.metadata.name)
            else:
                problem = self._index.put_policy(obj).problem
            self._reports.problems(reference_to(SIGNER_POLICIES, obj.metadata), (problem,) if problem else ())
        self._changed()

    def _binding_changed(self, change: Change[SignerBinding]) -> None:
        obj = change.new or change.old
        if change.kind == "synced":
            self._retain_bindings()
        elif obj is not None:
            problem = ""
            if change.kind == "deleted":
                self._index.remove_binding(obj.metadata.name, obj.metadata.uid)
            else:
                problem = self._index.put_binding(obj).problem
            self._reports.problems(reference_to(SIGNER_BINDINGS, obj.metadata), (problem,) if problem else ())
        self._changed()

    def _record_changed(self, change: Change[SignerRecord]) -> None:
        obj = change.new or change.old
        if change.kind == "synced":
            self._retain_records()
        elif change.kind == "deleted" and obj is not None:
            self._index.remove_record(obj.metadata.name, obj.metadata.uid)
        elif obj is not None:
            self._index.put_record(obj)
        self._changed()

    def _retain_policies(self) -> None:
        there = {name for _, name in self._policies.store}
        for name in self._index.policies() - there:
            self._index.remove_policy(name)

    def _retain_bindings(self) -> None:
        there = {name for _, name in self._bindings.store}
        for signer, obj in list(self._index.bindings.items()):
            if signer.name not in there:
                self._index.remove_binding(signer.name, obj.metadata.uid)

    def _retain_records(self) -> None:
        there = {name for _, name in self._records.store}
        for obj in list(self._index.records.values()):
            if obj.metadata.name not in there:
                self._index.remove_record(obj.metadata.name, obj.metadata.uid)

    def _absent(self, forget: Callable[[], None]) -> None:
        forget()
        self._changed()


def _of_reflector(name: str, reflector: Reflector[Any]) -> _Source:
    return _Source(name, reflector.synced.is_set, lambda: reflector.trouble, lambda: reflector.last_contact)


def _of_served(name: str, served: Served[Any], *, absent: str = "") -> _Source:
    """Make a source of a resource; `absent` is what to do when it is not served, "" when that means: there are none."""
    return _Source(
        name,
        lambda: served.known and not (absent and served.absent),
        lambda: absent if served.absent else served.trouble,
        lambda: served.last_contact,
    )
