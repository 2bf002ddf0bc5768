"""What is kept of orders on a HostClaim: counted, read again, bounded, and believed where tenants are not."""

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import Fatal, RateLimited, RetryLater
from issuers.acme.renewal import Life
from signer.api.hostclaim import HostClaim, IssuanceRecord
from signer.edge.orders.history import (
    MOST_RECORDS,
    MOST_TIMES,
    History,
    Obtained,
    pruned,
    read_history,
    renews,
    urgent,
    write_history,
)

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
NEW = History("set", "https://ca/account/1")
UNAUTHORIZED = RetryLater("unauthorized", "no")


def obtained(start: dt.datetime, days: float, name: str = "id.1") -> Obtained:
    return Obtained(name, Life(start, start + days * DAY))


def waited(history: History, now: dt.datetime = NOW) -> dt.timedelta:
    until = history.waits_until(now, urgent=False)
    return until - now if until is not None else dt.timedelta()


def test_pauses_grow() -> None:
    """Each failure in a row leads to a longer pause: a minute, ten, a hundred, a day."""
    history, pauses = NEW, []
    for _ in range(5):
        history = history.failed(UNAUTHORIZED, NOW, 0.0)
        pauses.append(waited(history))
    assert pauses == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY]
    assert history.waits_until(NOW + DAY, urgent=False) is None


def test_what_people_mend_is_tried_soon() -> None:
    """A CAA record or an issuer's setting is mended by people who wait for it; names that are not wanted wait a day."""
    assert waited(NEW.failed(Fatal("caa", "no"), NOW, 0.0)) == MINUTE
    assert waited(NEW.failed(Fatal("invalidProfile", "no"), NOW, 0.0)) == MINUTE
    assert waited(NEW.failed(Fatal("rejectedIdentifier", "no"), NOW, 0.0)) == DAY


def test_rate_limited_is_no_failure() -> None:
    """A 429 is waited for, counts as no failure, and is not shortened for those that hurry."""
    history = NEW.failed(RateLimited("slow down", NOW + 5 * HOUR), NOW, 0.0)
    assert history.attempts.failures == 0
    assert history.failed_at is None
    assert history.waits_until(NOW, urgent=True) == NOW + 5 * HOUR
    after_failures = NEW.failed(UNAUTHORIZED, NOW, 0.0).failed(RateLimited("slow down", NOW + 5 * HOUR), NOW, 0.0)
    assert after_failures.attempts.failures == 1
    assert after_failures.waits_until(NOW, urgent=True) == NOW + 5 * HOUR


def test_the_urgent_wait_an_hour() -> None:
    """Who has hardly any life left waits an hour after a failure, not a day."""
    history = NEW
    for _ in range(4):
        history = history.failed(UNAUTHORIZED, NOW, 0.0)
    assert history.waits_until(NOW, urgent=True) == NOW + HOUR
    assert history.waits_until(NOW + HOUR, urgent=True) is None
    assert history.waits_until(NOW + HOUR, urgent=False) == NOW + DAY


def test_short_lives_wait_less() -> None:
    """A certificate of six days is tried again within a twelfth of its life."""
    history = NEW.succeeded(obtained(NOW, 6))
    for _ in range(5):
        history = history.failed(UNAUTHORIZED, NOW, 0.0)
    assert waited(history) == 12 * HOUR


def test_success_ends_the_pause() -> None:
    """A certificate ends the pauses; the next failure begins with a minute again."""
    history = NEW.failed(UNAUTHORIZED, NOW, 0.0).failed(UNAUTHORIZED, NOW, 0.0).succeeded(obtained(NOW, 90))
    assert waited(history) == dt.timedelta()
    assert waited(history.failed(UNAUTHORIZED, NOW, 0.0)) == MINUTE


def test_a_renewal_is_of_what_we_obtained() -> None:
    """Only the CertID of a certificate on record, or one past half its life, makes an order a renewal."""
    known = [NEW.succeeded(obtained(NOW, 90, "ours.1"))]
    assert renews(known, "ours.1", NOW)
    assert not renews(known, "theirs.2", NOW)
    assert not renews(known, "", NOW + 44 * DAY)
    assert renews(known, "", NOW + 46 * DAY)
    assert not renews([NEW], "ours.1", NOW)


def test_urgent_is_the_newest() -> None:
    """The newest certificate decides: a twentieth of its life is left, or less, or none."""
    old, new = NEW.succeeded(obtained(NOW - 100 * DAY, 90)), NEW.succeeded(obtained(NOW - 86 * DAY, 90))
    assert urgent([new], NOW)
    assert not urgent([new], NOW - DAY)
    assert urgent([old], NOW)
    assert not urgent([old, NEW.succeeded(obtained(NOW, 90))], NOW)
    assert not urgent([NEW], NOW)


@given(
    st.lists(st.integers(0, 600_000), max_size=12),
    st.integers(0, 7),
    st.booleans(),
    st.sampled_from([UNAUTHORIZED, RateLimited("later", NOW + HOUR), Fatal("rejectedIdentifier", "no")]),
)
def test_read_as_it_was_written(ago: list[int], failures: int, renewal: bool, failure: RetryLater | Fatal) -> None:
    """What is stored gives back what was kept, in whole seconds."""
    history = NEW
    for seconds in sorted(ago, reverse=True):
        history = history.ordered(NOW - dt.timedelta(seconds=seconds), ["b", "a"], renewal=renewal)
    for _ in range(failures):
        history = history.failed(failure, NOW, 0.0)
    if failures % 2:
        history = history.succeeded(obtained(NOW, 47))
    raw = {"metadata": {"name": "a.example"}, "status": {"issuances": [msgspec.to_builtins(write_history(history))]}}
    (record,) = msgspec.convert(raw, HostClaim).status.issuances
    assert read_history(record) == history


@pytest.mark.parametrize(
    "record",
    [
        IssuanceRecord(),
        IssuanceRecord(names="s"),
        IssuanceRecord(account="a"),
        IssuanceRecord(names="s", account="a", orders=("yesterday", ""), failures=-3, issued_at="x", expires_at="y"),
        IssuanceRecord(names="s", account="a", issued_at="2026-02-01T00:00:00Z", expires_at="2026-01-01T00:00:00Z"),
    ],
)
def test_what_cannot_be_read_says_nothing(record: IssuanceRecord) -> None:
    """A record that was written wrongly stops nothing and grants nothing."""
    history = read_history(record)
    assert history is None or (history.orders == () and history.obtained is None and history.attempts.failures == 0)


def test_bounded() -> None:
    """What is kept does not grow: the newest times of a set, the newest sets of a claim, and nothing after its week."""
    many = [History(f"s{one}", "a").ordered(NOW - one * MINUTE, [], renewal=False) for one in range(40)]
    kept = pruned(many, NOW)
    assert [one.names for one in kept] == [f"s{one}" for one in reversed(range(MOST_RECORDS))]
    often = NEW
    for one in range(40):
        often = often.ordered(NOW + one * MINUTE, [f"p{one}"], renewal=False)
    assert len(often.orders) == MOST_TIMES
    assert len(often.policies) <= 16
    assert pruned([NEW.ordered(NOW, [], renewal=False)], NOW + 8 * DAY) == ()
    assert pruned([NEW.succeeded(obtained(NOW, 90))], NOW + 80 * DAY) != ()
