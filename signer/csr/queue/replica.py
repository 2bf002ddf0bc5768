"""Which replica answers which request.

Each request belongs to one live replica, by rendezvous hash of its uid. Another one takes it over when its owner has
written nothing for a second: slower than a stale Lease would tell, but never wrong, since a second answer cannot be
stored (the write carries the resourceVersion). Used on the loop only.
"""

from collections.abc import Callable

from signer.kube.leases.record import owner

# Seconds without a sign of life of the owner after which its requests are anybody's.
PATIENCE = 1.0


class Sharing:
    """Decides by the replicas that are alive now; alone, or before others are known, everything is ours.

    `members` gives the live replicas, `clock` monotonic seconds.
    """

    def __init__(self, identity: str, members: Callable[[], tuple[str, ...]], clock: Callable[[], float]) -> None:
        self._identity = identity
        self._members = members
        self._clock = clock
        self._last_answer: dict[str, float] = {}
        self._leaving = False

    def leave(self) -> None:
        """From now on this replica belongs to the group no more: what it still has, it answers itself."""
        self._leaving = True

    def owner_of(self, uid: str) -> str:
        """Return the replica that a request belongs to."""
        members = self._members()
        # While others are there and we are not among them yet, everything is theirs.
        return owner(uid, members) if members and not self._leaving else self._identity

    def delay(self, uid: str, waited: float) -> float:
        """Return how many seconds to leave a request to its owner: 0 when it is ours to answer.

        `waited` is for how long the request has been approved, as we saw it.
        """
        holder = self.owner_of(uid)
        if holder == self._identity:
            return 0.0
        silence = min(waited, self._clock() - self._last_answer.get(holder, float("-inf")))
        return max(PATIENCE - silence, 0.0)

    def answered(self, uid: str) -> None:
        """Note that a request was answered or went away: a sign of life of its owner."""
        holder = self.owner_of(uid)
        if holder != self._identity:
            self._last_answer[holder] = self._clock()
            if len(self._last_answer) > len(self._members()) * 4:
                self._last_answer = {name: at for name, at in self._last_answer.items() if name in self._members()}
