"""`mesh-signer run`: the controller itself, until SIGTERM."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from signer.settings.given import SettingsError
from signer.settings.options import add_arguments
from signer.settings.values import Settings, settings_from

log = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser("run", help="run the controllers", description="Run the controllers until SIGTERM.")
    add_arguments(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Run; 0 after SIGTERM, 2 for settings that cannot be used, 1 when something failed."""
    try:
        settings = settings_from(vars(options), os.environ, host=socket.gethostname(), process=os.getpid())
    except SettingsError as error:
        print(f"mesh-signer run: {error}", file=sys.stderr)  # noqa: T201 - logs are not set up yet
        return 2
    return start(settings)


def start(settings: Settings) -> int:
    """Run with these settings; see `call` for the exit status."""
    # Imported here so that `--help` and the other commands stay quick.
    from signer import app  # noqa: PLC0415
    from signer.kube.config import ConfigError  # noqa: PLC0415
    from signer.observe import logs  # noqa: PLC0415

    logs.set_up("json" if settings.log_format == "json" else "text", settings.log_level)
    if settings.tenancy_mode == "audit" and settings.tenancy().enforces(datetime.now(UTC)):
        log.warning("--audit-until is past, so the wall enforces: remove --tenancy=audit and --audit-until")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(app.run(settings))
    except (ConfigError, SettingsError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 2
    except Exception:
        log.exception("mesh-signer failed")
        return 1
    return 0


def _loop_factory() -> Callable[[], Any] | None:
    """Return uvloop's loop where it is installed (extra `fast`), else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop
