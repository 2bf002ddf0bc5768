"""What a TenantBridge's status says of it. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from signer.api.meta import from_rfc3339, set_condition, to_rfc3339
from signer.api.tenantbridge import TenantBridge, TenantBridgeStatus
from signer.bridges.credential import fingerprint
from signer.bridges.defects import NOTHING_FOUND
from signer.bridges.read import Wish
from signer.tenancy.verdict import Bridge, Reason

READY = "Ready"
BUILT = "Built"


def recorded(status: TenantBridgeStatus, place: str, uid: str, rules: Mapping[str, str]) -> TenantBridgeStatus:
    """Say what is about to be made, before it is: rules without a uid."""
    return replace(status, client_namespace=place, client_namespace_uid=uid, rules={**rules, **status.rules})


def rule_made(status: TenantBridgeStatus, name: str, uid: str) -> TenantBridgeStatus:
    """Say that a rule was made."""
    return replace(status, rules={**status.rules, name: uid})


def rule_dropped(status: TenantBridgeStatus, name: str) -> TenantBridgeStatus:
    """Say that a rule is gone."""
    return replace(status, rules={one: uid for one, uid in status.rules.items() if one != name})


def secret_made(
    status: TenantBridgeStatus, uid: str, root: str, not_after: datetime, *, overlap: timedelta, now: datetime
) -> TenantBridgeStatus:
    """Say that the Secret has a certificate until `not_after`, and this root (PEM) first.

    Another root than before begins a change: the former one stays for `overlap`, as long as a server may still have a
    certificate below it.
    """
    made = replace(status, secret_uid=uid, not_after=to_rfc3339(not_after), root=fingerprint(root))
    if status.root and status.root != made.root:
        return replace(made, former_root=status.root, former_root_until=to_rfc3339(now + overlap))
    return made


def settled(status: TenantBridgeStatus, now: datetime) -> TenantBridgeStatus:
    """Forget the former root once its time is over; the next certificate comes without it."""
    ends = from_rfc3339(status.former_root_until)
    if status.former_root and (ends is None or now >= ends):
        return replace(status, former_root="", former_root_until=None)
    return status


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
    """Say who reaches what, and until when."""
    until = f" until {to_rfc3339(bridge.ends)}" if bridge.ends is not None else ""
    return f"{bridge.client} reaches {', '.join(wish.hosts)}{until}, within TenantBridgePolicy {bridge.policy}"
