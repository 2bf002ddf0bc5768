"""What the commands share that ask a cluster something and end: their options, their client, their exit status.

0: all is well. 1: it was found out, and something is refused or to be mended. 2: it could not be determined, or the
command line is wrong. One event loop for each call.
"""

import argparse
import asyncio
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from time import monotonic

import msgspec

from signer.api.duration import InvalidDuration, parse_duration
from signer.api.names import is_label
from signer.api.text import shown
from signer.commands.output import add_output, say
from signer.commands.tables import clean
from signer.kube.access.config import ConfigError, ConnectionConfig, load_config
from signer.kube.client import ApiClient, Query, Response
from signer.kube.errors import ApiError, TimedOut, Unauthorized, Unreachable
from signer.kube.paging import LARGEST_BODY
from signer.settings.given import SettingsError
from signer.settings.options import add_arguments
from signer.settings.values import Settings, settings_from

FINE, FOUND, UNKNOWN = 0, 1, 2
_INTERRUPTED = 130  # as a shell has it: 128 and SIGINT

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
_PATIENCE, _LONGEST = "10s", 3600.0

Work = Callable[[ApiClient, Settings], Awaitable[int]]


class NotFoundOut(Exception):
    """What was asked cannot be answered; the message says why, for a person."""


class _Client(ApiClient):
    """Waits for an answer no longer than `patience` seconds; a server that fell silent is not asked again.

    So one that hangs costs a command one such time, and not one for each thing that it reads.
    """

    def __init__(self, config: ConnectionConfig, patience: float) -> None:
        super().__init__(config, connections=16)
        self.host = config.host
        self.namespace = config.namespace
        self._patience = patience
        self._heard = 0.0
        self._silent: Unreachable | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - as in ApiClient
        largest: int = LARGEST_BODY,
    ) -> Response:
        """Do what ApiClient does."""
        if self._silent is not None:
            raise self._silent
        began = monotonic()
        try:
            answer = await super().request(
                method,
                path,
                query=query,
                body=body,
                content_type=content_type,
                accept=accept,
                timeout=self._patience if timeout is None else timeout,
                largest=largest,
            )
        except ApiError:
            self._heard = monotonic()
            raise
        except Unreachable as error:
            if self._heard < began:
                self._silent = error
            raise
        self._heard = monotonic()
        return answer

    def ask_again(self) -> None:
        """Ask also a server that fell silent, from now on."""
        self._silent = None


def ask_again(client: ApiClient) -> None:
    """Let a command that stays ask a server that fell silent once more."""
    if isinstance(client, _Client):
        client.ask_again()


def add_options(parser: argparse.ArgumentParser, *forms: str, wall: bool = True) -> None:
    """Add the options that all these commands have: `forms` of output, the first by default; `wall`: those of the signer."""
    if forms:
        add_output(parser.add_argument_group("output"), forms)
    cluster = parser.add_argument_group("cluster")
    add_arguments(cluster, ("kubeconfig",))
    cluster.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    cluster.add_argument(
        "--request-timeout",
        default=_PATIENCE,
        metavar="DURATION",
        help=f"how long to wait for an answer of the API server, as 5s or 1m; 0: an hour (default {_PATIENCE})",
    )
    if wall:
        text = "give what mesh-signer was given, so that this command sees the mesh as it does"
        add_arguments(
            parser.add_argument_group("settings of the signer", text),
            tuple(name for name in WALL_OPTIONS if name != "kubeconfig"),
        )


def add_namespace(parser: argparse.ArgumentParser, text: str) -> None:
    """Add -n and -A for a list that is of all namespaces by default."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("-n", "--namespace", metavar="NAMESPACE", help=text)
    chosen.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces (the default)")


def namespace_of(client: ApiClient, given: str | None) -> str:
    """Return the namespace that was given, or that of the kubeconfig's context, as kubectl does. Raises NotFoundOut."""
    return checked_namespace(given or getattr(client, "namespace", "") or "default")


def checked_namespace(name: str) -> str:
    """Return a name that a namespace can have. Raises NotFoundOut."""
    if not is_label(name):
        raise NotFoundOut(f"--namespace: {shown(name)} is no namespace's name; {_NAMES}")
    return name


_NAMES = "such a name has lower case letters, digits and '-', at most 63"


def run(options: argparse.Namespace, work: Work, check: Callable[[], object] = lambda: None) -> int:
    """Do the work with a client; returns its exit status, and 2 with one line on stderr when it could not be done.

    `check` looks at the command line first, before anybody is asked; it raises NotFoundOut.
    """
    try:
        check()
        settings = settings_from(
            {name.replace("-", "_"): getattr(options, name.replace("-", "_"), None) for name in WALL_OPTIONS},
            os.environ,
            host=socket.gethostname(),
            process=os.getpid(),
        )
        return asyncio.run(_with_client(options, settings, work))
    except (SettingsError, ConfigError, NotFoundOut) as error:
        complaint = str(error)
    except ApiError as error:
        complaint = f"the API server refuses: {error}"
    except Unreachable as error:
        complaint = f"no answer from the API server: {error}"
    except msgspec.ValidationError as error:
        complaint = f"an object in the cluster has not the form that its kind has, and cannot be read: {error}"
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a person gets a line and a place to report, never a trace
        complaint = fault(error)
    say(f"mesh-signer {options.command}: {clean(complaint)}", file="stderr")
    return UNKNOWN


def fault(error: Exception) -> str:
    """Say of an error that nobody foresaw where it is, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f", {last[0].filename.rpartition('/')[2]} line {last[0].lineno}" if last else ""
    return f"this is a fault of mesh-signer's own; please report it ({type(error).__name__}{where})"


def patience(text: str, option: str = "--request-timeout") -> float:
    """Read an option as kubectl reads that one: a duration, a number of seconds, or 0 for an hour. Raises NotFoundOut."""
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else parse_duration(text).total_seconds()
    except InvalidDuration:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise NotFoundOut(f"{option}: {shown(text)} is no time up to an hour, as 5s or 1m are")
    return seconds or _LONGEST


async def _with_client(options: argparse.Namespace, settings: Settings, work: Work) -> int:
    seconds = patience(options.request_timeout)
    config = await asyncio.to_thread(load_config, settings.kubeconfig, options.context)
    async with _Client(config, seconds) as client:
        await greet(client, options.request_timeout)
        return await work(client, settings)


async def greet(client: ApiClient, given: str) -> None:
    """Ask the API server for its version, so that one that is away, or does not know us, is told once. Raises NotFoundOut."""
    host = getattr(client, "host", "")
    try:
        await client.request("GET", "/version")
    except Unauthorized as error:
        raise NotFoundOut(
            f"{host} does not accept the credentials of the kubeconfig: {error.message or error}"
        ) from None
    except ApiError:
        pass  # it may keep its version to itself; what else is asked says more
    except Unreachable as error:
        waited = f" within {given}" if isinstance(error, TimedOut) else ""
        raise NotFoundOut(f"no answer from the API server {host}{waited}: {error}") from None
