"""What was ordered for a set of names, and what came of it, as a HostClaim's status keeps it. Pure: the time is an argument.

A record lies on the claim of the first of the names. Tenants cannot write it, and it outlives Certificates, Gateways and
restarts. Limits, pauses after failures and the rate of EdgePolicies follow from it. A rate is of new certificates in a time,
for each namespace: renewals are not counted, as a limit must never let a certificate end.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from issuers.acme.backoff import Attempts, after_failure
from issuers.acme.errors import Failure, Fatal, RetryLater
from issuers.acme.renewal import Life, emergency
from signer.api.hostclaim import IssuanceRecord
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.retry import ends_pause
from signer.api.text import shown
from signer.tenancy.world import Rate

MOST_RECORDS = 16
MOST_TIMES = 8
_MOST_POLICIES = 16
# The CA's longest limit: what is older counts for nothing.
KEPT = dt.timedelta(days=7)
# Who has hardly any time left does not wait longer than this after a failure.
URGENT_PAUSE = dt.timedelta(hours=1)
RATE_LIMITED = "rateLimited"
# The CA does not want these names at all: asked again once a day.
_HOPELESS = frozenset({"rejectedIdentifier", "unsupportedIdentifier"})
NO_ATTEMPTS = Attempts()
_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Obtained:
    """The last certificate: its CertID ("" when it has none) and its life."""

    certificate_id: str
    life: Life


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one set of names (`names`: identifiers.set_key) at one account (its URL).

    `failed_at` is of the last failure; `policies` are the EdgePolicies whose rate counts its new orders.
    """

    names: str
    account: str
    orders: tuple[dt.datetime, ...] = ()
    renewals: tuple[dt.datetime, ...] = ()
    policies: tuple[str, ...] = ()
    attempts: Attempts = NO_ATTEMPTS
    failed_at: dt.datetime | None = None
    obtained: Obtained | None = None

    def ordered(self, now: dt.datetime, policies: Iterable[str], *, renewal: bool) -> "History":
        """With one order more."""
        if renewal:
            return replace(self, renewals=(*self.renewals, now)[-MOST_TIMES:])
        listed = tuple(sorted({*self.policies, *policies}))[:_MOST_POLICIES]
        return replace(self, orders=(*self.orders, now)[-MOST_TIMES:], policies=listed)

    def withdrawn(self, at: dt.datetime) -> "History":
        """Without the order that was counted at that time and did not come about."""
        return replace(
            self,
            orders=tuple(one for one in self.orders if one != at),
            renewals=tuple(one for one in self.renewals if one != at),
        )

    def failed(self, failure: Failure, now: dt.datetime, fraction: float) -> "History":
        """With one failure more; being rate-limited is none, and only names a time."""
        life = self.obtained.life.length if self.obtained is not None else None
        if isinstance(failure, Fatal) and failure.reason not in _HOPELESS:
            # Mended at the issuer or in DNS, by people who then wait for it: the pauses grow, but begin with a minute.
            failure = RetryLater(failure.reason, failure.text)
        attempts = after_failure(self.attempts, failure, now, fraction, life)
        counted = attempts.failures > self.attempts.failures
        return replace(self, attempts=attempts, failed_at=now if counted else self.failed_at)

    def succeeded(self, obtained: Obtained | None = None) -> "History":
        """With no failure any more."""
        return replace(self, attempts=NO_ATTEMPTS, failed_at=None, obtained=obtained or self.obtained)

    def waits_until(self, now: dt.datetime, *, urgent: bool, asked: dt.datetime | None = None) -> dt.datetime | None:
        """Until when it is not ordered again; None when it may be now. What a CA said counts for the urgent too.

        `asked`: when its owner asked for another try, which ends a pause of ours after a failure before that, and no CA's.
        """
        until = self.attempts.not_before
        if until is None or until <= now:
            return None
        if self.attempts.reason != RATE_LIMITED and ends_pause(asked, self.failed_at, now):
            return None
        if urgent and self.attempts.reason != RATE_LIMITED and self.failed_at is not None:
            until = min(until, self.failed_at + URGENT_PAUSE)
        return until if until > now else None

    @property
    def last(self) -> dt.datetime | None:
        """When anything of it happened last."""
        times = [*self.orders[-1:], *self.renewals[-1:], *([self.failed_at] if self.failed_at else [])]
        return max(times, default=None)


