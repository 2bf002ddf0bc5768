"""`mesh-signer status`: one screen, the lines of summary.py.

It reads what `doctor` reads, and the requests and Certificates besides; it writes nothing.
"""

import argparse
import asyncio

from signer.api.certificate import CERTIFICATES
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.commands.checks.examination import gather
from signer.commands.command import FINE, FOUND, UNKNOWN, add_options, run
from signer.commands.live import list_all
from signer.commands.output import LISTS, NAME, Rows, add_watch, print_rows
from signer.commands.summary import summary
from signer.kube.client import ApiClient
from signer.settings.values import Settings

_DESCRIPTION = """\
Say on one screen how mesh-signer is: replicas and leader, issuers, tenants, requests that wait or were refused, CAs and
certificates that end, and how many findings `mesh-signer doctor` has. Exit status: 0 all is well, 1 something is not, 2 a part could
not be determined.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    add_watch(parser)
    add_options(parser, *(one for one in LISTS if one != NAME))


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, settings: Settings) -> int:
        async def look() -> tuple[Rows, int]:
            facts, requests, certificates = await asyncio.gather(
                gather(client, settings),
                list_all(client, CERTIFICATE_SIGNING_REQUESTS),
                list_all(client, CERTIFICATES),
            )
            rows = tuple(summary(facts, requests, certificates))
            oks = {row.document["ok"] for row in rows}
            status = FOUND if False in oks else UNKNOWN if None in oks else FINE
            return Rows(("PART", "STATE", "WHAT"), rows, "nothing is known"), status

        return await print_rows(options, look)

    return run(options, work)
