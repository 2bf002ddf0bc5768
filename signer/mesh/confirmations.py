"""Reads live, before the first certificate of a namespace, whether it may have it, and later that it still is the same.

A watch that is held back shows a namespace that somebody deleted and made again, a policy that is gone, a claim that ended.
All that the first certificate of a namespace's uid rests on is read live, and once more when that was a minute ago
(ADR 42). In between its uid alone is, at most every few seconds, and only when somebody asks. What was confirmed is in the
world (World.confirmed), bounded. Used on the loop only.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from signer.kube.errors import Unreachable
from signer.mesh.live import LiveReads
from signer.tenancy.decide import CONFIRMED_FOR
from signer.tenancy.index import Index
from signer.tenancy.live import against_grant, against_request, another_namespace
from signer.tenancy.verdict import Confirm
from signer.tenancy.world import Confirmed

_REMEMBERED = 1 << 16
_AT_LEAST = timedelta(seconds=1)
# So old may be what was read live of policies, mesh config, claims and owners: any watch may be behind for longer.
READ_FOR = timedelta(seconds=60)


class Confirmations:
    """Writes World.confirmed, from `live`. `clock` is the time of day that is decided by."""

    def __init__(self, index: Index, live: LiveReads, clock: Callable[[], datetime]) -> None:
        self._live = live
        self._clock = clock
        self._world = index.world
        self._had: OrderedDict[Confirmed, datetime] = OrderedDict()
        self._until: dict[Confirmed, datetime] = {}
        index.world.confirmed = self._until

    def begin_anew(self) -> None:
        """Have everything confirmed once more before the next certificate."""
        self._until.clear()

    async def confirm(self, asked: Confirm) -> None:
        """Read what a certificate rests on. Raises ApiError, Unreachable, also when it does not bear the certificate."""
        signer, namespace, uid = asked.signer, asked.namespace, asked.namespace_uid
        key, began = asked.key, self._clock()
        read = self._had.get(key)
        if read is not None and timedelta(0) <= began - read < READ_FOR:
            wrong = another_namespace(await self._live.uid(namespace), namespace, uid)
        else:
            read, wrong = began, await self._against(asked)
        if wrong:
            self._had.pop(key, None)
            self._until.pop(key, None)
            raise Unreachable(f"the watches are behind what is stored: {signer}, namespace {namespace}: {wrong}")
        self._had[key] = read
        self._had.move_to_end(key)
        if len(self._had) > _REMEMBERED:
            self._had.popitem(last=False)
        if len(self._until) >= _REMEMBERED:
            kept = {one: until for one, until in self._until.items() if until > began}
            self._until.clear()
            self._until.update(kept)
        # From before the read: what changed during it is looked at again in time. However long it took, it counts once.
        self._until[key] = max(began + CONFIRMED_FOR, self._clock() + _AT_LEAST)

    async def _against(self, asked: Confirm) -> str:
        """Say what of all that is stored is against it; "" when nothing is."""
        if not asked.policy:
            return against_grant(await self._live.for_grant(asked.signer, asked.namespace), asked, self._clock())
        view = await self._live.for_request(asked.namespace)
        known = [one for listed in self._world.policies.values() for one in listed if one.name == asked.policy]
        return against_request(view, asked, known[0] if known else None, self._clock())
