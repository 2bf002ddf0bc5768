"""`mesh-signer tenants`: who has which signer and why, policies for what is shared, and the release of a signer."""

import argparse
from datetime import datetime

from signer.api.issuer import GROUP
from signer.api.meta import to_rfc3339
from signer.api.signername import signer_name_of
from signer.api.tenantbridge import TENANT_BRIDGES
from signer.commands.command import FINE, FOUND, NotFoundOut, add_namespace, add_options, checked_namespace, run
from signer.commands.live import Mesh, list_all, read_mesh, time_there
from signer.commands.output import LISTS, Row, Rows, add_watch, print_rows, say
from signer.commands.tables import ago, clean
from signer.commands.tenancies.holders import Tenancy, document, manifest, problems, proposals, tenancies
from signer.commands.tenancies.matrix import Passage, cells, reaches
from signer.commands.tenancies.matrix import document as reach_document
from signer.commands.tenancies.owners import release_signer
from signer.commands.tenancies.readmit import readmit
from signer.kube.client import ApiClient
from signer.settings.values import Settings

_DESCRIPTION = """\
List each namespace with each signer that it claims, owns or is given, where the grant comes from, when the CA ends and
when a certificate was last issued. `tenants --propose` prints SignerPolicies for signers that several namespaces use; `tenants --matrix` shows who can reach whom, and by what;
`tenants release SIGNER` lets another namespace own a signer; `tenants readmit NAMESPACE` gives a namespace that was
deleted and made again what SignerPolicies and EdgePolicies gave to the earlier one by name. Exit status: 0 every claim is granted, 1 one is refused,
2 it could not be determined.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "action",
        nargs="*",
        metavar="release SIGNER | readmit NAMESPACE",
        help="delete the SignerBinding of this signer; let policies that name this namespace mean the one of now",
    )
    parser.add_argument(
        "--matrix", action="store_true", help="show who can reach whom, and by what: one root, or a TenantBridge"
    )
    parser.add_argument("--propose", action="store_true", help="print SignerPolicies for signers that are shared")
    parser.add_argument("--yes", action="store_true", help="release or readmit without asking")
    add_namespace(parser, "only what this namespace has or claims")
    add_watch(parser)
    add_options(parser, *LISTS)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    actions = {"release": release_signer, "readmit": readmit}

    def check() -> None:
        action = options.action
        if action and (action[0] not in actions or len(action) != 2 or options.propose or options.matrix):
            usage = "usage: tenants [--propose | --matrix], tenants release SIGNER [--yes], or tenants readmit NAMESPACE [--yes]"
            raise NotFoundOut(usage)
        if options.namespace is not None:
            checked_namespace(options.namespace)

    async def work(client: ApiClient, settings: Settings) -> int:
        action = options.action
        if action:
            return await actions[action[0]](client, settings, action[1], yes=options.yes)
        if options.propose:
            found = proposals((await _mesh(client, settings, await time_there(client))).world)
            say(manifest(found) if found else "# no signer is claimed by several namespaces without a SignerPolicy")
            return FINE
        told: set[str] = set()

        async def look() -> tuple[Rows, int]:
            now = await time_there(client)
            if options.matrix:
                return await _matrix(client, settings, now, options.namespace), FINE
            mesh = await _mesh(client, settings, now)
            rows = [row for row in tenancies(mesh, now) if options.namespace in {None, row.namespace}]
            for problem in problems(mesh, options.namespace):
                if problem not in told:
                    say(f"mesh-signer tenants: {clean(problem)}", file="stderr")
            told.update(problems(mesh, options.namespace))
            return _rows(rows, now), FOUND if any(row.refused for row in rows) else FINE

        return await print_rows(options, look)

    return run(options, work, check)


async def _matrix(client: ApiClient, settings: Settings, now: datetime, namespace: str | None) -> Rows:
    mesh = await _mesh(client, settings, now)
    bridges = await list_all(client, TENANT_BRIDGES)
    if bridges.problem:
        raise NotFoundOut(f"TenantBridges could not be read: {bridges.problem}")
    found = reaches(mesh.world, tenancies(mesh, now), bridges.items)
    spaces = [one for one in found if namespace is None or _is_about(one, namespace)]
    return Rows(
        ("FROM", "TO", "STATUS", "BY", "HOSTS", "UNTIL"),
        tuple(Row("", cells(one), reach_document(one)) for one in spaces),
        "nobody can reach anybody: no namespace has a signer",
    )


def _is_about(passage: Passage, namespace: str) -> bool:
    return namespace in {one.partition("/")[0] for one in (*passage.clients, *passage.servers)}


async def _mesh(client: ApiClient, settings: Settings, now: datetime) -> Mesh:
    mesh = (await read_mesh(client, settings, now=now)).require()
    if mesh.world.unsynced:
        raise NotFoundOut(f"mesh-signer decides nothing before this can be read: {mesh.world.unsynced}")
    return mesh


def _rows(rows: list[Tenancy], now: datetime) -> Rows:
    return Rows(
        ("NAMESPACE", "SIGNER", "STATUS", "CA ENDS", "LAST ISSUED", "WHY", "SIGNER NAME", "CA ENDS AT"),
        tuple(
            Row(
                f"{row.signer.kind.lower()}.{GROUP}/{row.signer.name}",
                (
                    row.namespace or (f"({row.others} others)" if row.others else "-"),
                    f"{row.signer.namespace}.{row.signer.name}" if row.signer.namespace else row.signer.name,
                    row.status if row.enforced else f"{row.status} (audit)",
                    ago(row.ca_ends, now),
                    ago(row.last_issued, now),
                    row.source,
                    signer_name_of(row.signer),
                    to_rfc3339(row.ca_ends) if row.ca_ends else "",
                ),
                document(row),
            )
            for row in rows
        ),
        "no namespace has a signer: none claims one, and the mesh has no default",
        wide=2,
    )