def renews(histories: Iterable[History], replaces: str, now: dt.datetime) -> bool:
    """Tell whether an order for a set of names renews what we obtained for it: by its CertID, or past half its life.

    What a tenant's Secret says is not believed: a third of the limits is kept for renewals.
    """
    found = [one.obtained for one in histories if one.obtained is not None]
    return any(
        (replaces and one.certificate_id == replaces) or now >= one.life.start + one.life.length / 2 for one in found
    )


def urgent(histories: Iterable[History], now: dt.datetime) -> bool:
    """Tell whether the newest certificate for a set of names has hardly any life left, or none."""
    newest = max(
        (one.obtained.life for one in histories if one.obtained is not None), key=lambda one: one.end, default=None
    )
    return newest is not None and emergency(newest, now)


def read_history(record: IssuanceRecord) -> History | None:
    """Read a record; None for one that is about nothing. Times that cannot be read are left out."""
    if not record.names or not record.account:
        return None
    start, end = from_rfc3339(record.issued_at), from_rfc3339(record.expires_at)
    return History(
        record.names,
        record.account,
        _times(record.orders),
        _times(record.renewals),
        record.policies[:_MOST_POLICIES],
        Attempts(max(record.failures, 0), from_rfc3339(record.not_before), record.reason),
        from_rfc3339(record.failed_at),
        Obtained(record.certificate, Life(start, end))
        if start is not None and end is not None and start < end
        else None,
    )


def write_history(history: History) -> IssuanceRecord:
    """Return what is stored of it."""
    attempts, obtained = history.attempts, history.obtained
    return IssuanceRecord(
        names=history.names,
        account=history.account,
        orders=tuple(to_rfc3339(one) for one in history.orders),
        renewals=tuple(to_rfc3339(one) for one in history.renewals),
        policies=history.policies,
        failures=attempts.failures,
        failed_at=_text(history.failed_at),
        not_before=_text(attempts.not_before),
        reason=attempts.reason[:64],
        certificate=obtained.certificate_id if obtained is not None else "",
        issued_at=to_rfc3339(obtained.life.start) if obtained is not None else None,
        expires_at=to_rfc3339(obtained.life.end) if obtained is not None else None,
    )


def pruned(histories: Iterable[History], now: dt.datetime) -> tuple[History, ...]:
    """What is worth keeping of one claim's records, the newest last: times of the last week, 16 records at most."""
    kept = []
    for one in histories:
        fresh = replace(
            one,
            orders=tuple(at for at in one.orders if at > now - KEPT),
            renewals=tuple(at for at in one.renewals if at > now - KEPT),
        )
        if fresh.obtained is not None and fresh.obtained.life.end < now - KEPT:
            fresh = replace(fresh, obtained=None)
        # A failure counts also without a pause: it may have led to the next issuer.
        troubles = (fresh.attempts.not_before, fresh.failed_at)
        troubled = any(at is not None and at > now - KEPT for at in troubles)
        if fresh.orders or fresh.renewals or fresh.obtained is not None or troubled:
            kept.append(fresh)
    kept.sort(key=lambda one: (one.last or _LONG_AGO, one.names, one.account))
    return tuple(kept[-MOST_RECORDS:])


@dataclass(frozen=True, slots=True)
class HeldByRate:
    """Not before `until`, by the rate of this EdgePolicy."""

    policy: str
    rate: Rate
    until: dt.datetime

    def text(self, namespace: str) -> str:
        """All of it, for people."""
        return (
            f"EdgePolicy {shown(self.policy)}: rate: namespace {namespace} had {self.rate.certificates} new certificates"
            f" in {_period(self.rate.per)}; the next is ordered at {to_rfc3339(self.until)}"
        )


def ask_rates(
    rates: Sequence[tuple[str, Rate]], of_namespace: Iterable[History], now: dt.datetime
) -> HeldByRate | None:
    """Whether one more new certificate is within all of these; of several that hold it back, the one that does longest."""
    histories = tuple(of_namespace) if rates else ()
    latest: HeldByRate | None = None
    for policy, rate in rates:
        made = sorted(
            at for one in histories if policy in one.policies for at in one.orders if now - rate.per < at <= now
        )
        if len(made) >= rate.certificates:
            until = made[-rate.certificates] + rate.per
            if latest is None or until > latest.until:
                latest = HeldByRate(policy, rate, until)
    return latest


def _period(per: dt.timedelta) -> str:
    seconds = int(per.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _times(texts: Iterable[str]) -> tuple[dt.datetime, ...]:
    found = (from_rfc3339(text) for text in texts)
    return tuple(sorted(one for one in found if one is not None))[-MOST_TIMES:]


def _text(moment: dt.datetime | None) -> str | None:
    return to_rfc3339(moment) if moment is not None else None
