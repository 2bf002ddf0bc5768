"""The rate of EdgePolicies: at most so many new certificates in a time, for each namespace. Pure: the time is an argument.

Renewals are not counted: a limit must never let a certificate end.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from signer.api.meta import to_rfc3339
from signer.edge.orders.history import History
from signer.tenancy.claims import shown
from signer.tenancy.world import Rate


@dataclass(frozen=True, slots=True)
class Held:
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


def ask_rates(rates: Sequence[tuple[str, Rate]], of_namespace: Iterable[History], now: dt.datetime) -> Held | None:
    """Whether one more new certificate is within all of these; of several that hold it back, the one that does longest."""
    histories = tuple(of_namespace) if rates else ()
    latest: Held | None = None
    for policy, rate in rates:
        made = sorted(
            at for one in histories if policy in one.policies for at in one.orders if now - rate.per < at <= now
        )
        if len(made) >= rate.certificates:
            until = made[-rate.certificates] + rate.per
            if latest is None or until > latest.until:
                latest = Held(policy, rate, until)
    return latest


def _period(per: dt.timedelta) -> str:
    seconds = int(per.total_seconds())
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
