"""What stays for 7 days when its Gateway goes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signer.api.certificate import IssuerReference
from signer.edge.gateways.wish import Source, Wish
from signer.edge.hosts.retention import KEPT, Fate, Kept, fate, taken_up
from tests.unit.edge.objects import LE, host

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WISH = Wish((Source("Gateway", "foo", "shop", "u"),), "tls", (host("a.example.com"), host("b.example.com")), LE)


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


def kept(**changes: Any) -> Kept:
    fields: dict[str, Any] = {
        "hosts": [host("b.example.com"), host("a.example.com")],
        "issuer": IssuerReference(name="le", kind="ClusterIssuer"),
        "not_after": NOW + 60 * DAY,
        "renewal": NOW + 30 * DAY,
        "key_algorithm": "RSA",
    }
    return Kept(**(fields | changes))


def test_a_gateway_that_returns() -> None:
    """A Gateway that comes back finds its certificate, and nothing is ordered."""
    assert taken_up(kept(), WISH, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"hosts": [host("a.example.com")]},
        {"hosts": [host("a.example.com"), host("b.example.com"), host("c.example.com")]},
        {"issuer": IssuerReference(name="le")},
        {"renewal": NOW},
        {"not_after": NOW - DAY},
        {"placeholder": True},
    ],
    ids=str,
)
def test_another_certificate(changes: dict[str, Any]) -> None:
    """One for other hosts, from another issuer, due for renewal, or a placeholder does not do."""
    assert not taken_up(kept(**changes), WISH, NOW)


def test_another_key() -> None:
    """One of a pair is taken up only with the kind of key that it is for."""
    wish = Wish(WISH.sources, "tls", WISH.hosts, LE, key_algorithm="ECDSA")
    assert not taken_up(kept(), wish, NOW)
    assert taken_up(kept(key_algorithm="ECDSA"), wish, NOW)
