"""Before an order goes to a CA: pauses after failures, the rate of EdgePolicies, and our own limits before the CA's.

Used on the loop, in the leader. What is counted is in memory at once and then on a HostClaim (history.py), which is
read again at the start of a term. Names without a claim are counted in memory only.
"""

import datetime as dt
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from issuers.acme import limits
from issuers.acme.backoff import Attempts
from issuers.acme.errors import Failure
from issuers.acme.identifiers import set_key
from issuers.acme.order import Authorization, AuthorizationStatus, Wish
from signer.api.meta import to_rfc3339
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.issuers.accounts import Account, Accounts
from signer.edge.orders.history import HeldByRate, History, Obtained, ask_rates, renews, urgent
from signer.edge.orders.records import OrderRecords, claim_of, named
from signer.tenancy.world import Rate


@dataclass(frozen=True, slots=True)
class Waits:
    """It is not ordered before `until`; `text` says why, and until when."""

    code: str
    text: str
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """It may be ordered, and was counted at `at`: `stored` when it came about, `withdrawn` when it did not."""

    claim: str
    asking: limits.Asking
    at: dt.datetime


class OrderGate:
    """Asked before each order. `claims` gives those of this term, None before they are there; without it there are none.

    `on_released` is for whoever wants to know that a claim was removed with its records: what waited may go on.
    """

    def __init__(
        self,
        accounts: Accounts,
        claims: Callable[[], Claims | None] | None,
        *,
        clock: Callable[[], dt.datetime],
        fraction: Callable[[], float] = random.random,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._fraction = fraction
        self._overdue: set[str] = set()
        self._records = OrderRecords(claims, self._count_again, clock=clock)
        self.on_released = self._records.on_released

    # -- what is asked --

    def is_inherited(self, proof: Authorization) -> bool:
        """Tell whether a name is valid at a shared account since before its owner of now had it: another proved it, then.

        Without claims nobody owns names. Raises Unreachable while they were not read.
        """
        claims = self._records.claims()
        if claims is None or proof.status is not AuthorizationStatus.VALID:
            return False
        claim = claims.claims.get(Host(proof.identifier.base, proof.identifier.wildcard).claim_name)
        return claim is None or claim.made is None or not proof.proven_since(claim.made)

    def ask(
        self,
        account: Account,
        namespace: str,
        wish: Wish,
        rates: Sequence[tuple[str, Rate]] = (),
        *,
        asked: dt.datetime | None = None,
    ) -> Counted | Waits:
        """Whether this may be ordered now. Raises Unreachable while claims were not read; `namespace` is the Order's.

        The namespace that counts is the one that has the hosts, which may be another than that of the Secret. `rates` are
        those of the EdgePolicies that grant the hosts, by policy. `asked`: when its owner asked for another try: that ends a
        pause after failures, and nothing else that holds it back.
        """
        self._records.claims()
        now = self._clock()
        claim, names = claim_of(wish), set_key(wish.identifiers)
        owner = self._records.owner(claim)
        namespace = owner or namespace
        known = self._records.of_set(claim, names)
        renewal, hurry = renews(known, wish.replaces or "", now), self._urgent(known, now)
        history = self._records.history(claim, names, account.url)
        if (until := history.waits_until(now, urgent=hurry, asked=asked)) is not None:
            why = f"the last {history.attempts.failures} failed" if history.attempts.failures else "the CA says so"
            text = (
                f"not ordered again before {to_rfc3339(until)}, after {history.attempts.reason or 'a failure'} ({why})"
            )
            return Waits("BackingOff", text, until)
        policies: tuple[str, ...] = ()
        if owner and not (renewal or hurry):
            held = ask_rates(rates, self._records.of_namespace(namespace), now)
            if isinstance(held, HeldByRate):
                return Waits("PolicyRate", held.text(namespace), held.until)
            policies = tuple(name for name, _ in rates)
        asking = limits.Asking(
            account.url, namespace, names, tuple(one.value for one in wish.identifiers), renewal=renewal or hurry
        )
        spent = self._accounts.spent
        if not hurry:
            room = limits.ask(self._accounts.bounds, spent, asking, now)
            if isinstance(room, limits.Held):
                which = f"{room.limit} {room.subject}".strip()
                text = f"held back, to stay within the CA's limits ({which}), until {to_rfc3339(room.until)}"
                return Waits("LimitReached", text, room.until)
        self._accounts.spent = limits.forget_full(
            self._accounts.bounds, limits.count(self._accounts.bounds, spent, asking, now), now
        )
        self._records.keep(claim, history.ordered(now, policies, renewal=renewal))
        return Counted(claim, asking, now)

    def left(self, account: Account) -> float:
        """How many new orders an account may still make before we hold them back."""
        key = limits.Key(account.url, "orders")
        return limits.remaining(self._accounts.bounds, self._accounts.spent, key, self._clock())

    def attempts(self, account: Account, names: Iterable[str]) -> Attempts:
        """What is known of failures for these names (DNS names, sorted or not) at this account."""
        self._records.claims()
        claim, key = named(names)
        return self._records.history(claim, key, account.url).attempts

    def known(self, names: Iterable[str]) -> bool:
        """Whether a certificate for exactly these names was obtained before."""
        self._records.claims()
        claim, key = named(names)
        return any(one.obtained is not None for one in self._records.of_set(claim, key))

    def hurries(self, names: Iterable[str]) -> bool:
        """Whether the certificate for these names is nearly at its end, or its CA says that it should be gone."""
        self._records.claims()
        claim, key = named(names)
        return self._urgent(self._records.of_set(claim, key), self._clock())

    def overdue(self, certificate_id: str) -> None:
        """The window that the CA advises for this certificate is past: it is replaced as one that is nearly at its end."""
        if self._records.obtained(certificate_id):
            self._overdue.add(certificate_id)

    # -- what came of it --

    async def stored(self, counted: Counted) -> None:
        """The order was made: put it on record."""
        await self._records.store(counted.claim)

    def withdrawn(self, counted: Counted) -> None:
        """The CA refused it, or did not answer: uncount it."""
        now, asking = self._clock(), counted.asking
        self._accounts.spent = limits.give_back(self._accounts.bounds, self._accounts.spent, asking, now)
        history = self._records.history(counted.claim, asking.set_key, asking.issuer)
        self._records.keep(counted.claim, history.withdrawn(counted.at))

    async def failed(self, account: Account, namespace: str, wish: Wish, failure: Failure, *, proven_not: bool) -> None:
        """An order failed, or was told to wait; `proven_not`: a validation failed, which CAs count too."""
        claim, key, now = claim_of(wish), set_key(wish.identifiers), self._clock()
        history = self._records.history(claim, key, account.url).failed(failure, now, self._fraction())
        self._records.keep(claim, history)
        if proven_not:
            names = [one.value for one in wish.identifiers]
            self._accounts.spent = limits.count_failures(
                self._accounts.bounds,
                self._accounts.spent,
                account.url,
                self._records.owner(claim) or namespace,
                names,
                now,
            )
        await self._records.store(claim)

    async def gave_up(self, account: Account, wish: Wish, why: str, enough: int) -> None:
        """The CA was away for so long that another is tried: it counts as that many failures, without a pause."""
        claim, key, now = claim_of(wish), set_key(wish.identifiers), self._clock()
        history = self._records.history(claim, key, account.url)
        attempts = Attempts(max(history.attempts.failures, enough), history.attempts.not_before, why)
        self._records.keep(claim, replace(history, attempts=attempts, failed_at=now))
        await self._records.store(claim)

    async def obtained(self, account: Account, wish: Wish, got: Obtained) -> None:
        """A certificate was obtained. Failures at other CAs are forgotten too: the next renewal begins with the first."""
        claim, key = claim_of(wish), set_key(wish.identifiers)
        for one in self._records.of_set(claim, key):
            if one.account != account.url:
                self._records.keep(claim, one.succeeded())
        self._records.keep(claim, self._records.history(claim, key, account.url).succeeded(got))
        await self._records.store(claim)

    # -- what it rests on --

    def _urgent(self, known: Iterable[History], now: dt.datetime) -> bool:
        known = tuple(known)
        return urgent(known, now) or any(
            one.obtained is not None and one.obtained.certificate_id in self._overdue for one in known
        )

    def _count_again(self, found: list[tuple[str, History]]) -> None:
        self._accounts.spent = replayed(self._accounts.bounds, self._accounts.spent, found, self._clock())


def replayed(
    bounds: limits.Limits, spent: limits.State, found: Iterable[tuple[str, History]], now: dt.datetime
) -> limits.State:
    """The buckets as they were left: every order on record counted again, in the order of time."""
    made = sorted(
        (at, namespace, history.names, history.account, renewal)
        for namespace, history in found
        for renewal, times in ((False, history.orders), (True, history.renewals))
        for at in times
        if at <= now
    )
    for at, namespace, names, account, renewal in made:
        spent = limits.count(bounds, spent, limits.Asking(account, namespace, names, (), renewal), at)
    return limits.forget_full(bounds, spent, now)
