"""Requests that are left to other replicas: none of them costs a timer, a place in the queue, or a look at its CSR.

All that belong to the same replicas before they are ours become ours by the same silence, and those that have waited longest
first. So one look at the first of each group tells whether there is anything to take over, however many there are. Used on
the loop only.
"""

import asyncio
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

from signer.api.requests import Request
from signer.csr.queue.replica import Sharing

# Seconds between two looks, as long as anything is left to others: so soon it is noticed that replicas came or went.
_LOOK = 0.1
_SHORTEST = 0.001
# So many are taken over at once; the loop runs before the next ones.
_AT_ONCE = 50


@dataclass(slots=True)
class _Left:
    """One request, since when it was seen approved (monotonic seconds), and the replicas before us."""

    csr: Request
    since: float
    before: AbstractSet[str]


class Others:
    """What is left to others. `take(csr, since)` is called with each that is ours to answer now; `clock` is in seconds."""

    def __init__(self, sharing: Sharing, take: Callable[[Request, float], None], clock: Callable[[], float]) -> None:
        self._sharing = sharing
        self._take = take
        self._clock = clock
        self._left: dict[str, _Left] = {}
        # Of each group the one that was seen first comes first.
        self._groups: dict[AbstractSet[str], dict[str, _Left]] = {}
        self._view = sharing.view
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._left)

    def __contains__(self, uid: str) -> bool:
        return uid in self._left

    def leave(self, csr: Request) -> bool:
        """Leave a request to those that it belongs to before us; False when it is ours to answer now."""
        left = self._left.get(csr.uid)
        if left is not None:
            left.csr = csr
            return True
        before = self._sharing.place(csr.uid).before
        if self._sharing.patience(before, 0.0) <= 0:
            return False
        left = self._left[csr.uid] = _Left(csr, self._clock(), before)
        self._groups.setdefault(before, {})[csr.uid] = left
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look)
        return True

    def gone(self, uid: str) -> None:
        """A request was answered, or deleted: a sign of life of its owner."""
        left = self._left.pop(uid, None)
        if left is not None:
            self._drop(uid, left.before)
            self._sharing.answered(uid, self._clock() - left.since)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _drop(self, uid: str, before: AbstractSet[str]) -> None:
        group = self._groups[before]
        del group[uid]
        if not group:
            del self._groups[before]

    def _look(self) -> None:
        """Take over what nobody else seems to answer."""
        self._timer = None
        if self._view != (view := self._sharing.view):
            self._view = view
            self._regroup()
        ours = list(islice(self._ours(self._clock()), _AT_ONCE))
        for left in ours:
            del self._left[left.csr.uid]
            self._drop(left.csr.uid, left.before)
        if self._left:
            pause = 0.0 if len(ours) == _AT_ONCE else self._pause()
            self._timer = asyncio.get_running_loop().call_later(pause, self._look)
        for left in ours:
            self._take(left.csr, left.since)

    def _ours(self, now: float) -> Iterator[_Left]:
        for before, group in self._groups.items():
            for left in group.values():
                if self._sharing.patience(before, now - left.since) > 0:
                    break
                yield left

    def _pause(self) -> float:
        """Seconds until something may be ours, if nobody comes or goes; never so few that time would not move."""
        now = self._clock()
        first = ((before, next(iter(group.values()))) for before, group in self._groups.items())
        return max(_SHORTEST, min(_LOOK, *(self._sharing.patience(before, now - left.since) for before, left in first)))

    def _regroup(self) -> None:
        """Replicas came or went."""
        self._groups.clear()
        for uid, left in self._left.items():  # by the moment at which they were left
            left.before = self._sharing.place(uid).before
            self._groups.setdefault(left.before, {})[uid] = left
