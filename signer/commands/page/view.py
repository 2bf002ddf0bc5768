"""What the page is told of a cluster: documents of bounded size, in which nothing is secret. Pure.

What `tenants`, `edge`, `status` and `doctor` say stands here in their own words, by their own functions. Of a CA's Secret
only what its certificates say is told: subject, dates, and the hash of the public key.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.signername import signer_name_of
from signer.authorities.state import IssuerState
from signer.bridges.server import signer_of
from signer.commands import hosts, summary
from signer.commands.checks.examination import examine
from signer.commands.command import NotFoundOut
from signer.commands.page.seen import Seen
from signer.commands.page.trust import ROOT_DIGITS, Crossing, Graph, drawn, graph
from signer.commands.page.waits import waits
from signer.commands.tables import clean
from signer.commands.tenancies import matrix
from signer.commands.tenancies.holders import document, known_tenancies, problems
from signer.edge.overview import overview
from signer.tenancy.world import World

MOST_ROWS = 500
"""Rows of each table: who has more asks the commands, which have no end."""
MOST_DRAWN = 60
"""Tenants, signers and roots of the picture: more than that nobody can follow."""
LONGEST = 600
"""Characters of a text."""
_DEEPEST = 6

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; `more` are left out, and `problem` says what could not be read of them."""

    rows: tuple[Document, ...] = ()
    more: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """All that the page shows. `gaps` are what could not be read, mostly for want of a right, a sentence each."""

    server: str
    gaps: tuple[str, ...]
    notes: Table
    parts: Table
    findings: Table
    tenants: Table
    policies: Table
    picture: Document
    bridges: Table
    roots: Table
    signers: Table
    waits: Table
    hosts: Table


def view(seen: Seen) -> View:
    """Put the page together, by the functions of the commands."""
    mesh, now = seen.facts.mesh, seen.facts.now
    tenants, unknown = known_tenancies(mesh, now)
    trust = graph(mesh.world, tenants)
    names = {ref: str(ref) for ref in mesh.world.signers | mesh.issuers.keys()}
    rows, edge_problem = _hosts(seen)
    bridges = matrix.bridged(seen.facts.bridges.items)
    lists = (seen.requests, seen.certificate_requests, seen.certificates)
    unlisted = [one.problem for one in lists if one.problem] + ([seen.events_problem] if seen.events_problem else [])
    return View(
        server=seen.server,
        gaps=tuple(
            dict.fromkeys((*mesh.gaps, *_unread(seen), *unlisted, *([mesh.grace_unread] if mesh.grace_unread else ())))
        ),
        notes=_table({"note": one} for one in problems(mesh)),
        parts=_table(row.document for row in summary.summary(seen.facts, seen.requests, seen.certificates)),
        findings=_table(asdict(one) for one in examine(seen.facts)),
        tenants=_table((document(row) for row in tenants), unknown),
        policies=_table(_policies(mesh.world)),
        picture=drawn(trust, names, MOST_DRAWN, _crossings(bridges, mesh.world, now)),
        bridges=_table(map(matrix.document, bridges), seen.facts.bridges.problem),
        roots=_table(_roots(trust)),
        signers=_table(_signers(seen), "; ".join(mesh.issuer_gaps)),
        waits=_table((asdict(one) for one in waits(seen, tenants)), "; ".join(unlisted)),
        hosts=_table(rows, edge_problem),
    )


def encoded(found: View) -> bytes:
    """Write it as JSON; each text without control characters, and cut."""
    return msgspec.json.encode({one.name: fit(getattr(found, one.name)) for one in fields(found)})


def fit(value: Any, depth: int = 0) -> Any:
    """Return a value of texts, numbers, lists and mappings so that it is harmless and of bounded size."""
    if isinstance(value, Table):
        return {"rows": [fit(row, depth + 1) for row in value.rows], "more": value.more, "problem": fit(value.problem)}
    if isinstance(value, str):
        found = clean(value[:LONGEST])
        return found[:LONGEST] + ("..." if len(value) > LONGEST or len(found) > LONGEST else "")
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {fit(str(key)): fit(one, depth + 1) for key, one in list(value.items())[:MOST_ROWS]}
    if isinstance(value, Iterable):
        return [fit(one, depth + 1) for one in list(value)[:MOST_ROWS]]
    return fit(str(value))


