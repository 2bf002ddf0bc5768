"""The command `mesh-signer`. Each subcommand is one file in signer/commands/."""

import argparse
import sys
from collections.abc import Sequence

from signer import __version__
from signer.commands import convert, doctor, edge, explain, mesh_config, run, tenants


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="mesh-signer",
        description="Signs Kubernetes CertificateSigningRequests with the CA of each tenant of an Istio mesh.",
    )
    parser.add_argument("--version", action="version", version=f"mesh-signer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (run, explain, tenants, mesh_config, doctor, edge, convert):
        command.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own); returns the exit status."""
    options = build_parser().parse_args(arguments)
    status: int = options.call(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
