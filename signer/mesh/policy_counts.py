"""Adds to the status of SignerPolicies what this process issued and refused by them.

Every process adds its own: a patch carries the resourceVersion of the status that the sum was made from, so that of two
that add at once the second is refused, and adds again to what the first has written. Counts are for people: nothing is
decided by them, they come half a minute late, and what a process had not written when it ended is missing. One task.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.tenancy.tally import Counts, Tally

log = logging.getLogger(__name__)

# A policy's status is written at most so often by one process (seconds), and so many policies at once.
EVERY = 30.0
_AT_ONCE = 50


class PolicyCounts:
    """Writes `tally` to the policies that `stored` gives, by name, as the watch last told of them."""

    def __init__(self, client: ApiClient, tally: Tally, stored: Callable[[], Mapping[str, SignerPolicy]]) -> None:
        self._client = client
        self._tally = tally
        self._stored = stored
        self._unsure: dict[str, tuple[Counts, Counts]] = {}
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
                self._tally.settle(name, counts)
                continue
            try:
                await self._add(obj, counts)
            except (Conflict, NotFound):
                pass  # it changed: the watch tells, and it is added to that
            except (ApiError, Unreachable) as error:
                trouble = trouble or f"SignerPolicy {name}: its counts could not be written: {error}"
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble

    async def _add(self, obj: SignerPolicy, counts: Counts) -> None:
        name, now = obj.metadata.name, Counts(obj.status.issued or 0, obj.status.refused or 0)
        if (sent := self._unsure.pop(name, None)) is not None:
            part, total = sent
            if now.issued >= total.issued and now.refused >= total.refused:
                # A write without an answer was stored: rather a few too little than what never happened.
                self._tally.settle(name, part)
                counts = Counts(counts.issued - part.issued, counts.refused - part.refused)
        total = Counts(now.issued + counts.issued, now.refused + counts.refused)
        if total == now:
            return
        body = {
            "metadata": {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid},
            "status": total._asdict(),
        }
        try:
            await self._client.patch(SIGNER_POLICIES, name, body, subresource="status")
        except Unreachable:
            self._unsure[name] = (counts, total)
            raise
        self._tally.settle(name, counts)
