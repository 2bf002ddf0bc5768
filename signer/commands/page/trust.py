"""Who trusts whom, as a graph: tenants have signers, and workloads of a signer trust its roots in the mesh config. Pure.

Tenants trust each other where their lines end at one root. What a line rests on is decided elsewhere: the tenants' lines
are those of `mesh-signer tenants`, a root that tenants share is what tenancy/shared.py calls so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from issuers.x509 import der
from issuers.x509.subject import name_text, read_name
from signer.api.issuer import IssuerRef
from signer.commands.tenancies.holders import Tenancy
from signer.tenancy.shared import shared_roots
from signer.tenancy.world import World

ROOT_DIGITS = 16
"""So many hexadecimal digits of a key's SHA-256 name it on the page."""


@dataclass(frozen=True, slots=True)
class Root:
    """A root of the mesh config by its key. `subject` is "" where the mesh config does not tell which of several it is.

    `tenants` have one of `signers`, and so trust it; `shared` says what is wrong where they are different tenants.
    """

    key_id: str
    subject: str
    signers: tuple[IssuerRef, ...]
    tenants: tuple[str, ...]
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """`tenants` are the lines from tenants to signers; `roots` say to which roots signers' lines lead."""

    tenants: tuple[Tenancy, ...]
    roots: tuple[Root, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A bridge: the account `client` trusts the CA behind `signer`, for servers of namespace `server` alone.

    `status` is for people; `refused`: it does not stand.
    """

    client: str
    server: str
    signer: IssuerRef
    status: str
    refused: bool


def tenant_name(row: Tenancy) -> str:
    """Name who a line of `tenants` is about: a namespace, or so many others."""
    return row.namespace or (f"({row.others} others)" if row.others else "")


def graph(world: World, tenants: Iterable[Tenancy]) -> Graph:
    """Put the picture together; roots in the order of their first signer, so that lines cross little."""
    # By the name that is routed by identity each has its own signer, which has a line of its own.
    lines = tuple(row for row in tenants if tenant_name(row) and row.signer not in world.routed)
    granted: dict[IssuerRef, set[str]] = defaultdict(set)
    for row in lines:
        if not row.refused:
            granted[row.signer].add(tenant_name(row))
    having: dict[str, set[IssuerRef]] = defaultdict(set)
    subjects: dict[str, str] = {}
    for signer, roots in world.roots.items():
        for key_id in roots.key_ids:
            having[key_id].add(signer)
        if len(roots.key_ids) == len(roots.subjects) == 1:
            subjects[next(iter(roots.key_ids))] = _subject(next(iter(roots.subjects)))
    if world.routed:  # the root comes with the answer, and is not in the mesh config
        for key_id, signers in world.tops.items():
            having[key_id] |= signers - world.roots.keys() - world.routed
    having = {key_id: signers for key_id, signers in having.items() if signers}
    shared = {one.key_id: str(one) for one in shared_roots(world)}
    found = [
        Root(
            key_id,
            subjects.get(key_id, ""),
            tuple(sorted(signers)),
            tuple(sorted(set().union(*(granted.get(signer, ()) for signer in signers)))),
            shared.get(key_id, ""),
        )
        for key_id, signers in having.items()
    ]
    return Graph(lines, tuple(sorted(found, key=lambda one: (one.signers, one.key_id))))


def _subject(name: bytes) -> str:
    try:
        return name_text(read_name(name, 0, len(name)))
    except der.DerError:
        return ""


def drawn(
    found: Graph, names: Mapping[IssuerRef, str], most: int, crossings: Iterable[Crossing] = ()
) -> dict[str, object]:
    """Return the picture for programs, at most so many lines of tenants: ends of lines are indexes of the lists of nodes.

    Bridges are lines from a client to the server's signer, after those of tenants, as far as there is room. Signers stand in the order of their roots, and tenants in that of their signers.
    """
    lines, bridges = found.tenants[:most], tuple(crossings)
    across = bridges[: most - len(lines)]
    first: dict[IssuerRef, int] = {}
    for index, root in enumerate(found.roots):
        for ref in root.signers:
            first.setdefault(ref, index)
    claimed = dict.fromkeys((*(row.signer for row in lines), *(one.signer for one in across)))
    beside = (ref for ref in first if ref not in claimed)
    signers = sorted(
        [*claimed, *islice(beside, max(0, most - len(claimed)))], key=lambda ref: (first.get(ref, len(first)), ref)
    )
    places = {ref: index for index, ref in enumerate(signers)}
    of: dict[str, int] = {}
    for row in lines:
        name = tenant_name(row)
        of[name] = min(of.get(name, len(places)), places[row.signer])
    for one in across:
        of[one.client] = min(of.get(one.client, len(places)), places[one.signer])
    tenants = sorted(of, key=lambda name: (of[name], name))
    rows = {name: index for index, name in enumerate(tenants)}
    roots = [root for root in found.roots if any(ref in places for ref in root.signers)][:most]
    return {
        "tenants": tenants,
        "signers": [names.get(ref, str(ref)) for ref in signers],
        "roots": [
            {"keyId": one.key_id[:ROOT_DIGITS], "subject": one.subject, "shared": bool(one.shared)} for one in roots
        ],
        "claims": [
            {
                "tenant": rows[tenant_name(row)],
                "signer": places[row.signer],
                "status": row.status,
                "refused": row.refused,
            }
            for row in lines
        ]
        + [
            {
                "tenant": rows[one.client],
                "signer": places[one.signer],
                "status": one.status,
                "refused": one.refused,
                "bridge": one.server,
            }
            for one in across
        ],
        "trusts": [
            {"signer": places[ref], "root": index}
            for index, one in enumerate(roots)
            for ref in one.signers
            if ref in places
        ],
        "more": len(found.tenants) + len(bridges) - len(lines) - len(across),
    }
