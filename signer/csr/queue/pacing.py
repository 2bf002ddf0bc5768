"""Requests that are over their policy's rate wait for it, in order: never refused, never lost.

Each replica counts by itself. Used on the loop only.
"""

import asyncio
from collections.abc import Callable

from signer.csr.queue.backlog import Backlog, Pending
from signer.csr.queue.buckets import Buckets, Limited
from signer.csr.record import Record
from signer.tenancy.verdict import Grant

WAITS_FOR_RATE = "RateLimited"
# What waits longer is decided anew: the policy may have changed.
_RECHECK = 30.0


class Pacing:
    """Puts requests of `backlog` aside, and gives them their turn one by one. `clock` is monotonic, in seconds."""

    def __init__(self, backlog: Backlog, record: Record, clock: Callable[[], float]) -> None:
        self._backlog = backlog
        self._record = record
        self._clock = clock
        self._buckets = Buckets()
        self._timers: dict[Limited, asyncio.TimerHandle] = {}

    def holds(self, pending: Pending, grant: Grant) -> bool:
        """Put a request aside if its rate says so; False when it may be issued now, which is then counted."""
        if grant.rate is None or pending.paid:
            return False
        limited = Limited(grant.rate, grant.namespace, pending.ref)
        if not self._backlog.waiting_on(limited):
            wait = self._buckets.take(limited, self._clock())
            if not wait:
                pending.paid = True
                return False
            self._await_token(limited, wait)
        self._tell(pending, limited)
        self._backlog.park(pending, reason=WAITS_FOR_RATE, topic=limited, seconds=_RECHECK)
        return True

    def close(self) -> None:
        """End all timers."""
        for timer in self._timers.values():
            timer.cancel()

    def _tell(self, pending: Pending, limited: Limited) -> None:
        if WAITS_FOR_RATE not in pending.told:
            self._record.rate_limited(pending, limited.namespace)
        rate = limited.rate
        message = (
            f"Waiting: a SignerPolicy allows namespace {limited.namespace} {rate.certificates} certificates of "
            f"{limited.signer} in {rate.per.total_seconds():g} s"
        )
        self._record.tell(pending, "Warning", "RateLimited", message)

    def _await_token(self, limited: Limited, wait: float) -> None:
        if limited not in self._timers:
            self._timers[limited] = asyncio.get_running_loop().call_later(wait, self._token, limited)

    def _token(self, limited: Limited) -> None:
        """There is room again, for the first one that waits."""
        del self._timers[limited]
        while self._backlog.waiting_on(limited):
            if wait := self._buckets.take(limited, self._clock()):
                self._await_token(limited, wait)
                return
            for pending in self._backlog.release(limited, 1):
                pending.paid = True
