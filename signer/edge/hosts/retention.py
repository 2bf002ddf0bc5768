"""What stays when the object that wanted it goes: for 7 days, so that a GitOps re-creation spends none of a CA's limits.

Pure. Secrets and HostClaims follow the same rule: noted as unused, taken up again, removed at the end.
"""

from datetime import datetime, timedelta
from enum import Enum

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
