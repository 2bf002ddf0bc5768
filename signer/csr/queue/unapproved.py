"""The requests that nobody has approved yet: nothing is ever written to them, but after a while an Event says so.

Used on the loop only.
"""

from collections.abc import Callable, KeysView

from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.csr.record import Record

_PATIENCE = 5.0


class Unapproved:
    """By uid. `clock` is monotonic, in seconds."""

    def __init__(self, record: Record, clock: Callable[[], float]) -> None:
        self._record = record
        self._clock = clock
        self._seen: dict[str, tuple[CertificateSigningRequest, float]] = {}

    @property
    def uids(self) -> KeysView[str]:
        """A view of those that wait now."""
        return self._seen.keys()

    def put(self, csr: CertificateSigningRequest) -> None:
        """Take a request in; one that is known already keeps its time."""
        self._seen.setdefault(csr.uid, (csr, self._clock()))

    def remove(self, uid: str) -> None:
        """Forget a request that was approved, answered or deleted."""
        self._seen.pop(uid, None)

    def turn(self) -> None:
        """Tell of those that have waited for some seconds. To be called each second or so."""
        late = self._clock() - _PATIENCE
        for uid, (csr, since) in tuple(self._seen.items()):
            if since <= late:
                self._seen[uid] = (csr, float("inf"))  # told once, however often the object changes
                self._record.waits_for_approval(csr)
