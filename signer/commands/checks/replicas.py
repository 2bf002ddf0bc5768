"""Who runs, by the Leases that are renewed: installations beside this one, and clocks that are wrong. Pure.

A Lease has the time of whoever renews it (spec.renewTime) and that of the API server that stored it (managedFields), so it
tells how far the two clocks are apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.text import some
from signer.commands.checks.access import CONTROLLERS
from signer.commands.checks.facts import Facts, Finding, at, items, name_of, namespace_of
from signer.commands.live import Json
from signer.kube.leases.record import CERT_MANAGERS_LEASE, LEADER_LEASE, LONGEST_DURATION
from signer.kube.skew import TOLERATED, told

_OURS = "mesh-signer"
# Where a Lease does not say how long it counts, which ours do; one that was not renewed for so long is nobody's.
_ALIVE = timedelta(minutes=1)
# The API server's times have whole seconds, and a renewal takes its time.
_ROUNDED = timedelta(seconds=2)


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """Whether our replicas' clocks, and the one here, are the API server's."""
    if facts.skew is not None and (text := told(facts.skew, facts.now)):
        mend = "set this machine's clock: what is said here of CAs and certificates goes by it"
        yield Finding("warning", "clocks", text, "this command", mend, code="OwnClock")
    for lease in _ours(facts.leases.items):
        renewed, stored = _renewed(lease), _stored(lease)
        if renewed is None or stored is None or abs(renewed - stored) <= TOLERATED:
            continue
        skew = renewed - stored
        way = "ahead of" if skew > timedelta(0) else "behind"
        holder = str(at(lease, "spec", "holderIdentity") or "its holder")
        text = (
            f"the clock of {holder} is {timedelta(seconds=round(abs(skew).total_seconds()))} {way} the API server's: CAs and "
            "certificates are judged and dated by it"
        )
        yield Finding(
            "error",
            "clocks",
            text,
            f"Lease {_place(lease)}",
            f"set the clock of the node where {holder} runs",
            code="ReplicaClock",
        )


def check_installations(facts: Facts) -> Iterator[Finding]:
    """Whether one installation alone works on the issuers: two with different namespaces for CAs undo each other's writes."""
    if facts.leases.problem:
        yield Finding(
            "unknown",
            "mesh-signer",
            f"other installations were not looked for: {facts.leases.problem}",
            code="InstallationsNotChecked",
        )
        return
    leading: dict[str, list[str]] = defaultdict(list)
    for lease in live(facts):
        if name_of(lease) == LEADER_LEASE:
            leading[namespace_of(lease)].append(str(at(lease, "spec", "holderIdentity") or ""))
    if len(leading) > 1:
        where = some(
            f"Lease {namespace}/{LEADER_LEASE}, held by {some(who)}" for namespace, who in sorted(leading.items())
        )
        yield Finding(
            "error",
            "mesh-signer",
            "several installations lead at once: each writes the status of every issuer, by the Secrets of its own namespace",
            where,
            "remove one of them, or let it run without the controllers (--controllers=csr)",
            code="InstallationTwice",
        )


def check_leader(facts: Facts) -> Iterator[Finding]:
    """Whether a leader that was there still is: replicas that cannot renew a Lease run on, look ready, and do nothing."""
    namespace = facts.settings.cluster_resource_namespace
    held = [one for one in _ours(facts.leases.items) if (namespace_of(one), name_of(one)) == (namespace, LEADER_LEASE)]
    running = any(
        (namespace_of(one), name_of(one)) == (namespace, CONTROLLERS) and at(one, "status", "availableReplicas")
        for one in facts.deployments.items
    )
    if not held or not running or any(_alive(one, _their_now(facts)) for one in held):
        return
    renewed = _stored(held[0]) or _renewed(held[0])
    since = f" since {to_rfc3339(renewed)}" if renewed is not None else ""
    yield Finding(
        "error",
        "mesh-signer",
        f"nobody leads: Lease {namespace}/{LEADER_LEASE} was not renewed{since}, though replicas of {CONTROLLERS} are there; nobody "
        "works on issuers, Certificates and policies",
        f"Lease {namespace}/{LEADER_LEASE}",
        f"mend what the log says of the Lease, a right or a webhook on leases: kubectl -n {namespace} logs deployment/{CONTROLLERS}",
        code="NobodyLeads",
    )


def check_cert_managers_lease(facts: Facts) -> Iterator[Finding]:
    """Whether a cert-manager renews its Lease: our controllers leave Certificates to it then, and wait."""
    for lease in cert_managers(facts.leases.items, _their_now(facts)):
        own = namespace_of(lease) in {"kube-system", facts.settings.cluster_resource_namespace}
        what = (
            "our controllers leave Certificates and what belongs to them to it"
            if own
            else "our controllers do not look at this Lease"
        )
        yield Finding(
            "note" if own else "warning",
            "cert-manager",
            f"a cert-manager is at work: {what}",
            f"Lease {_place(lease)}",
            "to have Certificates kept by mesh-signer: kubectl scale deployment cert-manager --replicas=0 (docs/install.md)",
            code="CertManagerWorks",
        )


def live(facts: Facts) -> list[Json]:
    """Return the Leases of mesh-signer's that were renewed within the time for which they count."""
    return live_leases(facts.leases.items, _their_now(facts))


def live_leases(leases: Iterable[Json], now: datetime) -> list[Json]:
    """Return those of mesh-signer's among these that still count, by the API server's time."""
    return [one for one in _ours(leases) if _alive(one, now)]


def cert_managers(leases: Iterable[Json], now: datetime) -> list[Json]:
    """Return the Leases among these that a cert-manager holds, by the API server's time."""
    return [one for one in leases if name_of(one) == CERT_MANAGERS_LEASE and _alive(one, now)]


def _alive(lease: Json, now: datetime) -> bool:
    seconds = at(lease, "spec", "leaseDurationSeconds")
    said = isinstance(seconds, int) and not isinstance(seconds, bool) and seconds > 0
    counts = timedelta(seconds=min(seconds, LONGEST_DURATION)) + _ROUNDED if said else _ALIVE
    return (stored := _stored(lease) or _renewed(lease)) is not None and now - stored <= counts


def _their_now(facts: Facts) -> datetime:
    """The API server's time: that of Leases is held against no other."""
    return facts.now - (facts.skew or timedelta(0))


def _ours(leases: Iterable[Json]) -> list[Json]:
    """Leases of mesh-signer's that somebody holds."""
    return [
        one
        for one in leases
        if (name_of(one) == _OURS or name_of(one).startswith(f"{_OURS}-")) and at(one, "spec", "holderIdentity")
    ]


def _place(lease: Json) -> str:
    return f"{namespace_of(lease)}/{name_of(lease)}"


def _renewed(lease: Json) -> datetime | None:
    return from_rfc3339(str(at(lease, "spec", "renewTime") or ""))


def _stored(lease: Json) -> datetime | None:
    times = [from_rfc3339(str(one.get("time") or "")) for one in items(lease, "metadata", "managedFields")]
    return max((one for one in times if one is not None), default=None)
