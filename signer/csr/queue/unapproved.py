"""Requests that nobody has approved yet: nothing is ever written to them, but after a while an Event says so.

Each replica tells of its own ones. Those of the others are not read (ADR 58); the latest of them are kept as they came for a
minute, so that they are told of here when their owner is lost before he told of them. Used on the loop only.
"""

from collections.abc import Callable, KeysView

from signer.api.certificatesigningrequest import CertificateSigningRequest, read_object
from signer.csr.queue.replica import Sharing
from signer.csr.record import Record, asker
from signer.kube.encoding.protobuf import ProtobufError

# Seconds until an Event says that nobody has approved a request.
PATIENCE = 5.0
# So many requests of others are kept, none of them larger; an owner that lives has told of them after so many seconds.
_KEPT = 2048
_LARGEST = 4096
_KEPT_SECONDS = 60.0
_TOLD = float("inf")


class Unapproved:
    """The requests that nobody has approved yet, by uid. `clock` is monotonic, in seconds."""

    def __init__(self, record: Record, sharing: Sharing, clock: Callable[[], float]) -> None:
        self._record = record
        self._sharing = sharing
        self._clock = clock
        self._seen: dict[str, tuple[CertificateSigningRequest, float]] = {}
        # Of other replicas, the oldest first; and of those that were lost. The watch does not tell that such a one was deleted.
        self._left: dict[str, tuple[bytes, float]] = {}
        self._inherited = set[str]()
        self._view = sharing.view

    @property
    def uids(self) -> KeysView[str]:
        """A view of those that were read here and wait now."""
        return self._seen.keys()

    def put(self, csr: CertificateSigningRequest) -> None:
        """Take a request in; one that is known already keeps its time."""
        self._left.pop(csr.uid, None)
        self._inherited.discard(csr.uid)
        self._seen.setdefault(csr.uid, (csr, self._clock()))

    def leave(self, uid: str, raw: bytes) -> bool:
        """Leave a new request unread to the replica whose it is; False when it is to be read here."""
        if len(raw) > _LARGEST or not self._sharing.place(uid).before:
            return False
        if uid not in self._left:
            if len(self._left) >= _KEPT:
                del self._left[next(iter(self._left))]
            self._left[uid] = raw, self._clock()
        return True

    def remove(self, uid: str) -> None:
        """Forget a request that was approved, answered or deleted."""
        csr, since = self._seen.pop(uid, (None, 0.0))
        if csr is not None and since == _TOLD:
            self._record.waits_no_more(csr)
        self._left.pop(uid, None)
        self._inherited.discard(uid)

    def turn(self) -> None:
        """Tell of those that have waited for some seconds, each once there is room. To be called each second or so."""
        now = self._clock()
        self._take_over(now)
        full = set[str]()
        for uid, (csr, since) in tuple(self._seen.items()):
            if since > now - PATIENCE or asker(csr) in full or self._sharing.place(uid).before:
                continue
            if not self._record.waits_for_approval(csr):
                full.add(asker(csr))
            elif uid in self._inherited:
                self.remove(uid)
            else:
                self._seen[uid] = (csr, _TOLD)  # told once, however often the object changes

    def _take_over(self, now: float) -> None:
        """Read what has become ours; let go what its owner has told of."""
        while self._left and (first := next(iter(self._left.items())))[1][1] <= now - _KEPT_SECONDS:
            del self._left[first[0]]
        if self._view == (view := self._sharing.view):
            return
        self._view = view
        for uid, (raw, since) in tuple(self._left.items()):
            if not self._sharing.place(uid).before:
                del self._left[uid]
                try:
                    self._seen[uid] = read_object(raw).without_bytes(), since
                except ProtobufError:  # the watch says so of what is not to be read
                    continue
                self._inherited.add(uid)
