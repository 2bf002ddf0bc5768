"""Adds to the status of SignerPolicies what this process issued and refused by them.

Every process adds its own: a patch carries the resourceVersion of the status that the sum was made from, so that of two
that add at once the second is refused, and adds again to what the first has written. Counts are for people: nothing is
decided by them, they come half a minute late, and what a process had not written when it ended is missing. One task.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from signer.api.event import reference_to
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.observe.write_errors import WriteErrors
from signer.tenancy.tally import Counts, Tally

log = logging.getLogger(__name__)

# A policy's status is written at most so often by one process (seconds), and so many policies at once.
EVERY = 30.0
_AT_ONCE = 50


class _Unsure(NamedTuple):
    """A write without an answer: the resourceVersion that it was made from, what it added, and what it made of it."""

    version: str
    counts: Counts
    total: Counts


class PolicyCounts:
    """Writes `tally` to the policies that `stored` gives, by name, as the watch last told of them."""

    def __init__(
        self,
        client: ApiClient,
        tally: Tally,
        stored: Callable[[], Mapping[str, SignerPolicy]],
        errors: WriteErrors | None = None,
    ) -> None:
        self._errors = errors
        self._client = client
        self._tally = tally
        self._stored = stored
        self._unsure: dict[str, _Unsure] = {}
        self._told = ""

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what was counted; what could not be written waits for the next time."""
        stored, trouble = self._stored(), ""
        for name, counts in self._tally.waiting()[:_AT_ONCE]:
            obj = stored.get(name)
            if obj is None:
                self._unsure.pop(name, None)
                self._tally.settle(name, counts)
                continue
            try:
                await self._add(obj, counts)
            except NotFound:
                pass
            except Conflict as error:
                # It changed: the watch tells, and it is looked at again. Only when that never ends it is news.
                self._tell(obj, error)
            except (ApiError, Unreachable) as error:
                self._tell(obj, error)
                trouble = trouble or f"SignerPolicy {name}: its counts could not be written: {error}"
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble

    def _tell(self, obj: SignerPolicy, error: Exception) -> None:
        if self._errors is None:
            return
        about = reference_to(SIGNER_POLICIES, obj.metadata)
        self._errors.refused(about, error)

    async def _add(self, obj: SignerPolicy, counts: Counts) -> None:
        name, version = obj.metadata.name, obj.metadata.resource_version
        now = Counts(obj.status.issued or 0, obj.status.refused or 0)
        total = Counts(now.issued + counts.issued, now.refused + counts.refused)
        if (unsure := self._unsure.get(name)) is not None and unsure.version != version:
            del self._unsure[name]
            self._settle_unsure(name, unsure, now)
            return  # what is left is written next time
        if unsure is not None:
            # Nothing has changed that we know of. Sent again as it was: if it was stored, this is a conflict.
            counts, total = unsure.counts, unsure.total
        body = {"metadata": {"resourceVersion": version, "uid": obj.metadata.uid}, "status": total._asdict()}
        try:
            await self._client.patch(SIGNER_POLICIES, name, body, subresource="status")
        except Unreachable:
            self._unsure[name] = _Unsure(version, counts, total)
            raise
        self._unsure.pop(name, None)
        self._tally.settle(name, counts)

    def _settle_unsure(self, name: str, unsure: _Unsure, now: Counts) -> None:
        """Take a write without an answer for stored if it may be: rather a few too little than what never happened."""
        if now.issued >= unsure.total.issued and now.refused >= unsure.total.refused:
            self._tally.settle(name, unsure.counts)