def _table(rows: Iterable[Document], problem: str = "") -> Table:
    listed = tuple(rows)
    return Table(listed[:MOST_ROWS], max(0, len(listed) - MOST_ROWS), problem)


def _unread(seen: Seen) -> list[str]:
    """Say of each CA that may not be looked at why."""
    mesh = seen.facts.mesh
    return [f"{ref}: {mesh.issuers[ref].message}" for ref in sorted(mesh.unread) if ref in mesh.issuers]


def _hosts(seen: Seen) -> tuple[list[Document], str]:
    try:
        objects = hosts.objects_of(seen.lists)
    except NotFoundOut as error:
        return [], str(error)
    except msgspec.ValidationError as error:
        return [], f"an object has not the form that its kind has, and cannot be read: {error}"
    return [hosts.document(row) for row in overview(objects, seen.default)], ""


def _crossings(bridges: Iterable[matrix.Passage], world: World, now: datetime) -> Iterator[Crossing]:
    """Lead each bridge to the signer of its server's namespace, whose root the client trusts."""
    for one in bridges:
        (client,), (server,) = one.clients, one.servers
        signer = signer_of(world, server, now=now)
        if isinstance(signer, IssuerRef):
            stands = one.status == matrix.STANDS
            status = f"bridge to {server}" if stands else f"{one.status}: bridge to {server}"
            yield Crossing(client, server, signer, status, refused=not stands)


def _signers(seen: Seen) -> list[Document]:
    """Describe every issuer; those that a claim or a policy names and that are not there are told by `tenants`."""
    mesh = seen.facts.mesh
    found = sorted(mesh.issuers.items(), key=lambda one: (one[0] not in mesh.world.signers, one[0]))
    return [_signer(ref, state, mesh.world, unread=ref in mesh.unread) for ref, state in found]


def _signer(ref: IssuerRef, state: IssuerState, world: World, *, unread: bool) -> Document:
    ready, authority = summary.issuer_ready(state), state.authority
    binding = world.bindings.get(ref)
    owned = binding is not None and not binding.problem
    return {
        "issuer": str(ref),
        "signer": signer_name_of(ref),
        "type": state.kind,
        "mesh": ref in world.signers,
        "default": ref in world.defaults,
        "state": "ready" if ready else "unknown" if unread else "not ready",
        "why": "" if ready and not unread else state.message or state.reason,
        "warnings": [one for one in (state.warning, state.doubt) if one],
        "owner": binding.namespace if binding is not None and owned else "",
        "ownerSince": to_rfc3339(binding.created) if binding is not None and owned else None,
        "policies": sorted(one.name for one in world.policies.get(ref, ())),
        "subject": authority.subject if authority is not None else "",
        "keyId": authority.key_id[:ROOT_DIGITS] if authority is not None else "",
        "begins": to_rfc3339(authority.not_before) if authority is not None else None,
        "ends": to_rfc3339(authority.not_after) if authority is not None else None,
    }


def _policies(world: World) -> list[Document]:
    found = {one.name: one for listed in world.policies.values() for one in listed}
    return [
        {
            "name": name,
            "signers": [str(ref) for ref in sorted(one.signers)],
            "namespaces": sorted(one.namespaces),
            "labels": [f"{key}={value}" for key, value in sorted(one.namespace_labels.items())],
            "problem": one.problem,
        }
        for name, one in sorted(found.items())
    ]


def _roots(trust: Graph) -> list[Document]:
    return [
        {
            "keyId": one.key_id[:ROOT_DIGITS],
            "subject": one.subject,
            "signers": [str(ref) for ref in one.signers],
            "tenants": list(one.tenants),
            "shared": one.shared,
        }
        for one in trust.roots
    ]
