"""Leases as values: what is written, who holds one, whether it ran out, which member owns a key.

Pure: clocks are arguments. Other people's clocks are never believed: a Lease counts as fresh from the moment at which *we* saw it
change, as in client-go's leader election, so wall clocks may differ as they like.
Source: https://kubernetes.io/docs/concepts/architecture/leases/ and client-go tools/leaderelection
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from signer.kube.resource import Resource

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)

Json = dict[str, Any]

# Which process holds a Lease: two of one name are two.
PROCESS_ANNOTATION = "mesh-signer.dev/process"

# A holder may have asked for longer than we would, but not for ever.
LONGEST_DURATION = 120.0

# A DNS subdomain (RFC 1123), as names of Leases must be.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def micro_time(moment: datetime) -> str:
    """A metav1.MicroTime: RFC 3339 in UTC with six digits, which its parser insists on."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sighting(msgspec.Struct, frozen=True):
    """A Lease as we last saw it change.

    Attributes:
        holder: identity, "" when nobody holds it.
        duration: seconds that the holder asked for.
        version: what tells one state from the next.
        seen_at: monotonic seconds at which we first saw this state.
        process: which process of that identity holds it, "" where that is not written.
    """

    holder: str
    duration: float
    version: str
    seen_at: float
    process: str = ""

    def expired(self, now: float) -> bool:
        """Whether another may take it at `now`, monotonic seconds."""
        return not self.holder or now > self.seen_at + self.duration


def sight(lease: Json, before: Sighting | None, now: float, default_duration: float) -> Sighting:
    """Take in a Lease as read at `now`; one that did not change keeps the time at which it was first seen so."""
    version = str((lease.get("metadata") or {}).get("resourceVersion") or "")
    if before is not None and before.version == version:
        return before
    spec = lease.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    duration = min(float(seconds), LONGEST_DURATION) if isinstance(seconds, int) and seconds > 0 else default_duration
    process = ((lease.get("metadata") or {}).get("annotations") or {}).get(PROCESS_ANNOTATION)
    return Sighting(str(spec.get("holderIdentity") or ""), duration, version, now, str(process or ""))


def held(
    lease: Json,
    identity: str,
    duration: float,
    now: datetime,
    *,
    process: str = "",
    labels: Mapping[str, str] | None = None,
) -> Json:
    """The Lease to write so that `identity` holds it: a takeover counts as a transition, a renewal keeps acquireTime.

    `process` and `labels` are written each time, whatever somebody else made of them.
    """
    spec = dict(lease.get("spec") or {})
    if spec.get("holderIdentity") != identity:
        transitions = spec.get("leaseTransitions")
        taken = (lease.get("metadata") or {}).get("resourceVersion") is not None
        spec["leaseTransitions"] = (transitions if isinstance(transitions, int) else 0) + 1 if taken else 0
        spec["acquireTime"] = micro_time(now)
        spec["holderIdentity"] = identity
    spec["renewTime"] = micro_time(now)
    spec["leaseDurationSeconds"] = max(1, math.ceil(duration))
    metadata = dict(lease.get("metadata") or {})
    if labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    if process:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), PROCESS_ANNOTATION: process}
    return {**lease, "metadata": metadata, "spec": spec}


def released(lease: Json, now: datetime) -> Json:
    """The Lease to write so that anybody may take it at once."""
    spec = dict(lease.get("spec") or {})
    spec.pop("holderIdentity", None)
    spec["renewTime"] = micro_time(now)
    spec["leaseDurationSeconds"] = 1
    return {**lease, "spec": spec}


LEADER_LEASE = "mesh-signer-controllers"
CERT_MANAGERS_LEASE = "cert-manager-controller"
"""What cert-manager's controller renews, in kube-system or where it runs (--leader-election-namespace)."""


def leaders(leases: Iterable[Json], besides: str) -> tuple[str, ...]:
    """Name who leads in other namespaces than `besides`, by Leases of the name that ours has; given up ones do not count."""
    found = []
    for lease in leases:
        metadata, spec = lease.get("metadata") or {}, lease.get("spec") or {}
        if metadata.get("name") == LEADER_LEASE and metadata.get("namespace") != besides and spec.get("holderIdentity"):
            found.append(
                f"Lease {metadata.get('namespace')}/{LEADER_LEASE}, held by {str(spec['holderIdentity'])[:80]}"
            )
    return tuple(sorted(found))


def lease_name(group: str, identity: str) -> str:
    """A Lease's name for a member: `<group>-<identity>`; an identity that cannot stand in a name is hashed."""
    name = f"{group}-{identity}"
    if len(name) <= 253 and _NAME.fullmatch(name):
        return name
    return f"{group}-{hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()}"


def heirs(uid: str, members: Sequence[str]) -> list[str]:
    """All members in the order in which a key would become theirs: the owner first, then who has it when those before are gone.

    By rendezvous hashing: all who see the same members agree, without talking, and when one leaves, only its own keys move,
    and evenly to the others. The order of `members` does not matter.
    """
    if len(members) == 1:
        return list(members)
    key = uid.encode()
    # The member's name keys the hash, so that ("a", "bc") and ("ab", "c") are different inputs.
    return sorted(members, key=lambda member: (_weight(key, member), member), reverse=True)


def _weight(key: bytes, member: str) -> bytes:
    name = member.encode()
    if len(name) > hashlib.blake2b.MAX_KEY_SIZE:
        name = hashlib.blake2b(name).digest()
    return hashlib.blake2b(key, digest_size=8, key=name).digest()
