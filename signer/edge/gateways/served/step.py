"""Whether gateways really serve the certificate that was written: what was seen, what it means, and when to look again.

Pure. A Secret that is right is no proof: a gateway may not have read it, or another Gateway may have the host. Nothing
waits for this: it only tells.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from signer.api.gateway import APIGateway, Gateway, server_host
from signer.api.ingress import Ingress
from signer.api.meta import Condition
from signer.edge.gateways.placeholder import credentials_of
from signer.edge.gateways.wish import Wish
from signer.edge.host import Host
from signer.edge.proxies.ports import Ports
from signer.edge.proxies.values import Sight

SERVED = "Served"
"""The type of a HostClaim's condition."""
State = Literal["served", "waiting", "other", "unreached"]
STATES: tuple[State, ...] = ("served", "waiting", "other", "unreached")
PATIENCE = timedelta(minutes=1)
"""What a gateway may take before anybody is told: istiod sends a Secret on within seconds."""
MAX_PODS = 5
HTTPS = 443
_SHOWN = 3
_STEPS = ((10.0, 1.0), (60.0, 5.0), (600.0, 30.0))
_SLOWEST = 600.0


@dataclass(frozen=True, slots=True)
class Expected:
    """A certificate that should be served: for this wish, from the Secret of its name in each of these namespaces."""

    wish: Wish
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What is said of one host, as a condition: its status is "True", "False" or "Unknown" (too early)."""

    host: Host
    state: State
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def judge(host: Host, serials: Collection[int], sights: Iterable[Sight], *, since: timedelta) -> Found:
    """Say what was seen of a host. `serials`: those of its Secrets, at least one; `since`: how long they are there."""
    seen = [sight for sight in sights if sight.host == host]
    wanted = ", ".join(sorted(f"{serial:x}" for serial in serials))
    missed = [sight for sight in seen if sight.serial is None]
    other = [sight for sight in seen if sight.serial is not None and sight.serial not in serials]
    if seen and not missed and not other:
        pods = f"{len(seen)} Pod" + ("s" if len(seen) > 1 else "")
        return Found(host, "served", "True", "Served", f"serial {wanted} is served by {pods}")
    if since < PATIENCE:
        return Found(host, "waiting", "Unknown", "Waiting", f"serial {wanted} is not seen at every Pod yet")
    if other:
        shown = ", ".join(sorted({f"{sight.address}: {sight.serial:x}" for sight in other})[:_SHOWN])
        return Found(
            host, "other", "False", "AnotherCertificate", f"serial {wanted} is in the Secret, and not served ({shown})"
        )
    shown = ", ".join(sorted({f"{sight.address}: {sight.error}" for sight in missed})[:_SHOWN]) or "no Pod runs"
    return Found(host, "unreached", "False", "NotReached", f"serial {wanted} is in the Secret; port 443 ({shown})")


def worst(found: Iterable[Found]) -> State:
    """The state of a certificate, by its hosts."""
    states = {one.state for one in found}
    return next((state for state in ("other", "unreached", "waiting") if state in states), "served")


def next_look(since: timedelta) -> float:
    """After how many seconds to look again at a certificate that is not served, by how long it is there."""
    seconds = since.total_seconds()
    return next((pause for until, pause in _STEPS if seconds < until), _SLOWEST)


def known_served(condition: Condition | None, serials: Collection[int]) -> bool:
    """Tell whether it was said before that these serials are served: a new leader does not ask again."""
    wanted = ", ".join(sorted(f"{serial:x}" for serial in serials))
    return condition is not None and condition.status == "True" and condition.message.startswith(f"serial {wanted} is ")


def hosts_on(obj: Gateway | APIGateway | Ingress, wish: Wish, ports: Ports | None = None) -> tuple[Host, ...]:
    """The hosts of a wish that this object serves on the world's port 443 from the wish's Secret; wildcards by a name below.

    `ports` says which of its numbers the world sees there.
    """
    ports = ports or Ports()
    if isinstance(obj, Ingress):
        return tuple(host for host in wish.hosts if not host.wildcard)
    named: set[str] = set()
    if isinstance(obj, Gateway):
        for server in obj.spec.servers:
            names = {one.name for one in credentials_of(server)}
            if wish.secret_name in names and ports.seen_as(server.port.number) == HTTPS:
                named.update(server_host(text).name.lower() for text in server.hosts)
    else:
        for listener in obj.spec.listeners:
            refs = listener.tls.certificate_refs if listener.tls is not None else ()
            if ports.seen_as(listener.port) == HTTPS and wish.secret_name in {ref.name for ref in refs}:
                named.add(listener.hostname.lower() or "*")
    return tuple(host for host in wish.hosts if str(host) in named or "*" in named)


def due(written: datetime | None, now: datetime) -> timedelta:
    """How long a certificate is there; a clock that was put back counts as now."""
    return max(now - written, timedelta(0)) if written is not None else timedelta(0)
