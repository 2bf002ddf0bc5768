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
from signer.commands.holders import Tenancy
from signer.commands.page.trust import graph
from signer.tenancy.world import World

ROOT, BRIDGE = "one root", "bridge"
STANDS = "open"
_NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True, slots=True)
class Reach:
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


def reaches(world: World, tenants: Iterable[Tenancy], bridges: Iterable[Mapping[str, Any]]) -> list[Reach]:
    """List all that certificates allow: first each root with the namespaces below it, then the bridges."""
    found = [
        Reach(root.tenants, root.tenants, ROOT, root.subject or f"key {root.key_id[:16]}")
        for root in graph(world, tenants).roots
        if root.tenants
    ]
    return sorted(found, key=lambda one: one.clients) + sorted(_bridges(bridges), key=lambda one: (one.servers, one.by))


def _bridges(objects: Iterable[Mapping[str, Any]]) -> Iterable[Reach]:
    for raw in objects:
        obj = msgspec.convert(raw, TenantBridge)
        meta, spec = obj.metadata, obj.spec
        ready = find_condition(obj.status.conditions, "Ready")
        doubts = (find_condition(obj.status.conditions, kind) for kind in ("Working", "Contained"))
        status = _NOT_LOOKED_AT if ready is None else STANDS if ready.status == "True" else ready.reason
        yield Reach(
            (f"{spec.client.namespace}/{spec.client.service_account}",),
            (meta.namespace,),
            BRIDGE,
            f"TenantBridge {meta.namespace}/{meta.name}",
            spec.hosts,
            spec.end_time or "",
            status,
            tuple(one.reason for one in doubts if one is not None and one.status == "False"),
        )


def cells(reach: Reach) -> tuple[str, ...]:
    """Return the columns FROM, TO, STATUS, BY, HOSTS, UNTIL."""
    status = reach.status + (f" ({', '.join(reach.warnings)})" if reach.warnings else "")
    to = "each other" if reach.kind == ROOT and len(reach.servers) > 1 else some(reach.servers)
    by = f"root {reach.by}" if reach.kind == ROOT else reach.by
    return some(reach.clients), to, status, by, ", ".join(reach.hosts) or "-", reach.until or "-"


def document(reach: Reach) -> dict[str, Any]:
    """Return what programs get of a line."""
    return {
        "from": list(reach.clients),
        "to": list(reach.servers),
        "kind": reach.kind,
        "by": reach.by,
        "hosts": list(reach.hosts),
        "until": reach.until or None,
        "status": reach.status,
        "warnings": list(reach.warnings),
    }
