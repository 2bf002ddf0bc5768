"""What a TenantBridge's status says of it, and what it records of what was made. Pure."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from msgspec.structs import replace

from signer.api.duration import format_duration
from signer.api.meta import from_rfc3339, set_condition, to_rfc3339
from signer.api.tenantbridge import TenantBridge, TenantBridgeStatus
from signer.bridges.bodies import rule_name
from signer.bridges.credential import fingerprint
from signer.bridges.defects import NOTHING_FOUND
from signer.bridges.read import MAX_LIFETIME, Wish
from signer.bridges.step import Sight, Wanted
from signer.tenancy.verdict import Bridge, Reason

READY = "Ready"
BUILT = "Built"


def planned(
    status: TenantBridgeStatus, wish: Wish, wanted: Wanted, sight: Sight, now: datetime, *, overlap: timedelta
) -> TenantBridgeStatus:
    """Record what stands, as `sight` shows it, and what is about to be made, before it is. `status` is the stored one.

    No write of this process is taken for done: it may have been lost, or done although no answer came. So what was made is
    recorded by whoever sees it; and an object that is gone loses its uid in the record before another is made in its place,
    which would be nobody's otherwise, if the process ended in between.
    """
    secret = sight.secret if sight.secret is not None and sight.secret.ours else None
    held = secret.credential if secret is not None else None
    made = replace(
        status,
        client_namespace=wish.client_namespace,
        client_namespace_uid=wanted.bridge.client_uid,
        secret_uid=secret.uid if secret is not None else "",
        not_after=to_rfc3339(held.not_after) if held is not None else None,
        rules=_rules(status, {rule_name(wish, host) for host in wish.hosts}, sight),
    )
    there = {fingerprint(one) for one in held.roots} if held is not None else set()
    return _with_root(made, fingerprint(wanted.server.root), there, now, overlap)


def _rules(status: TenantBridgeStatus, names: AbstractSet[str], sight: Sight) -> dict[str, str]:
    """Record the uid of each rule of ours that is there, and "" for each that is to be made."""
    found: dict[str, str] = {}
    for name in sorted(names | status.rules.keys()):
        there = sight.rules.get(name)
        if there is not None and there.ours:
            found[name] = there.uid
        elif name in names:
            found[name] = "" if there is None else status.rules.get(name, "")
    return found


def _with_root(
    status: TenantBridgeStatus, root: str, there: AbstractSet[str], now: datetime, overlap: timedelta
) -> TenantBridgeStatus:
    """Record the root that is to come first in ca.crt, and the one before while it is to stay there; `there` is what it has.

    Another root than before begins a change: the former one stays for `overlap`, as long as a server may still have a
    certificate below it. What ca.crt does not have is no former root: nobody keeps it anywhere else.
    """
    ends = from_rfc3339(status.former_root_until)
    former, until = status.former_root, status.former_root_until
    if status.root != root and status.root in there:
        former, until = status.root, to_rfc3339(now + overlap)
    elif former not in there or former == root or ends is None or now >= ends:
        former, until = "", None
    return replace(status, root=root, former_root=former, former_root_until=until)


def taken_away(status: TenantBridgeStatus) -> TenantBridgeStatus:
    """Say that nothing of it stands any more. For which client it was stays: one that is made again is another."""
    return TenantBridgeStatus(
        conditions=status.conditions,
        client_namespace=status.client_namespace,
        client_namespace_uid=status.client_namespace_uid,
    )


def with_ready(
    obj: TenantBridge, status: TenantBridgeStatus, reason: Reason | None, message: str, now: datetime
) -> TenantBridgeStatus:
    """Set the condition Ready: True with this message, or False for a reason."""
    conditions = set_condition(
        status.conditions,
        READY,
        "True" if reason is None else "False",
        reason=BUILT if reason is None else reason.code,
        message=message if reason is None else reason.message,
        now=now,
        generation=obj.metadata.generation,
    )
    return replace(status, conditions=conditions)


def refused(obj: TenantBridge, code: str, message: str, now: datetime) -> TenantBridgeStatus:
    """Say that the API server refuses what must be read or written for it, in its words: whatever else stands there may be old."""
    text = (
        f"{message}. It is tried again; what stands stays meanwhile. `mesh-signer doctor` names rights that are missing"
    )
    return with_ready(obj, obj.status, Reason(code, text), "", now)


def with_defects(
    obj: TenantBridge, status: TenantBridgeStatus, kind: str, found: tuple[Reason, ...] | None, now: datetime
) -> TenantBridgeStatus:
    """Set the condition Working or Contained: False with all that was found; None takes it away, where nothing stands."""
    if found is None:
        return replace(status, conditions=tuple(one for one in status.conditions if one.type != kind))
    conditions = set_condition(
        status.conditions,
        kind,
        "False" if found else "True",
        reason=found[0].code if found else NOTHING_FOUND,
        message="; ".join(one.message for one in found) or "nothing was found that speaks against it",
        now=now,
        generation=obj.metadata.generation,
    )
    return replace(status, conditions=conditions)


def built_message(wish: Wish, bridge: Bridge) -> str:
    """Say who reaches what, and until when; also that its certificates live shorter than it says."""
    until = f" until {to_rfc3339(bridge.ends)}" if bridge.ends is not None else ""
    text = f"{bridge.client} reaches {', '.join(wish.hosts)}{until}, within TenantBridgePolicy {bridge.policy}"
    lives = min(bridge.lifetime, MAX_LIFETIME)
    if wish.lifetime <= lives:
        return text
    return (
        f"{text}; its certificates live {format_duration(lives)} and not {format_duration(wish.lifetime)} (spec.lifetime), as "
        "spec.maxLifetime of that policy says, or a day, which is the longest"
    )
