"""What a HostClaim tells of its use: since when nobody wants it, and who else wants it. Pure: a status, and whether to write.

Both sides can read it: a HostClaim is cluster-scoped, and its condition names no more namespaces than a person reads.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

from signer.api.hostclaim import HostClaim, HostClaimStatus
from signer.api.meta import from_rfc3339, set_condition, to_rfc3339
from signer.edge.hosts.retention import Fate, fate

CONFLICT = "Conflict"
MAX_CONTENDERS = 16


def claim_fate(claim: HostClaim, *, wanted: bool, now: datetime) -> Fate:
    """Decide whether a claim stays; see `keep`."""
    return fate(wanted=wanted, unused_since=from_rfc3339(claim.status.unused_since), now=now)


def claim_status(claim: HostClaim, *, wanted: bool, contenders: Collection[str], now: datetime) -> HostClaimStatus:
    """Return the status as it should be. `contenders` are the other namespaces that want the host."""
    old = claim.status
    others = tuple(sorted(set(contenders) - {claim.spec.namespace}))
    conditions = old.conditions
    if others:
        named = ", ".join(others[:MAX_CONTENDERS]) + (" and others" if len(others) > MAX_CONTENDERS else "")
        message = f"also wanted by namespace {named}; the first has it, an admin may remove this HostClaim"
        conditions = set_condition(conditions, CONFLICT, "True", reason="HostTaken", message=message, now=now)
    elif any(one.type == CONFLICT for one in conditions):
        conditions = set_condition(conditions, CONFLICT, "False", reason="NoConflict", message="", now=now)
    unused = None if wanted else old.unused_since or to_rfc3339(now)
    return HostClaimStatus(conditions=conditions, contenders=others[:MAX_CONTENDERS], unused_since=unused)


def status_patch(claim: HostClaim, status: HostClaimStatus) -> dict[str, Any] | None:
    """Return the JSON merge patch for what differs, with resourceVersion; None when nothing does."""
    if status == claim.status:
        return None
    body: dict[str, Any] = {"unusedSince": None, "contenders": None, **msgspec.to_builtins(status)}
    return {"metadata": {"resourceVersion": claim.metadata.resource_version}, "status": body}
