"""The gate before a CA: what it counts, whom it holds back and until when, and what a restart remembers."""

import datetime as dt
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from issuers.acme import limits
from issuers.acme.errors import RateLimited, RetryLater
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish
from issuers.acme.renewal import Life
from signer.edge.issuers.accounts import Account, Accounts
from signer.edge.orders.gate import Counted, OrderGate, Waits, replayed
from signer.edge.orders.history import History, Obtained
from signer.kube.errors import Unreachable

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
# The gate asks it for its URL only.
ACCOUNT, OTHER = (cast("Account", SimpleNamespace(url=f"https://ca/account/{one}")) for one in (1, 2))


class Clock:
    """The time, set by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def accounts() -> AsyncIterator[Accounts]:
    found = Accounts()
    yield found
    await found.close()


@pytest.fixture
def gate(accounts: Accounts, clock: Clock) -> OrderGate:
    """A gate that keeps everything in memory, and adds nothing by chance."""
    return OrderGate(accounts, None, clock=clock, fraction=lambda: 0.0)


def wish(*names: str, replaces: str | None = None) -> Wish:
    return Wish(identifiers(names or ("a.example",)), replaces=replaces)


def granted(found: Counted | Waits) -> Counted:
    assert isinstance(found, Counted), found
    return found


def held(found: Counted | Waits) -> Waits:
    assert isinstance(found, Waits)
    return found


async def test_the_same_names(gate: OrderGate) -> None:
    """Three certificates for the same names pass, the fourth is told when: two of five are for renewals."""
    for _ in range(3):
        granted(gate.ask(ACCOUNT, "shop", wish("a.example", "b.example")))
    found = held(gate.ask(ACCOUNT, "shop", wish("b.example", "a.example")))
    assert found.code == "LimitReached"
    assert "same_set" in found.text
    assert found.until > NOW + 12 * HOUR
    granted(gate.ask(ACCOUNT, "shop", wish("a.example")))
    granted(gate.ask(OTHER, "shop", wish("b.example", "a.example")))


async def test_what_did_not_come_about(gate: OrderGate) -> None:
    """An order that the CA refused or did not answer costs nothing."""
    for _ in range(50):
        gate.withdrawn(granted(gate.ask(ACCOUNT, "shop", wish())))
    assert gate.left(ACCOUNT) == 300


async def test_pauses(gate: OrderGate, clock: Clock) -> None:
    """After a failure these names wait, at this account, until the time that is told; others do not."""
    await gate.failed(ACCOUNT, "shop", wish(), RetryLater("unauthorized", "no"), proven_not=True)
    found = held(gate.ask(ACCOUNT, "shop", wish()))
    assert (found.code, found.until) == ("BackingOff", NOW + MINUTE)
    assert "2026-11-23T12:01:00Z" in found.text
    granted(gate.ask(ACCOUNT, "shop", wish("other.example")))
    granted(gate.ask(OTHER, "shop", wish()))
    clock.now += MINUTE
    granted(gate.ask(ACCOUNT, "shop", wish()))


async def test_rate_limited(gate: OrderGate) -> None:
    """A 429 is waited for, and is a failure neither for the pauses nor for the choice of an issuer."""
    await gate.failed(ACCOUNT, "shop", wish(), RateLimited("slow down", NOW + HOUR), proven_not=False)
    assert held(gate.ask(ACCOUNT, "shop", wish())).until == NOW + HOUR
    assert gate.attempts(ACCOUNT, ["a.example"]).failures == 0


async def test_success_forgets_at_all_accounts(gate: OrderGate) -> None:
    """A certificate from the issuer that stood in ends the failures at the first: the next renewal begins there."""
    for _ in range(2):
        await gate.failed(ACCOUNT, "shop", wish(), RetryLater("serverInternal", "no"), proven_not=False)
    assert gate.attempts(ACCOUNT, ["a.example"]).failures == 2
    await gate.obtained(OTHER, wish(), Obtained("id.1", Life(NOW, NOW + 90 * DAY)))
    assert gate.attempts(ACCOUNT, ["a.example"]).failures == 0
    assert gate.known(["a.example"])
    assert not gate.known(["a.example", "b.example"])


async def test_given_up(gate: OrderGate) -> None:
    """A CA that was away for too long counts as one that failed often, though these names wait for nothing."""
    gate.withdrawn(granted(gate.ask(ACCOUNT, "shop", wish())))
    await gate.gave_up(ACCOUNT, wish(), "Unreachable", 2)
    assert gate.attempts(ACCOUNT, ["a.example"]).failures == 2
    granted(gate.ask(ACCOUNT, "shop", wish()))


async def test_at_its_end(gate: OrderGate, clock: Clock) -> None:
    """Who has a twentieth of the life left passes the limits, and a pause after an hour."""
    for _ in range(3):
        granted(gate.ask(ACCOUNT, "shop", wish()))
    await gate.obtained(ACCOUNT, wish(), Obtained("id.1", Life(NOW, NOW + 6 * DAY)))
    held(gate.ask(ACCOUNT, "shop", wish()))
    clock.now = NOW + 6 * DAY - 7 * HOUR
    assert gate.hurries(["a.example"])
    for _ in range(7):
        await gate.failed(ACCOUNT, "shop", wish(), RetryLater("unauthorized", "no"), proven_not=True)
    assert held(gate.ask(ACCOUNT, "shop", wish())).until == clock.now + HOUR
    clock.now += HOUR
    for _ in range(9):
        granted(gate.ask(ACCOUNT, "shop", wish()))


async def test_what_its_ca_gave_up(gate: OrderGate) -> None:
    """A certificate whose window is past goes before the limits; one that we never obtained does not, whoever shows it."""
    for _ in range(3):
        granted(gate.ask(ACCOUNT, "shop", wish()))
    await gate.obtained(ACCOUNT, wish(), Obtained("ours.1", Life(NOW, NOW + 90 * DAY)))
    gate.overdue("theirs.2")
    held(gate.ask(ACCOUNT, "shop", wish()))
    gate.overdue("ours.1")
    granted(gate.ask(ACCOUNT, "shop", wish()))


async def test_renewals_have_their_third(gate: OrderGate) -> None:
    """A renewal by the CertID on record has what is kept; one that only says so has not."""
    for _ in range(3):
        granted(gate.ask(ACCOUNT, "shop", wish()))
    await gate.obtained(ACCOUNT, wish(), Obtained("ours.1", Life(NOW, NOW + 90 * DAY)))
    held(gate.ask(ACCOUNT, "shop", wish(replaces="made.up")))
    granted(gate.ask(ACCOUNT, "shop", wish(replaces="ours.1")))


async def test_before_claims_are_read(accounts: Accounts, clock: Clock) -> None:
    """Nothing is granted while what was ordered is not read."""
    not_yet: Callable[[], Any] = lambda: None  # noqa: E731 - of one line
    gate = OrderGate(accounts, not_yet, clock=clock)
    with pytest.raises(Unreachable):
        gate.ask(ACCOUNT, "shop", wish())
    with pytest.raises(Unreachable):
        gate.known(["a.example"])


def test_counted_again() -> None:
    """After a restart the buckets are as they were: of the account, of the namespace, and of the set of names."""
    history = History("set", "https://ca/account/1")
    for ago in (2, 1):
        history = history.ordered(NOW - ago * MINUTE, [], renewal=False)
    history = history.ordered(NOW - MINUTE, [], renewal=True).ordered(NOW - 2 * DAY, [], renewal=True)
    bounds = limits.Limits()
    state = replayed(bounds, {}, [("shop", history)], NOW)
    before = {
        limit: limits.remaining(bounds, state, limits.Key(history.account, limit, subject), NOW)
        for limit, subject in (("orders", ""), ("namespace", "shop"), ("same_set", "set"))
    }
    assert 297 <= before["orders"] < 300
    assert 97 <= before["namespace"] < 98.5
    assert 2.0 < before["same_set"] < 2.1


async def test_an_owner_ends_a_pause_within_the_limits(gate: OrderGate, clock: Clock) -> None:
    """Each word of an owner ends one pause after a failure; failed validations count all the same, and so it ends at the CA's limit."""
    tries = 0
    asked: dt.datetime | None = None
    for _ in range(20):
        found = gate.ask(ACCOUNT, "foo", wish(), asked=asked)
        if isinstance(found, Waits):
            break
        tries += 1
        await gate.failed(ACCOUNT, "foo", wish(), RetryLater("dns", "no"), proven_not=True)
        assert isinstance(gate.ask(ACCOUNT, "foo", wish(), asked=asked), Waits), "the old word counts no more"
        clock.now += dt.timedelta(seconds=30)
        asked = clock.now
    assert 1 < tries <= 5, "Let's Encrypt has five failed validations in an hour for a name"
    assert isinstance(found, Waits)
    assert found.code == "LimitReached"


async def test_an_owner_does_not_end_what_the_ca_says(gate: OrderGate, clock: Clock) -> None:
    """A CA that is to be left alone is left alone, also after a failure that was none of its limits."""
    await gate.failed(ACCOUNT, "foo", wish(), RetryLater("dns", "no"), proven_not=False)
    await gate.failed(ACCOUNT, "foo", wish(), RateLimited("later", NOW + HOUR), proven_not=False)
    clock.now += MINUTE
    found = gate.ask(ACCOUNT, "foo", wish(), asked=clock.now)
    assert isinstance(found, Waits)
    assert found.until == NOW + HOUR
