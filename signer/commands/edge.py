"""`mesh-signer edge`: each public host, who wants it, its certificate, and what is in the way, in one line."""

import argparse
from datetime import datetime

from signer.commands.command import FINE, FOUND, add_namespace, add_options, checked_namespace, run
from signer.commands.hosts import add_default_issuer, default_issuer, document, objects_of, read_lists
from signer.commands.live import time_there
from signer.commands.output import LISTS, Row, Rows, add_watch, print_rows
from signer.commands.tables import ago
from signer.edge import overview
from signer.kube.client import ApiClient
from signer.settings.values import Settings

_DESCRIPTION = """\
List each host that a Gateway or an Ingress wants a certificate for: the object, its issuer, the state (ready, issuing,
failing, waiting, refused), whether the gateway's Pods show this certificate, when it ends and is renewed, and what is in
the way. With hosts given: these only.
Exit status: 0 all are ready, 1 one is not, 2 it could not be determined.
"""
_SERVED = {"True": "yes", "False": "no"}


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="only these hosts")
    add_namespace(parser, "only what objects of this namespace want")
    add_watch(parser)
    add_options(parser, *LISTS)
    add_default_issuer(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    def check() -> None:
        if options.namespace is not None:
            checked_namespace(options.namespace)

    async def work(client: ApiClient, settings: Settings) -> int:
        default = default_issuer(options, settings)
        wanted = {host.lower() for host in options.hosts}

        async def look() -> tuple[Rows, int]:
            rows = [
                row
                for row in overview.overview(objects_of(await read_lists(client)), default)
                if (not wanted or row.host in wanted) and options.namespace in {None, row.source.namespace}
            ]
            return _rows(rows, await time_there(client)), FOUND if any(row.state != "ready" for row in rows) else FINE

        return await print_rows(options, look)

    return run(options, work, check)


def _rows(rows: list[overview.Row], now: datetime) -> Rows:
    return Rows(
        ("HOST", "WANTED BY", "ISSUER", "STATE", "SERVED", "ENDS", "RENEWAL", "WHY", "SECRET", "WHERE"),
        tuple(
            Row(
                f"{row.source.kind.lower().removeprefix('api')}/{row.source.name}",
                (
                    row.host,
                    str(row.source),
                    row.issuer,
                    row.state,
                    _SERVED.get(row.served, ""),
                    ago(row.expires, now),
                    ago(row.renewal, now),
                    row.why,
                    row.secret,
                    row.where,
                ),
                document(row),
            )
            for row in rows
        ),
        "no Gateway or Ingress wants a certificate",
        wide=2,
    )
