"""`mesh-signer release`: an administrator gives up an owner, so that another namespace may become it."""

import argparse
from collections.abc import Awaitable, Callable

from signer.api.text import shown
from signer.commands.command import NotFoundOut, add_options, run
from signer.commands.tenancies.owners import release_host, release_signer
from signer.kube.client import ApiClient
from signer.settings.values import Settings

_RELEASES: dict[str, Callable[..., Awaitable[int]]] = {
    "signer": release_signer,
    "signerbinding": release_signer,
    "host": release_host,
    "hostclaim": release_host,
}
_USAGE = "usage: release signer NAME [--yes], or release host HOST [--yes]"
_DESCRIPTION = """\
Delete the SignerBinding of a signer, or the HostClaim of a public host: the next namespace that asks may become the owner. You are
asked first; without a terminal, and without --yes, nothing is done. Exit status: 0 it is released, 1 you said no, 2 it could not be
done.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("kind", metavar="signer|host", help="what has the owner")
    parser.add_argument("name", metavar="NAME", help="such as foo, or shop.example.com")
    parser.add_argument("--yes", action="store_true", help="release it without asking")
    add_options(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    release = _RELEASES.get(options.kind.lower().removesuffix("s"))

    def check() -> None:
        if release is None:
            raise NotFoundOut(f"{shown(options.kind)} has no owner that can be released; {_USAGE}")

    async def work(client: ApiClient, settings: Settings) -> int:
        return await (release or release_signer)(client, settings, options.name, yes=options.yes)

    return run(options, work, check)
