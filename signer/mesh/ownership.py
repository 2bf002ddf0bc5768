"""What is to be written about who owns a signer. Pure: what is known goes in, what to do comes out.

A claim that ended leaves its owner a grace of 30 days at most (signer/tenancy/grants.py), counted from
status.claimEndedTime. An owner who claims again has it removed, but only once the new claim has stood as long as the
grace itself: else a claim for a moment, each month, would keep a signer for ever with no claim that anybody sees.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.tenancy.grants import Claimable, granted
from signer.tenancy.index import Index
from signer.tenancy.verdict import Bind
from signer.tenancy.world import Binding

# status.lastIssuedTime is written this often at most.
ISSUED_EVERY = timedelta(minutes=10)
# A claim has to stand so long at least, however short the grace is, before the end of the one before it is forgotten.
_SHORTEST_STAND = timedelta(hours=1)


class Write(msgspec.Struct, frozen=True):
    """Fields of a SignerBinding's status to be set, None to be removed. `again`: look at it after so long."""

    status: Mapping[str, str | None]
    again: timedelta | None = None


def stand(grace: timedelta) -> timedelta:
    """Tell how long a claim must stand until the end of an earlier one is forgotten."""
    return max(grace, _SHORTEST_STAND)


def to_bind(index: Index, signer: IssuerRef, now: datetime) -> Bind | None:
    """Tell whom a signer without an owner belongs to: the namespace of its name, else its only claimant; else nobody.

    Only what a claim alone decides: what SignerPolicies give out or everybody has by default needs no owner.
    """
    world = index.world
    if world.unsynced or world.stale or signer.kind != "ClusterIssuer" or signer in world.bindings:
        return None
    claimants = world.claimants.get(signer, frozenset())
    if signer.name in world.namespaces:
        claimants &= {signer.name}
    if len(claimants) != 1:
        return None
    (namespace,) = claimants
    if namespace in index.terminating:
        return None
    found = granted(world, namespace, signer, now=now)
    return Bind(signer, namespace, found.namespace_uid) if isinstance(found, Claimable) else None


def to_write(
    stored: Binding, shown: Binding, *, claims: bool, since: datetime | None, grace: timedelta, now: datetime
) -> Write:
    """Tell what a SignerBinding's status lacks.

    `stored` is what the API server has, `shown` what is known; `claims` whether its owner claims it now, and `since`
    since when it is known to. A restart of ours begins that anew, which keeps an old end longer and never shorter.
    """
    status: dict[str, str | None] = {}
    again: timedelta | None = None
    if claims and stored.claim_ended is not None:
        left = stand(grace) - (now - since) if since is not None else stand(grace)
        if left <= timedelta(0):
            status["claimEndedTime"] = None
        else:
            again = left
    elif not claims and stored.claim_ended is None:
        status["claimEndedTime"] = to_rfc3339(shown.claim_ended or now)
    if shown.last_issued is not None and shown.last_issued != stored.last_issued:
        due = stored.last_issued + ISSUED_EVERY if stored.last_issued is not None else now
        if now >= due or status:
            status["lastIssuedTime"] = to_rfc3339(shown.last_issued)
        else:
            again = min(again or ISSUED_EVERY, due - now)
    return Write(status, again)
