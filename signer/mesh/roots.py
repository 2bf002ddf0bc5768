"""Keeps meshConfig.caCertificates in step with the CAs of the mesh's signers (--manage-mesh-config). The leader does it.

istiod gives workloads the root that stands there beside their signer, so a renewed root must arrive there before the
old one ends. What is written is signer/tenancy/meshconfig/edit.py's: one entry for each signer, all else byte for byte,
and never a root with another key or subject: that would part the workloads that trust the old one, and is a person's
decision.
"""

import asyncio
import logging
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from signer.api.configmap import CONFIG_MAPS
from signer.api.event import ObjectReference
from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.authorities.registry import Registry
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.objects import Json
from signer.kube.reach import loudness
from signer.mesh.watcher import MeshWatcher
from signer.observe.events import EventRecorder
from signer.observe.notices import Notice, Notices
from signer.observe.write_errors import WriteErrors
from signer.tenancy.meshconfig.edit import Edited, edit_mesh_config
from signer.tenancy.meshconfig.read import MESH_KEY
from signer.tenancy.shared import by_key, has_the_ca_of
from signer.tenancy.world import World

log = logging.getLogger(__name__)

UPDATED, REFUSED = "RootsUpdated", "RootsNotUpdated"
# Changes that come together are worked together (seconds).
_SETTLES = 1.0
_RETRY = 10.0


class _Seen(msgspec.Struct, frozen=True):
    """What a ConfigMap was judged by: nothing is done again before one of the two changes."""

    text: str
    roots: Mapping[str, str]
    refused: tuple[str, ...] = ()


class MeshRoots:
    """Keeps the roots in Istio's ConfigMaps; `run` may be called again after it was cancelled."""

    def __init__(self, client: ApiClient, registry: Registry, mesh: MeshWatcher, recorder: EventRecorder) -> None:
        self._client = client
        self._registry = registry
        self._mesh = mesh
        self._notices = Notices(recorder)
        self._seen: dict[str, _Seen] = {}
        self._logged: dict[str, str] = {}
        self._errors = WriteErrors(recorder)
        self._refs: dict[str, ObjectReference] = {}
        self._changed = asyncio.Event()
        mesh.subscribe(self._changed.set)

    async def run(self) -> None:
        """Write until cancelled. Nothing is written before everything was read once."""
        await self._mesh.synced.wait()
        self._seen.clear()
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLES)
            self._changed.clear()
            if self._mesh.world.unsynced or self._mesh.world.stale:
                continue
            fine = True
            for name, text in self._mesh.mesh_configs().items():
                fine = await self._keep(name, text) and fine
            if not fine:
                await asyncio.sleep(_RETRY)
                self._changed.set()

    async def _keep(self, name: str, text: str) -> bool:
        """Keep one ConfigMap; whether that is done for now."""
        seen = _Seen(text, *self._roots())
        if self._seen.get(name) == seen:
            return True
        edited = _edited(seen.text, seen)
        namespace = self._mesh.world.settings.istio_namespace
        try:
            if edited.changes or edited.refused:
                await self._write(namespace, name, seen)
        except (Conflict, NotFound):
            return False
        except (ApiError, Unreachable) as error:
            about = self._refs.get(name, ObjectReference("v1", CONFIG_MAPS.kind, namespace, name, ""))
            self._errors.refused(about, error)
            if self._logged.get(name) != str(error):
                self._logged[name] = str(error)
                log.log(loudness(error), "ConfigMap %s/%s: its roots could not be written: %s", namespace, name, error)
            return False
        self._logged.pop(name, None)
        if (ref := self._refs.get(name)) is not None:
            self._errors.fine(ref)
            if not edited.refused:
                self._notices.forget(ref)
        self._seen[name] = seen
        return True

    async def _write(self, namespace: str, name: str, seen: _Seen) -> None:
        """Edit what is there now, and write it back if nobody else wrote meanwhile (else Conflict)."""
        obj = await self._client.get(CONFIG_MAPS, name, namespace)
        self._refs[name] = ObjectReference("v1", CONFIG_MAPS.kind, namespace, name, obj["metadata"]["uid"])
        data = obj.get("data")
        text = data.get(MESH_KEY) if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(text, str):
            return
        edited = _edited(text, seen)
        if edited.changes:
            await self._client.replace(CONFIG_MAPS, obj | {"data": data | {MESH_KEY: edited.text}})
        self._tell(obj, edited)

    def _tell(self, obj: Json, edited: Edited) -> None:
        metadata = obj["metadata"]
        ref = ObjectReference("v1", CONFIG_MAPS.kind, metadata["namespace"], metadata["name"], metadata["uid"])
        where = f"ConfigMap {ref.namespace}/{ref.name}"
        if edited.changes:
            log.info("%s: %s", where, "; ".join(edited.changes))
            self._notices.happened(ref, Notice("Normal", UPDATED, "; ".join(edited.changes)))
        refused = "; ".join(edited.refused)
        if self._notices.say(ref, [Notice("Warning", REFUSED, refused)] if refused else []):
            log.warning("%s: not done: %s", where, refused)

    def _roots(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the roots of the mesh's signers whose CA is ready, by their full names, and who gets no entry, and why.

        Those that have another tenant's CA get none.
        """
        found: dict[str, str] = {}
        keys: dict[IssuerRef, str] = {}
        for signer in with_roots_in_mesh(self._mesh.world):
            state = self._registry.get(signer)
            if state is not None and state.authority is not None and state.authority.root_pem is not None:
                found[signer_name_of(signer)] = state.authority.root_pem.decode()
                keys[signer] = state.authority.key_id
        refused, having = [], by_key(keys)
        for signer, key_id in keys.items():
            if (other := has_the_ca_of(self._mesh.world, signer, key_id, having)) is not None:
                del found[signer_name_of(signer)]
                refused.append(
                    f"{signer} has the CA key of {other}, which other namespaces have: give it a CA of its own"
                )
        return found, tuple(refused)


def _edited(text: str, seen: _Seen) -> Edited:
    edited = edit_mesh_config(text, seen.roots, force=False)
    return replace(edited, refused=(*seen.refused, *edited.refused))


def with_roots_in_mesh(world: World) -> list[IssuerRef]:
    """Name the mesh signers whose root belongs into the mesh config: not those whose policies append it to the chain.

    Nor, where a signer is routed by identity, those that a policy alone makes signers of the mesh: istiod is asked for the one
    name, unless a namespace claims its own.
    """
    named = {ref for entry in world.config.authorities for ref in entry.signers}
    brought = {ref for ref, policies in world.policies.items() if all(policy.append_root for policy in policies)}
    if world.routed:
        brought |= {ref for ref in world.policies if ref not in world.claimants and ref not in world.defaults}
        brought |= world.routed
    return sorted(world.signers - (brought - named))


def asked_by_istiod(world: World) -> list[IssuerRef]:
    """Name the signers that istiod asks, and so has to approve requests for: those with roots, and what is routed."""
    return sorted({*with_roots_in_mesh(world), *world.routed})
