"""`mesh-signer retry`: has what waits after a failure tried again now, within the limits.

It writes the annotation by which an owner does so (signer/api/retry.py), and nothing else: who may change the Certificate
may use it. `renew` is another thing: it issues again what is well, and ends no pause of a host's.
"""

import argparse

from signer.api.certificate import CERTIFICATES
from signer.api.meta import to_rfc3339
from signer.api.names import is_subdomain
from signer.api.retry import RETRY
from signer.api.text import shown
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, checked_namespace, namespace_of, run
from signer.commands.live import time_there
from signer.commands.output import say
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.settings.values import Settings

_DESCRIPTION = """\
Have Certificates tried again now that wait after a failure, and the hosts in them: the annotation mesh-signer.dev/retry gets
the present time, which ends each pause after a failure before it, once. What a CA itself says to wait for, its limits and a
policy's rate stay. Exit status: 0 all are tried again, 1 one of them is not there, 2 it could not be done.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("names", nargs="+", metavar="NAME", help="of Certificates; a Gateway's has its Secret's name")
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="where they are (default: the context's)")
    add_options(parser, wall=False)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    def check() -> None:
        if options.namespace is not None:
            checked_namespace(options.namespace)
        for name in options.names:
            if not is_subdomain(name):
                raise NotFoundOut(f"{shown(name)} is no Certificate's name: such a name is a DNS name in lower case")

    async def work(client: ApiClient, _settings: Settings) -> int:
        namespace = namespace_of(client, options.namespace)
        body = {"metadata": {"annotations": {RETRY: to_rfc3339(await time_there(client))}}}
        there = True
        for name in options.names:
            what = f"Certificate {clean(namespace)}/{clean(name)}"
            try:
                await client.patch(CERTIFICATES, name, body, namespace=namespace)
            except NotFound:
                say(f"{what}: there is none", file="stderr")
                there = False
            else:
                say(f"{what} is tried again")
        return FINE if there else FOUND

    return run(options, work, check)
