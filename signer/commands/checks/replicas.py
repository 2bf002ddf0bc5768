"""Who runs, by the Leases that are renewed: installations beside this one, and clocks that are wrong. Pure.

A Lease has the time of whoever renews it (spec.renewTime) and that of the API server that stored it (managedFields), so it
tells how far the two clocks are apart.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from signer.api.meta import from_rfc3339
from signer.commands.checks.facts import Facts, Finding, at, items, name_of, namespace_of, some
from signer.commands.live import Json
from signer.kube.leases.record import LEADER_LEASE
from signer.kube.skew import TOLERATED, told

_OURS = "mesh-signer"
# A Lease is renewed every few seconds.
_ALIVE = timedelta(minutes=1)


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """Whether our replicas' clocks, and the one here, are the API server's."""
    if facts.skew is not None and (text := told(facts.skew, facts.now)):
        mend = "set this machine's clock: what is said here of CAs and certificates goes by it"
        yield Finding("warning", "clocks", text, "this command", mend)
    for lease in _ours(facts):
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
            "error", "clocks", text, f"Lease {_place(lease)}", f"set the clock of the node where {holder} runs"
        )


def check_installations(facts: Facts) -> Iterator[Finding]:
    """Whether one installation alone works on the issuers: two with different namespaces for CAs undo each other's writes."""
    if facts.leases.problem:
        yield Finding("unknown", "mesh-signer", f"other installations were not looked for: {facts.leases.problem}")
        return
    now = facts.now - (facts.skew or timedelta(0))
    leading: dict[str, list[str]] = defaultdict(list)
    for lease in _ours(facts):
        stored = _stored(lease) or _renewed(lease)
        if name_of(lease) == LEADER_LEASE and stored is not None and now - stored <= _ALIVE:
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
        )


def _ours(facts: Facts) -> list[Json]:
    """Leases of mesh-signer's that somebody holds."""
    return [
        one
        for one in facts.leases.items
        if (name_of(one) == _OURS or name_of(one).startswith(f"{_OURS}-")) and at(one, "spec", "holderIdentity")
    ]


def _place(lease: Json) -> str:
    return f"{namespace_of(lease)}/{name_of(lease)}"


def _renewed(lease: Json) -> datetime | None:
    return from_rfc3339(str(at(lease, "spec", "renewTime") or ""))


def _stored(lease: Json) -> datetime | None:
    times = [from_rfc3339(str(one.get("time") or "")) for one in items(lease, "metadata", "managedFields")]
    return max((one for one in times if one is not None), default=None)
