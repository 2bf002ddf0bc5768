"""Which replica answers which request.

Each request belongs to one live replica, by rendezvous hash of its uid. The next one by that hash takes it over when its
owner has answered nothing for a second, the others when both have answered nothing for two: slower than a stale Lease
would tell, but never wrong, since a second answer cannot be stored (the write carries the resourceVersion). Used on the
loop only.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from signer.kube.leases.record import heirs

# Seconds without a sign of life of the owner after which its requests are the next one's.
PATIENCE = 1.0
# Nobody waits longer than so many times that, however many replicas went silent.
_MOST = 2
# Requests whose owner is kept: each has three events or so, within a second.
_REMEMBERED = 8192


class Place(NamedTuple):
    """Whose a request is, and the replicas that it belongs to before it is ours: none when it is."""

    owner: str
    before: AbstractSet[str]


class Sharing:
    """Decides by the replicas that are alive now; alone, or before others are known, everything is ours.

    `identity` gives who we are, `members` the live replicas, `clock` monotonic seconds.
    """

    def __init__(
        self, identity: Callable[[], str], members: Callable[[], tuple[str, ...]], clock: Callable[[], float]
    ) -> None:
        self._identity = identity
        self._members = members
        self._clock = clock
        self._last_answer: dict[str, float] = {}
        self._leaving = False
        self._places: dict[str, Place] = {}
        self._view: tuple[str, tuple[str, ...], bool] = ("", (), False)

    def leave(self) -> None:
        """From now on this replica belongs to the group no more: what it still has, it answers itself."""
        self._leaving = True

    @property
    def view(self) -> tuple[str, tuple[str, ...], bool]:
        """Who we are, who is alive, and whether we leave: what every place rests on."""
        return self._identity(), self._members(), self._leaving

    def place(self, uid: str) -> Place:
        """Return whose a request is. While others are there and we are not among them, everything is theirs."""
        view = self.view
        if view != self._view or len(self._places) >= _REMEMBERED:
            self._view = view
            self._places.clear()
        found = self._places.get(uid)
        if found is None:
            mine, members, leaving = view
            order = [] if leaving else heirs(uid, members)
            before = order[: order.index(mine)] if mine in order else order
            found = self._places[uid] = Place(order[0] if order else mine, frozenset(before))
        return found

    def delay(self, uid: str, waited: float) -> float:
        """Return how many seconds to leave a request to those before us: 0 when it is ours to answer.

        `waited` is how long ago it was seen approved.
        """
        return self.patience(self.place(uid).before, waited)

    def patience(self, before: AbstractSet[str], waited: float) -> float:
        """The same for all requests that belong to these before they are ours."""
        if not before:
            return 0.0
        now = self._clock()
        patience = PATIENCE * min(len(before), _MOST)
        signs = max(self._last_answer.get(member, float("-inf")) for member in before)
        return max(patience - min(waited, now - signs), 0.0)

    def answered(self, uid: str, waited: float) -> None:
        """Note that a request that we did not work on was answered, or went away: a sign of life of its owner, if it was he.

        What waited longer than a second may have been taken over by another, which says nothing about the owner; unless that
        would have been our part.
        """
        holder, before = self.place(uid)
        if holder != self._identity() and (waited < PATIENCE or len(before) == 1):
            self._last_answer[holder] = self._clock()
            if len(self._last_answer) > len(self._members()) * 4:
                self._last_answer = {name: at for name, at in self._last_answer.items() if name in self._members()}
