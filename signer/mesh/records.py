"""Writes SignerRecords: what is remembered of a mesh signer, so that a process that starts knows what the others know.

Every process does this. A status is written with the resourceVersion that was read, so that of several one writes and the
others see it. Nothing is deleted. Used on the loop; `run` is one task.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from signer.api.event import ObjectReference
from signer.api.issuer import IssuerRef
from signer.api.signerrecord import SIGNER_RECORDS, SignerRecord
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from signer.kube.objects import Json
from signer.kube.queue import WorkQueue
from signer.kube.reach import loudness
from signer.observe.write_errors import WriteErrors
from signer.tenancy.index import Index
from signer.tenancy.records import new_record, record_name

log = logging.getLogger(__name__)

_WORKERS = 2
# Two that write at once: the second one adds to what the first has written.
_TRIES = 4
# Seconds until it is tried again, where a source is not heard of.
_LATER = 5.0


class Records:
    """Keeps what is stored of signers in step with `index`. `changed` is called after the index was given one; `about` names the issuer."""

    def __init__(
        self,
        client: ApiClient,
        index: Index,
        changed: Callable[[], None],
        clock: Callable[[], datetime],
        *,
        errors: WriteErrors | None = None,
        about: Callable[[IssuerRef], Iterable[ObjectReference]] = lambda _: (),
    ) -> None:
        self._errors = errors
        self._about = about
        self._client = client
        self._index = index
        self._changed = changed
        self._clock = clock
        self._queue: WorkQueue[IssuerRef] = WorkQueue(first=1.0, cap=60.0, on_error=self._failed)

    def touch(self, signer: IssuerRef) -> None:
        """Have a signer's record looked at soon."""
        if self._index.unrecorded(signer, self._clock(), signs=False) is not None:
            self._queue.add(signer)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run(self._reconcile, workers=_WORKERS)

    async def store(self, signer: IssuerRef) -> None:
        """Store what is not stored yet of a signer whose CA is about to sign; then the index has it.

        Raises ApiError, Unreachable.
        """
        await self._keep(signer, signs=True)

    async def _keep(self, signer: IssuerRef, *, signs: bool) -> None:
        for _ in range(_TRIES):
            status = self._index.unrecorded(signer, self._clock(), signs=signs)
            if status is None:
                return
            try:
                await self._write(signer, status)
            except (Conflict, NotFound):
                # Somebody was quicker, or an admin deleted it; what the watch has not told yet is read.
                await self._read(signer)
        raise Unreachable(f"SignerRecord {record_name(signer)} changed whenever it was written")

    async def _reconcile(self, signer: IssuerRef) -> None:
        world = self._index.world
        if world.unsynced or world.stale:
            self._queue.add_after(signer, _LATER)  # what is not known now is not written down as gone
        else:
            await self._keep(signer, signs=False)
            if self._errors is not None:
                self._errors.fine(signer)

    async def _write(self, signer: IssuerRef, status: dict[str, Any]) -> None:
        obj = self._index.records.get(signer)
        if obj is None:
            try:
                obj = self._take(await self._client.create(SIGNER_RECORDS, new_record(signer)))
            except AlreadyExists:
                await self._read(signer)
                return
        body: Json = {
            "metadata": {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid},
            "status": status,
        }
        self._take(await self._client.patch(SIGNER_RECORDS, record_name(signer), body, subresource="status"))

    async def _read(self, signer: IssuerRef) -> None:
        name = record_name(signer)
        try:
            self._take(await self._client.get(SIGNER_RECORDS, name))
        except NotFound:
            if (obj := self._index.records.get(signer)) is not None:
                self._index.remove_record(name, obj.metadata.uid)

    def _take(self, made: Json) -> SignerRecord:
        obj = msgspec.convert(made, SignerRecord)
        if not self._index.released(obj.metadata.uid):  # else the watch was quicker, and does not tell it again
            self._index.put_record(obj)
            self._changed()
        return obj

    def _failed(self, signer: IssuerRef, error: Exception) -> None:
        if isinstance(error, ApiError | Unreachable):
            log.log(loudness(error), "SignerRecord %s: %s", record_name(signer), error)
            if self._errors is not None:
                self._errors.failed(signer, error, lambda: self._about(signer))
        else:
            log.error("SignerRecord %s: unforeseen %s", record_name(signer), type(error).__name__, exc_info=error)
