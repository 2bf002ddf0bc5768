"""Writes SignerBindings: who owns a signer, when his claim ended, when his newest certificate was made.

Whom a signer belongs to is for good, and the watches that say so lag each by itself: so all that it rests on is read
live first, once for each signer, and nothing is stored that this does not bear.

Every replica does this: the create is atomic and names the signer, and a status is written with the resourceVersion
that was read, so that of several replicas one writes and the others see it. Used on the loop; `run` is one task.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.signerbinding import SIGNER_BINDINGS, SignerBinding
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from signer.kube.objects import Json
from signer.kube.queue import WorkQueue
from signer.kube.reach import loudness
from signer.mesh.live import LiveReads
from signer.mesh.ownership import ISSUED_EVERY, to_bind, to_write
from signer.observe.write_errors import WriteErrors
from signer.tenancy.bindings import new_binding, read_binding
from signer.tenancy.grants import Claimable, granted
from signer.tenancy.index import Index
from signer.tenancy.live import against_owner
from signer.tenancy.verdict import Bind

log = logging.getLogger(__name__)

_WORKERS = 2
PROXY_CONFIG_VERSION = "networking.istio.io/v1beta1"
# A namespace and its ProxyConfig are often applied anew in one go: an end of that length is none.
_SETTLES = 1.0


class Bindings:
    """Keeps what is stored about owners in step with the world. `changed` is called after the index was given one.

    `live` reads what an owner rests on.
    """

    def __init__(
        self,
        client: ApiClient,
        index: Index,
        changed: Callable[[], None],
        clock: Callable[[], datetime],
        live: LiveReads | None = None,
        *,
        errors: WriteErrors | None = None,
    ) -> None:
        self._errors = errors
        self._live = live
        self._client = client
        self._index = index
        self._changed = changed
        self._clock = clock
        self._since: dict[IssuerRef, datetime] = {}
        self._queue: WorkQueue[IssuerRef] = WorkQueue(first=1.0, cap=300.0, on_error=self._failed)

    def touch(self, signer: IssuerRef) -> None:
        """Have a signer's ownership looked at soon."""
        if self._queue.failures(signer):
            return  # its turn comes, and not sooner because somebody changes something all the time
        if signer in self._index.bindings:
            self._note_claim(signer)
            self._queue.add_after(signer, _SETTLES)
        elif to_bind(self._index, signer, self._clock()) is not None:
            self._queue.add(signer)

    def issued(self, signer: IssuerRef, now: datetime) -> None:
        """Take that an owner was given a certificate: it is written when the last one was some time ago."""
        obj = self._index.bindings.get(signer)
        if obj is None or self._queue.failures(signer):
            return
        last = read_binding(obj).last_issued
        if last is None or now >= last + ISSUED_EVERY:
            self._queue.add_after(signer, _SETTLES)

    async def bind(self, signer: IssuerRef, namespace: str, uid: str) -> None:
        """Make a namespace the owner, unless there is one; the index has whoever it is. Raises ApiError, Unreachable.

        What was decided a moment ago may be no longer so (a SignerPolicy, another claimant, the namespace's end): then
        nothing is stored, and the caller decides again. Unreachable too where a watch is behind what is stored.
        """
        if not self._claimable(signer, namespace, uid):
            return
        if self._live is not None:
            view = await self._live.for_owner(signer, namespace)
            if not self._claimable(signer, namespace, uid):
                return  # the watch told of it meanwhile
            if wrong := against_owner(view, Bind(signer, namespace, uid), self._clock()):
                raise Unreachable(f"the watches are behind what is stored: {signer}, namespace {namespace}: {wrong}")
        try:
            made = await self._client.create(SIGNER_BINDINGS, new_binding(signer, namespace, uid))
            log.info("%s belongs to namespace %s from now on (SignerBinding %s)", signer, namespace, signer.name)
        except AlreadyExists:
            made = await self._client.get(SIGNER_BINDINGS, signer.name)
        self._take(made)

    def _claimable(self, signer: IssuerRef, namespace: str, uid: str) -> bool:
        found = granted(self._index.world, namespace, signer, now=self._clock())
        return found == Claimable(uid) and namespace not in self._index.terminating

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run(self._reconcile, workers=_WORKERS)

    def _note_claim(self, signer: IssuerRef) -> bool:
        """Remember since when an owner is known to claim."""
        obj = self._index.bindings.get(signer)
        claims = obj is not None and self._index.claims(read_binding(obj))
        if claims:
            self._since.setdefault(signer, self._clock())
        else:
            self._since.pop(signer, None)
        return claims

    async def _reconcile(self, signer: IssuerRef) -> None:
        await self._keep(signer)
        if self._errors is not None:
            self._errors.fine(signer)

    async def _keep(self, signer: IssuerRef) -> None:
        now = self._clock()
        obj = self._index.bindings.get(signer)
        if obj is None:
            self._since.pop(signer, None)
            if (bind := to_bind(self._index, signer, now)) is not None:
                await self.bind(bind.signer, bind.namespace, bind.namespace_uid)
            return
        world = self._index.world
        stored = read_binding(obj)
        if stored.problem or world.unsynced or world.stale:
            return
        claims = self._note_claim(signer)
        write = to_write(
            stored,
            world.bindings.get(signer, stored),
            claims=claims,
            since=self._since.get(signer),
            grace=world.settings.grace,
            now=now,
        )
        if write.status:
            body: Json = {
                "metadata": {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid},
                "status": dict(write.status),
            }
            try:
                self._take(await self._client.patch(SIGNER_BINDINGS, signer.name, body, subresource="status"))
            except (Conflict, NotFound):
                # Another replica was first, or it is gone: the watch tells, and it is looked at again then.
                log.debug("SignerBinding %s changed meanwhile", signer.name)
        if write.again is not None:
            self._queue.add_after(signer, (write.again + timedelta(seconds=1)).total_seconds())

    def _take(self, made: Json) -> None:
        obj = msgspec.convert(made, SignerBinding)
        if self._index.released(obj.metadata.uid):
            return  # the watch was quicker, and does not tell it again
        self._index.put_binding(obj)
        self._changed()

    def _failed(self, signer: IssuerRef, error: Exception) -> None:
        if isinstance(error, ApiError | Unreachable):
            log.log(loudness(error), "SignerBinding %s: %s", signer.name, error)
            if self._errors is not None:
                self._errors.failed(signer, error, lambda: self._about(signer))
        else:
            log.error("SignerBinding %s: unforeseen %s", signer.name, type(error).__name__, exc_info=error)

    def _about(self, signer: IssuerRef) -> list[ObjectReference]:
        """The SignerBinding, or where there is none the ProxyConfig of whoever would own the signer."""
        if (obj := self._index.bindings.get(signer)) is not None:
            return [reference_to(SIGNER_BINDINGS, obj.metadata)]
        world, bind = self._index.world, to_bind(self._index, signer, self._clock())
        claims = world.claims.get(bind.namespace) if bind is not None else None
        if bind is None or claims is None or (one := claims.signers.get(signer) or claims.speaker) is None:
            return []
        return [ObjectReference(PROXY_CONFIG_VERSION, "ProxyConfig", bind.namespace, one.name, one.uid)]
