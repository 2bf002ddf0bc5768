"""What stays when the object that wanted it goes: for 7 days, so that a GitOps re-creation spends none of a CA's limits.

Pure. Secrets and HostClaims follow the same rule: noted as unused, taken up again, removed at the end.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from signer.api.certificate import IssuerReference
from signer.edge.gateways.wish import Wish
from signer.edge.host import Host

KEPT = timedelta(days=7)


class Fate(Enum):
    """What to do with something that was made for an object."""

    STAYS = "stays"
    NOTE_UNUSED = "note that it is unused from now on"
    NOTE_USED = "note that it is used again"
    REMOVE = "remove"


def fate(*, wanted: bool, unused_since: datetime | None, now: datetime) -> Fate:
    """Decide about one Secret or claim. A time in the future (a clock put right) counts as now."""
    if wanted:
        return Fate.STAYS if unused_since is None else Fate.NOTE_USED
    if unused_since is None:
        return Fate.NOTE_UNUSED
    return Fate.REMOVE if now - min(unused_since, now) >= KEPT else Fate.STAYS


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate in a Secret that was kept: what it is for, from whom, when it ends and was due for renewal."""

    hosts: Collection[Host]
    issuer: IssuerReference
    not_after: datetime
    renewal: datetime
    key_algorithm: str = ""
    placeholder: bool = False


def taken_up(kept: Kept, wish: Wish, now: datetime) -> bool:
    """Tell whether a kept certificate serves a wish as it is, so that nothing is ordered until its renewal."""
    return (
        not kept.placeholder
        and set(kept.hosts) == set(wish.hosts)
        and kept.issuer.normal() == wish.issuer.normal()
        and (not wish.key_algorithm or kept.key_algorithm == wish.key_algorithm)
        and now < min(kept.renewal, kept.not_after)
    )
