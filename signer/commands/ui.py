"""`mesh-signer ui`: a page on loopback that shows what the commands tell, as it changes, with the operator's own rights."""

import argparse
import secrets
from contextlib import AsyncExitStack

from signer.commands.command import FINE, NotFoundOut, add_options, run
from signer.commands.hosts import add_default_issuer, default_issuer
from signer.commands.output import say
from signer.commands.page.board import Board
from signer.commands.page.reading import Reader
from signer.commands.page.site import TOKEN_BYTES, Site
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.observe.listener import Listener
from signer.settings.values import Settings

_LOOPBACK = "127.0.0.1"
_CONNECTIONS = 64
_DESCRIPTION = """\
Serve a page that shows tenants and who trusts whom, signers and the ends of their CAs, what is refused or waits and why, and
public hosts, as they change. It is on loopback alone, for whoever has the URL that is printed; it reads with the rights of
the kubeconfig, shows no secret and writes nothing. It ends with Ctrl-C. Exit status: 2 it could not be served, or the
API server does not answer at the start.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("--port", default="0", metavar="PORT", help="port of 127.0.0.1 (default: any that is free)")
    add_options(parser)
    add_default_issuer(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    def check() -> None:
        _port(options.port)

    async def work(client: ApiClient, settings: Settings) -> int:
        token, board = secrets.token_urlsafe(TOKEN_BYTES), Board()
        reader = Reader(client, settings, default_issuer(options, settings), options.request_timeout)
        port = _port(options.port)
        async with AsyncExitStack() as stack:
            listener = Listener(f"{_LOOPBACK}:{port}", Site(token, board).answer, connections=_CONNECTIONS)
            try:
                await stack.enter_async_context(listener)
            except OSError as error:
                raise NotFoundOut(f"--port: {_LOOPBACK}:{port} cannot be had: {error.strerror}") from None
            say(f"http://{_LOOPBACK}:{listener.port}/#token={token}")
            await board.keep(reader.look, _say)
        return FINE

    return run(options, work, check)


def _port(text: str) -> int:
    """Read --port. Raises NotFoundOut."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 1 << 16):
        raise NotFoundOut(
            f"--port: {clean(text[:20])} is no port: give a number up to 65535, or 0 for any that is free"
        )
    return int(text)


def _say(text: str) -> None:
    say(f"mesh-signer ui: {clean(text)}", file="stderr")
