"""`mesh-signer completion`: the completion of a shell, made by shtab out of the options that there are. Asks no cluster."""

import argparse

_SHELLS = ("bash", "zsh", "fish")
_DESCRIPTION = """\
Print the completion of commands and options for a shell. In bash: source <(mesh-signer completion bash). In zsh: mesh-signer
completion zsh > "${fpath[1]}/_mesh-signer". In fish: mesh-signer completion fish | source.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("shell", choices=_SHELLS, help="whose")


def call(options: argparse.Namespace) -> int:
    """Print it; 0."""
    import shtab  # noqa: PLC0415 - of no use to `completion --help`

    whole = options.whole()
    whole.prog = "mesh-signer"
    print(shtab.complete(whole, options.shell))  # noqa: T201 - for the shell
    return 0
