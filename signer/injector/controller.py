"""Reconciles one object that asks for a CA: finds the bundle, reads the object as it is now, and has caBundle written.

Everything runs on the loop; a key is handled by one worker at a time. What is wrong with one object is told on it and never
stops another. Of a source that is gone nothing is taken back: what stands in the object stays, as with cert-manager.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from signer.api.casource import CA_SOURCES, CASourceSpec, source_name
from signer.api.injectable import Injectable, asking
from signer.api.meta import ObjectMeta
from signer.api.text import shown
from signer.injector.api_server import OwnCA
from signer.injector.asked import ApiServerCA, Defect, Source
from signer.injector.bundle import defect_of
from signer.injector.decide import injection, writers
from signer.injector.told import Told
from signer.injector.watched import Key, Watched
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from signer.kube.objects import Json
from signer.kube.pacing import Pacing
from signer.kube.queue import WorkQueue
from signer.kube.resource import Resource

FIELD_MANAGER = "mesh-signer-ca-injector"
# The controllers answer in a moment; when they have not by then, something is in the way.
PATIENCE_SECONDS = 30.0
_NAMED = 3
_NO_ANSWER = (
    "the controllers did not answer for CASource {name} yet: is mesh-signer-controllers at work, with the controller "
    "casources, and are the CRDs of this version applied?"
)


@dataclass(frozen=True, slots=True)
class _Bundle:
    text: bytes
    origin: str


class InjectionController:
    """Works on keys of `watched`: injectables, and the CASources that they need."""

    def __init__(
        self,
        client: ApiClient,
        watched: Watched,
        own_ca: OwnCA,
        told: Told,
        queue: WorkQueue[Key],
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._watched = watched
        self._own_ca = own_ca
        self._told = told
        self._queue = queue
        self._clock = clock
        self._pacing = Pacing[Key]()
        self._written: dict[Key, bytes] = {}
        self._waiting: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one object to what it should be. Raises ApiError, Unreachable: then it is tried again."""
        if key[0] == CA_SOURCES.plural:
            await self._keep_source(key[1])
            return
        obj = self._watched.get(key)
        asked = self._watched.asked(obj) if obj is not None else None
        if obj is None or asked is None:
            self._told.forget(key)
            self._waiting.pop(key, None)
            if obj is None:
                self._pacing.forget(key)
                self._written.pop(key, None)
            return
        if isinstance(asked, Defect):
            self._told.defect(key, self._watched.resource(key), obj.metadata, asked)
            return
        found = await self._bundle(key, asked)
        if isinstance(found, Defect):
            self._told.defect(key, self._watched.resource(key), obj.metadata, found)
        elif found is not None:
            await self._inject(key, obj, asked, found)

    async def _bundle(self, key: Key, source: Source) -> _Bundle | Defect | None:
        """Find the bundle; None: it is asked for, and the key comes back."""
        if isinstance(source, ApiServerCA):
            own = self._own_ca.found
            return _Bundle(own, "from the connection to the API server") if isinstance(own, bytes) else own
        stored = self._watched.source(source)
        if stored is None:
            await self._ask(source)
        if stored is None or not stored.status.reason:
            return self._still_waiting(key, source)
        self._waiting.pop(key, None)
        status = stored.status
        if not status.ca_bundle:
            return Defect(status.reason, status.message)
        # Whoever wrote the answer: what becomes a caBundle is looked at here.
        if defect := defect_of(status.ca_bundle):
            return Defect("InvalidCA", f"CASource {stored.metadata.name}: status.caBundle {defect}")
        return _Bundle(status.ca_bundle, status.message)

    def _still_waiting(self, key: Key, source: CASourceSpec) -> Defect | None:
        now = asyncio.get_running_loop().time()
        waited = now - self._waiting.setdefault(key, now)
        if waited >= PATIENCE_SECONDS:
            return Defect("Waiting", _NO_ANSWER.format(name=source_name(source)))
        self._queue.add_after(key, PATIENCE_SECONDS - waited)
        return None

    async def _inject(self, key: Key, obj: Injectable, asked: Source, bundle: _Bundle) -> None:
        resource = self._watched.resource(key)
        try:
            live = await self._client.get(resource, key[1])
        except NotFound:
            return
        now = _as_read(live)
        if now is None or now.metadata.uid != obj.metadata.uid or self._watched.asked(now) != asked:
            return  # it changed, and the watch brings it back
        decided = injection(resource, live, bundle.text)
        if isinstance(decided, Defect):
            self._told.defect(key, resource, now.metadata, decided)
            return
        if not decided.patch:
            self._told.injected(key, resource, now.metadata, bundle.origin, written=False)
            return
        moment = self._clock()
        left = self._pacing.left(key, moment)
        if left:
            changes = self._written.get(key) != bundle.text
            why = _restless(moment + left) if changes else _undone(live, moment + left)
            self._told.defect(key, resource, now.metadata, why)
            self._queue.add_after(key, left.total_seconds())
            return
        await self._write(key, resource, now.metadata, decided.patch, bundle)

    async def _write(
        self, key: Key, resource: Resource, metadata: ObjectMeta, patch: list[Json], bundle: _Bundle
    ) -> None:
        try:
            await self._client.patch(resource, key[1], patch, kind="json", field_manager=FIELD_MANAGER)
        except NotFound:
            return
        except Conflict:
            self._queue.add_backoff(key)
            return
        except ApiError as error:
            if not error.lasting:
                raise
            message = f"caBundle cannot be written: {error.message}"
            self._told.defect(key, resource, metadata, Defect("WriteRefused", message))
            self._queue.add_backoff(key, error.retry_after)
            return
        self._pacing.note(key, self._clock())
        self._written[key] = bundle.text
        self._told.injected(key, resource, metadata, bundle.origin, written=True)

    async def _ask(self, source: CASourceSpec) -> None:
        body: Json = {"metadata": {"name": source_name(source)}, "spec": msgspec.to_builtins(source)}
        try:
            await self._client.create(CA_SOURCES, body)
        except AlreadyExists:
            return

    async def _keep_source(self, name: str) -> None:
        """Ask anew for what is wanted, and take away what nobody asks for."""
        stored = self._watched.sources.store.get(("", name))
        if stored is None or not self._watched.complete:
            return
        if not stored.problem and source_name(stored.spec) == name and self._watched.wanted(stored.spec):
            return
        meta = stored.metadata
        try:
            await self._client.delete(CA_SOURCES, name, uid=meta.uid)
        except (NotFound, Conflict):
            return


def _as_read(live: Json) -> Injectable | None:
    try:
        return asking(msgspec.convert(live, Injectable))
    except msgspec.ValidationError:
        return None


def _restless(until: datetime) -> Defect:
    return Defect(
        "SourceChanges",
        "the CA that is asked for changed too often within a short time: see who changes it. The next write is after "
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
    )


def _undone(live: Json, until: datetime) -> Defect:
    others = ", ".join(shown(name) for name in writers(live, FIELD_MANAGER)[:_NAMED])
    who = f", by {others}" if others else ""
    return Defect(
        "FieldConflict",
        f"caBundle was written, and changed again{who}: one of the two must leave it alone. The next try is after "
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
    )
