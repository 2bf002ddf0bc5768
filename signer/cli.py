"""The command `mesh-signer`. Each subcommand is the file of its name in signer/commands/.

That file is imported when its subcommand is chosen, and no other: together they take a second of CPU. So what `--help`
says of each stands here.
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import NoReturn

from signer import __version__

COMMANDS = {
    "run": "run the controllers",
    "explain": "say what would become of a request, and why",
    "tenants": "list who has which signer, and why",
    "mesh-config": "print or write the roots that Istio needs for the signers",
    "doctor": "check what the wall between tenants rests on",
    "edge": "list public hosts and their certificates",
    "status": "show on one screen what runs, what waits and what ends soon",
    "ui": "show all of this on a page that follows the cluster",
    "renew": "issue Certificates again now",
    "retry": "try again now what waits after a failure",
    "release": "give up an owner: of a signer, or of a public host",
    "backup": "write what must outlive a cluster into a file",
    "restore": "bring back what backup wrote, and adopt what is ours",
    "leave": "hand the cluster back to cert-manager",
    "version": "print the versions of this program and of what runs in the cluster",
    "completion": "print the completion of a shell",
    "convert": "turn old manifests of cert-manager and Ingresses into current ones",
}


PLUGIN = "kubectl-mesh_signer"
"""What kubectl runs for `kubectl mesh-signer`: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/."""


class _Parser(argparse.ArgumentParser):
    """Tells in one line what is wrong with a command line, and not the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help shows what there is)\n")


def build_parser(commands: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Return the parser of the whole command; of the subcommands only those in `commands` have their options."""
    parser = _Parser(
        prog="kubectl mesh-signer" if sys.argv[0].endswith(PLUGIN) else "mesh-signer",
        description="Signs Kubernetes CertificateSigningRequests with the CA of each tenant of an Istio mesh.",
    )
    parser.add_argument("--version", action="version", version=f"mesh-signer {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text)
        if name in commands:
            module = import_module(f"signer.commands.{name.replace('-', '_')}")
            module.describe(subparser)
            subparser.set_defaults(call=module.call, whole=build_parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own); returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    # No option that may stand before the subcommand takes a value, so the first such name is the subcommand's.
    chosen = next((one for one in given if one in COMMANDS), "")
    options = build_parser((chosen,)).parse_args(given)
    status: int = options.call(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
