"""What stays for 7 days when its Gateway goes."""

from datetime import UTC, datetime, timedelta

import pytest

from signer.edge.hosts.retention import KEPT, Fate, fate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("wanted", "unused_since", "found"),
    [
        (True, None, Fate.STAYS),
        (True, NOW - DAY, Fate.NOTE_USED),
        (True, NOW - 30 * DAY, Fate.NOTE_USED),
        (False, None, Fate.NOTE_UNUSED),
        (False, NOW, Fate.STAYS),
        (False, NOW - KEPT + timedelta(seconds=1), Fate.STAYS),
        (False, NOW - KEPT, Fate.REMOVE),
        (False, NOW + 30 * DAY, Fate.STAYS),
    ],
)
def test_fates(wanted: bool, unused_since: datetime | None, found: Fate) -> None:
    """What is wanted stays; what is not is noted, and goes after 7 days, not before."""
    assert fate(wanted=wanted, unused_since=unused_since, now=NOW) is found
