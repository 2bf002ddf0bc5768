"""Writes on a host's claim whether it can be proven, as its Challenges show: for the certificates that go without it.

A Challenge that waits for a minute, or fails, says no; one that is valid says yes. Users' Challenges are never worked on and
say nothing. A queue of its own, as this is news only: no Challenge waits for it. Used on the loop, in the leader.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from signer.api.challenge import Challenge
from signer.api.meta import from_rfc3339
from signer.api.order import FAILED_STATES
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.proven import not_proven, proven
from signer.edge.orders.step import told
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector

WAITS = timedelta(minutes=1)
"""What routes and records may take before anybody is told."""
_UNREAD_RECHECK = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a Challenge shows of its host: "" for proven, else why not; `since` when it began to wait (None: it does not)."""

    text: str
    since: datetime | None = None


def shows(challenge: Challenge) -> Seen | None:
    """Read a Challenge; None where it shows nothing yet, or was never given a turn. Pure."""
    status, meta = challenge.status, challenge.metadata
    if status.state == "valid":
        return Seen("")
    text = told(f"Challenge {meta.namespace}/{meta.name}: {status.reason or f'it is {status.state}'}")
    if status.state in FAILED_STATES:
        return Seen(text)
    since = from_rfc3339(status.presented_at) or from_rfc3339(meta.creation_timestamp)
    return Seen(text, since) if status.processing and status.reason and since is not None else None


class HostsProven:
    """Works off names of HostClaims. `claims` gives those of this term, None before they are there."""

    def __init__(
        self,
        challenges: Reflector[Challenge],
        claims: Callable[[], Claims | None],
        queue: WorkQueue[str],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._claims = claims
        self._clock = clock
        self._seen: dict[str, tuple[str, Seen]] = {}  # by claim: of which Challenge (uid), and what it shows
        self.queue = queue
        challenges.subscribe(self._changed)

    def _changed(self, change: Change[Challenge]) -> None:
        one = change.new or change.old
        if change.kind == "synced" or one is None:
            return
        name = Host(one.spec.dns_name.lower(), wildcard=one.spec.wildcard).claim_name
        seen = shows(one)
        known = self._seen.get(name)
        if change.new is None:
            if known is not None and known[0] == one.metadata.uid and known[1].since is not None:
                del self._seen[name]  # it was given up while it waited, which shows nothing
        elif seen is not None and (known is None or known[1] != seen):
            self._seen[name] = one.metadata.uid, seen
            self.queue.add(name)

    async def reconcile(self, name: str) -> None:
        """Write what was seen of one host, if it is news. Raises ApiError, Unreachable."""
        if name not in self._seen:
            return
        known, claims, now = self._seen[name], self._claims(), self._clock()
        _, seen = known
        left = (seen.since + WAITS - now).total_seconds() if seen.since is not None else 0.0
        if claims is None or left > 0:
            self.queue.add_after(name, left if claims is not None else _UNREAD_RECHECK)
            return
        claim = claims.hosts.store.get(("", name))
        if claim is not None:
            before = claim.status.conditions
            after = not_proven(before, seen.text, now) if seen.text else proven(before, now)
            try:
                if after != before:
                    await claims.write_status(claim, {"conditions": msgspec.to_builtins(after)})
            except Conflict as error:
                self.queue.add_backoff(name, why=error)
                return
            except NotFound:
                pass
        if self._seen.get(name) == known:
            del self._seen[name]
        self.queue.forget(name)
