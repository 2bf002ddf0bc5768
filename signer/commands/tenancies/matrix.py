"""Who can reach whom in the mesh, and by what: workloads that trust one root reach each other, and bridges lead across. Pure.

`tenants --matrix` shows it. A line is what certificates allow; what a server's AuthorizationPolicy says is the server's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from signer.api.meta import find_condition
from signer.api.tenantbridge import TenantBridge
from signer.api.text import some
from signer.commands.page.trust import graph
from signer.commands.tenancies.holders import Tenancy
from signer.tenancy.world import World

ROOT, BRIDGE = "one root", "bridge"
STANDS = "open"
_NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True, slots=True)
class Passage:
    """Who reaches whom: namespaces of one root each other (`clients` are `servers`), or one account over a bridge.

    `status` is STANDS, or why a bridge does not stand. `until` is its end as it is written, "" for none.
    """

    clients: tuple[str, ...]
    servers: tuple[str, ...]
    kind: str
    by: str
    hosts: tuple[str, ...] = ()
    until: str = ""
    status: str = STANDS
    warnings: tuple[str, ...] = ()


def reaches(world: World, tenants: Iterable[Tenancy], bridges: Iterable[Mapping[str, Any]]) -> list[Passage]:
    """List all that certificates allow: first each root with the namespaces below it, then the bridges."""
    found = [
        Passage(root.tenants, root.tenants, ROOT, root.subject or f"key {root.key_id[:16]}")
        for root in graph(world, tenants).roots
        if root.tenants
    ]
    return sorted(found, key=lambda one: one.clients) + bridged(bridges)


def bridged(objects: Iterable[Mapping[str, Any]]) -> list[Passage]:
    """List the bridges alone, by the servers' namespaces."""
    return sorted(_bridges(objects), key=lambda one: (one.servers, one.by))


def _bridges(objects: Iterable[Mapping[str, Any]]) -> Iterable[Passage]:
    for raw in objects:
        obj = msgspec.convert(raw, TenantBridge)
        meta, spec = obj.metadata, obj.spec
        ready = find_condition(obj.status.conditions, "Ready")
        doubts = (find_condition(obj.status.conditions, kind) for kind in ("Working", "Contained"))
        status = _NOT_LOOKED_AT if ready is None else STANDS if ready.status == "True" else ready.reason
        yield Passage(
            (f"{spec.client.namespace}/{spec.client.service_account}",),
            (meta.namespace,),
            BRIDGE,
            f"TenantBridge {meta.namespace}/{meta.name}",
            spec.hosts,
            spec.end_time or "",
            status,
            tuple(one.reason for one in doubts if one is not None and one.status == "False"),
        )


def cells(passage: Passage) -> tuple[str, ...]:
    """Return the columns FROM, TO, STATUS, BY, HOSTS, UNTIL."""
    status = passage.status + (f" ({', '.join(passage.warnings)})" if passage.warnings else "")
    to = "each other" if passage.kind == ROOT and len(passage.servers) > 1 else some(passage.servers)
    by = f"root {passage.by}" if passage.kind == ROOT else passage.by
    return some(passage.clients), to, status, by, ", ".join(passage.hosts) or "-", passage.until or "-"


def document(passage: Passage) -> dict[str, Any]:
    """Return what programs get of a line."""
    return {
        "from": list(passage.clients),
        "to": list(passage.servers),
        "kind": passage.kind,
        "by": passage.by,
        "hosts": list(passage.hosts),
        "until": passage.until or None,
        "status": passage.status,
        "warnings": list(passage.warnings),
    }
