"""What the commands share that ask a cluster something and end: their options, their client, their exit status.

0: all is well. 1: it was found out, and something is refused or to be mended. 2: it could not be determined, or the
command line is wrong. One event loop for each call.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable

from signer.kube.client import ApiClient
from signer.kube.config import ConfigError, load_config
from signer.kube.errors import ApiError, Unreachable
from signer.settings.given import SettingsError
from signer.settings.options import add_arguments
from signer.settings.values import Settings, settings_from

FINE, FOUND, UNKNOWN = 0, 1, 2

WALL_OPTIONS = (
    "kubeconfig",
    "cluster-resource-namespace",
    "allow-ca-requests",
    "auto-approve",
    "tenancy",
    "audit-until",
    "unbound",
    "grace",
    "istio-namespace",
    "istiod-accounts",
    "cert-signer-domain",
    "max-workload-lifetime",
    "istiod-dns-names",
    "shared-mesh-config",
)
"""The options that a command has in common with `run`: to see what the signer sees, give what it was given."""

Work = Callable[[ApiClient, Settings], Awaitable[int]]


class NotFoundOut(Exception):
    """What was asked cannot be answered; the message says why, for a person."""


def add_options(parser: argparse.ArgumentParser, *, people: str = "table") -> None:
    """Add the options that all these commands have; `people` names the output that is for people."""
    parser.add_argument(
        "-o", "--output", choices=(people, "json"), default=people, help=f"{people}, or json for programs"
    )
    add_arguments(parser, WALL_OPTIONS)


def run(options: argparse.Namespace, work: Work) -> int:
    """Do the work with a client; returns its exit status, and 2 with one line on stderr when it could not be done."""
    try:
        settings = settings_from(
            {name.replace("-", "_"): getattr(options, name.replace("-", "_"), None) for name in WALL_OPTIONS},
            os.environ,
            host=socket.gethostname(),
            process=os.getpid(),
        )
        return asyncio.run(_with_client(settings, work))
    except (SettingsError, ConfigError, NotFoundOut) as error:
        complaint = str(error)
    except ApiError as error:
        complaint = f"the API server refuses: {error}"
    except Unreachable as error:
        complaint = f"no answer from the API server: {error}"
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    say(f"mesh-signer {options.command}: {complaint}", file="stderr")
    return UNKNOWN


async def _with_client(settings: Settings, work: Work) -> int:
    config = await asyncio.to_thread(load_config, settings.kubeconfig)
    async with ApiClient(config, connections=16) as client:
        return await work(client, settings)


def say(text: str, *, file: str = "stdout") -> None:
    """Print a text for the person or the program that called. What came from a cluster must go through `clean`."""
    print(text, file=sys.stderr if file == "stderr" else sys.stdout)
