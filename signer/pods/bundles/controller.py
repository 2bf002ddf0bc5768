"""Keeps a ClusterTrustBundle for each signer that is used. One replica of the signer does it, the one that holds a Lease for it.

A bundle is created, changed and deleted with the resourceVersion that was decided on. It is deleted when its issuer is gone, no Pod asks it,
and no certificate below its roots is left: before, Pods that mount it could not start. What has its name and is not ours is left as
it is. Written anew is only what has changed. Used on the loop; `run` may be called again after it was cancelled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from signer.api.clustertrustbundle import (
    CLUSTER_TRUST_BUNDLES,
    FORMER_ROOTS,
    KNOWN_VERSIONS,
    ClusterTrustBundle,
    bundle_name,
    new_bundle,
    slim_bundle,
)
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.signername import parse_signer_name, signer_name_of
from signer.authorities.registry import Registry
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.discovery.served import Served, locate_first
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.reach import loudness
from signer.kube.resource import Resource
from signer.mesh.watcher import MeshWatcher
from signer.observe.events import EventRecorder
from signer.observe.notices import Notice, Notices
from signer.observe.write_errors import WriteErrors
from signer.pods.bundles.shares import BundleShares
from signer.pods.bundles.step import Content, bundle_roots, content_of, longest_life, own_entries, wanted
from signer.tenancy.shared import by_key, has_the_ca_of
from signer.tenancy.world import World

log = logging.getLogger(__name__)

UPDATED, TAKEN, NOT_PUBLISHED = "TrustBundleUpdated", "TrustBundleTaken", "TrustBundleNotWritten"
# Changes that come together are worked together; roots that have ended are looked for so often (seconds).
_SETTLES = 0.5
_ROUND = 60.0
_RETRY = 5.0
# The loop runs after so many bundles.
_YIELD_EVERY = 50


class _Judged(msgspec.Struct, frozen=True):
    """What a bundle was last found right by: it is looked at again when one of these is another, or `until` has come."""

    root: bytes
    entries: tuple[str, ...]
    version: str
    until: datetime


class TrustBundles:
    """Keeps the bundles. `asked` gives the signers that Pods ask; `on_restart` is told of each new watch."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        mesh: MeshWatcher,
        recorder: EventRecorder,
        asked: Callable[[], Iterable[IssuerRef]],
        *,
        on_restart: Callable[[str], None] = lambda _resource: None,
    ) -> None:
        self._client = client
        self._registry = registry
        self._mesh = mesh
        self._asked = asked
        self._on_restart = on_restart
        self._notices = Notices(recorder)
        self._errors = WriteErrors(recorder)
        self._changed = asyncio.Event()
        self._judged: dict[IssuerRef, _Judged] = {}
        self._shares = BundleShares((), frozenset())
        self._logged: dict[IssuerRef, str] = {}
        mesh.subscribe(self._changed.set)
        registry.subscribe(lambda _ref: self._changed.set())

    async def run(self) -> None:
        """Keep them until cancelled. Nothing is written before everything was read once."""
        served: Served[ClusterTrustBundle] = Served(
            "ClusterTrustBundles",
            self._client,
            locate_first(CLUSTER_TRUST_BUNDLES, KNOWN_VERSIONS),
            JsonCodec(ClusterTrustBundle, keep=slim_bundle, largest=LARGEST_STORED),
            lambda _change: self._changed.set(),
            on_absent=self._changed.set,
            on_restart=self._on_restart,
        )
        self._judged.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await self._mesh.synced.wait()
            while True:
                await self._round(served)
                try:
                    async with asyncio.timeout(_ROUND):
                        await self._changed.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(_SETTLES)

    async def _round(self, served: Served[ClusterTrustBundle]) -> None:
        self._changed.clear()
        world = self._mesh.world
        resource = served.resource
        if resource is None or not served.known or world.unsynced or world.stale:
            return
        entries = own_entries(world.config.authorities)
        there = {
            ref: one for one in served.store.values() if one.ours and (ref := parse_signer_name(one.spec.signer_name))
        }
        used = {*world.signers, *world.bindings, *self._asked()}
        mine, refused = self._used(world, used | there.keys())
        sizes = ((ref, len(one.spec.trust_bundle)) for ref, one in there.items())
        self._shares = BundleShares(sizes, world.signers)
        store = served.store
        work: list[tuple[IssuerRef, Callable[[], Awaitable[None]]]] = [
            (ref, partial(self._keep, resource, store, ref, entries.get(ref, ()), refused.get(ref, ""))) for ref in mine
        ]
        ended = (ref for ref in sorted(there.keys() - used) if self._registry.get(ref) is None)
        work += [(ref, partial(self._end, resource, ref, there[ref])) for ref in ended]
        for count, (ref, one) in enumerate(work):
            try:
                await one()
            except Exception as error:  # noqa: BLE001 - one signer's roots must never stop the others', nor the process
                self._failed(ref, error)
                asyncio.get_running_loop().call_later(_RETRY, self._changed.set)
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _used(self, world: World, used: Iterable[IssuerRef]) -> tuple[list[IssuerRef], dict[IssuerRef, str]]:
        """Name the signers that get a bundle, of those that are the mesh's, owned, asked by Pods, or that have one.

        And those that get no other roots than they have, with the reason: another tenant's CA is behind them.
        """
        keys = {
            ref: state.authority.key_id
            for ref in used
            if (state := self._registry.get(ref)) is not None and state.authority is not None
        }
        refused, having = {}, by_key(keys)
        for ref in world.signers & keys.keys():
            if (other := has_the_ca_of(world, ref, keys[ref], having)) is not None:
                refused[ref] = f"{ref} has the CA key of {other}, which other namespaces have: give it a CA of its own"
        return sorted(keys), refused

    async def _keep(
        self,
        resource: Resource,
        store: Mapping[tuple[str, str], ClusterTrustBundle],
        ref: IssuerRef,
        entries: tuple[str, ...],
        refused: str,
    ) -> None:
        state = self._registry.get(ref)
        if state is None or state.authority is None:
            return
        about = reference_to(ref.resource, state.issuer.metadata)
        name, now = bundle_name(signer_name_of(ref)), utc_now()
        bundle = store.get(("", name))
        if refused or (bundle is not None and not bundle.ours):
            text = (
                refused
                or f"ClusterTrustBundle {name} is somebody else's: delete it, and it is made anew with the roots"
            )
            self._say(about, Notice("Warning", NOT_PUBLISHED if refused else TAKEN, text))
            return
        root = state.authority.root_pem or b""
        version = bundle.metadata.resource_version if bundle is not None else ""
        judged = self._judged.get(ref)
        if judged is not None and judged.until > now and judged == _Judged(root, entries, version, judged.until):
            return
        today = bundle_roots([root, *(entry.encode() for entry in entries)], now)
        if not today:
            text = f"the root above the CA of {ref} is not known: put it into ca.crt of its Secret, or into the mesh config"
            self._say(about, Notice("Warning", NOT_PUBLISHED, text))
            return
        content = wanted(today, bundle, stays=longest_life(self._mesh.world, ref), now=now)
        if bundle is None or content_of(bundle) != content:
            if lacking := self._shares.lacks(ref, len(content.trust_bundle)):
                self._say(about, Notice("Warning", NOT_PUBLISHED, lacking))
                return
            self._shares.take(ref, len(content.trust_bundle))
            await self._write(resource, ref, bundle, content)
            what = f"ClusterTrustBundle {name} has {content.trust_bundle.count('BEGIN CERTIFICATE')} roots now"
            log.info("%s", what)
            self._notices.happened(about, Notice("Normal", UPDATED, what))
            return  # its new version is judged when the watch tells it
        ends = [one.ends for one in bundle_roots([bundle.spec.trust_bundle.encode()], now)]
        self._judged[ref] = _Judged(root, entries, version, min([*ends, now + timedelta(hours=1)]))
        self._notices.say(about, [])
        self._errors.fine(about)
        self._logged.pop(ref, None)

    async def _end(self, resource: Resource, ref: IssuerRef, bundle: ClusterTrustBundle) -> None:
        """Take the roots of an issuer that is gone for former ones; when the last has ended, delete the bundle."""
        now, meta = utc_now(), bundle.metadata
        content = wanted((), bundle, stays=longest_life(self._mesh.world, ref), now=now)
        if not content.trust_bundle:
            try:
                await self._client.delete(resource, meta.name, uid=meta.uid, resource_version=meta.resource_version)
            except (Conflict, NotFound):
                return  # the watch tells
            log.info("ClusterTrustBundle %s is deleted: %s is gone, and no certificate of it is left", meta.name, ref)
        elif content_of(bundle) != content:
            await self._write(resource, ref, bundle, content)
            log.info("ClusterTrustBundle %s ends, since %s is gone and nobody asks it", meta.name, ref)

    async def _write(
        self, resource: Resource, ref: IssuerRef, bundle: ClusterTrustBundle | None, content: Content
    ) -> None:
        """Create a bundle, or change it if nobody else did meanwhile; else it is looked at again when the watch tells."""
        body: dict[str, Any] = new_bundle(signer_name_of(ref))
        body["spec"]["trustBundle"] = content.trust_bundle
        if content.annotation or bundle is not None:
            body["metadata"]["annotations"] = {FORMER_ROOTS: content.annotation or None}
        try:
            if bundle is None:
                await self._client.create(resource, body)
                return
            meta = bundle.metadata
            body["metadata"] |= {"uid": meta.uid, "resourceVersion": meta.resource_version}
            await self._client.patch(resource, meta.name, body)
        except (Conflict, NotFound):
            asyncio.get_running_loop().call_later(_SETTLES, self._changed.set)

    def _failed(self, ref: IssuerRef, error: Exception) -> None:
        state = self._registry.get(ref)
        if state is not None:
            about = reference_to(ref.resource, state.issuer.metadata)
            if isinstance(error, ApiError | Unreachable):
                self._errors.refused(about, error)
            else:
                text = (
                    f"the roots are not kept: a fault of mesh-signer's own ({type(error).__name__}); its log says where"
                )
                self._notices.say(about, [Notice("Warning", NOT_PUBLISHED, text)])
        if self._logged.get(ref) == str(error):
            return
        self._logged[ref] = str(error)
        if isinstance(error, ApiError | Unreachable):
            log.log(loudness(error), "the ClusterTrustBundle of %s could not be written: %s", ref, error)
        else:
            log.error("the ClusterTrustBundle of %s: unforeseen %s", ref, type(error).__name__, exc_info=error)

    def _say(self, about: ObjectReference, notice: Notice) -> None:
        for one in self._notices.say(about, [notice]):
            log.warning("%s", one.message)
