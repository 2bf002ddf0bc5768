"""The condition Proven of HostClaims, and which hosts a certificate goes without, since they cannot be proven. Pure.

One host whose name leads nowhere any more must not take the others with it: near the end of what is served they get a
certificate without it. What was proven since it failed is no such host, whatever the condition still says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from signer.api.meta import Condition, find_condition, from_rfc3339, set_condition
from signer.edge.host import Host

PROVEN = "Proven"
"""The type of the condition. It is False from the first try that fails or waits to the next that succeeds, else mostly absent."""
NOT_PROVEN = "HostNotProven"
PATIENCE = timedelta(hours=1)
"""How long a host may be unproven before a certificate is made without it: DNS records take their time."""
_NEAR_END = 6
"""A sixth of the life is left: half of the time for renewal has passed, and there is time for retries within a CA's limits."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The certificate that a gateway's Secret holds: its names, and from when to when it is valid."""

    names: frozenset[str]
    start: datetime
    end: datetime

    @property
    def near_end(self) -> datetime:
        """From when on the hosts that can be proven do not wait for the others."""
        return self.end - (self.end - self.start) / _NEAR_END


@dataclass(frozen=True, slots=True)
class Without:
    """`dead` are the hosts that cannot be proven; `left_out`: the certificate is made without them now.

    `again` is when this is another answer, if nothing else changes; None for never.
    """

    dead: tuple[Host, ...] = ()
    left_out: bool = False
    again: datetime | None = None


def not_proven(before: Sequence[Condition], text: str, now: datetime) -> tuple[Condition, ...]:
    """Return a claim's conditions with what keeps its host from being proven."""
    return set_condition(before, PROVEN, "False", reason=NOT_PROVEN, message=text, now=now)


def proven(before: Sequence[Condition], now: datetime) -> tuple[Condition, ...]:
    """Return a claim's conditions, where they said that its host is not proven, with that it is."""
    found = find_condition(before, PROVEN)
    if found is None or found.status == "True":
        return tuple(before)
    return set_condition(before, PROVEN, "True", reason="Proven", message="a CA has verified the host", now=now)


def unproven(conditions: Iterable[Condition]) -> Condition | None:
    """The condition, where it says that the host is not proven."""
    found = find_condition(tuple(conditions), PROVEN)
    return found if found is not None and found.status == "False" else None


def without(hosts: Sequence[Host], failing: Mapping[Host, Condition], in_use: InUse | None, now: datetime) -> Without:
    """Decide whether a certificate for these hosts is to be had without those that cannot be proven.

    `failing`: the conditions that say so; `in_use`: None where nothing valid is served. If none can be proven, none is left out.
    """
    dead: list[Host] = []
    times: list[datetime] = []
    for host in hosts:
        since = from_rfc3339(failing[host].last_transition_time) if host in failing else None
        if since is None or (in_use is not None and in_use.start > since and host.is_in(in_use.names)):
            continue
        if now - since < PATIENCE:
            times.append(since + PATIENCE)
        else:
            dead.append(host)
    near_end = in_use is None or now >= in_use.near_end
    if dead and in_use is not None and not near_end:
        times.append(in_use.near_end)
    left_out = near_end and 0 < len(dead) < len(hosts)
    return Without(tuple(dead), left_out, min(times, default=None))
