"""Which refusals are told at once, and which are only counted.

A refused workload asks again for ever, and istiod five times for each time it asks: of each kind the first refusal in
a minute is told in full, the others are counted, and their number is told when the minute is over. Pure, given its
time; of both kinds of requests. Used on the loop only.
"""

from collections import OrderedDict
from typing import Literal, NamedTuple

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.observe.audit import AuditLine

WINDOW = 60.0
# More kinds than that at once share one: it takes that many namespaces, all of them refused within a minute.
_KINDS = 4096


class Kind(NamedTuple):
    """What is told together: the namespace that the request is for, if it exists; its signer; the condition's reason."""

    namespace: str
    signer: IssuerRef | None
    reason: str


class Refusals:
    """Counts refusals by kind."""

    def __init__(self) -> None:
        # By the beginning of their minute, the oldest first: (when, how many after the first).
        self._open: OrderedDict[Kind, tuple[float, int]] = OrderedDict()

    def first(self, kind: Kind, now: float) -> bool:
        """Count a refusal; True when it is the first of its kind in its minute, and so to be told."""
        if kind not in self._open and len(self._open) >= _KINDS:
            kind = Kind("", None, kind.reason)
        began = self._open.get(kind)
        if began is None:
            self._open[kind] = (now, 0)
            return True
        self._open[kind] = (began[0], began[1] + 1)
        return False

    def ended(self, now: float) -> list[tuple[Kind, int]]:
        """Close the minutes that are over; returns how many there were of each kind after its first one, if any."""
        found = []
        while self._open:
            kind, (began, count) = next(iter(self._open.items()))
            if began + WINDOW > now:
                break
            del self._open[kind]
            if count:
                found.append((kind, count))
        return found

    def close(self) -> list[tuple[Kind, int]]:
        """Close all minutes, at the end of the process."""
        return self.ended(float("inf"))


def summary(kind: Kind, count: int, time: str, resource: Literal["", "CertificateRequest"] = "") -> AuditLine:
    """Return the audit log's line for `count` refusals that had no lines of their own. `time` is RFC 3339 text."""
    return AuditLine(
        time=time,
        audit="summary",
        resource=resource,
        verdict="refuse",
        signer=signer_name_of(kind.signer) if kind.signer is not None else "",
        namespace=kind.namespace,
        reasons=[kind.reason],
        count=count,
    )
