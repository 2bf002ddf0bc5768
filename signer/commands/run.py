"""`mesh-signer run`: the controller itself, until SIGTERM."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from signer.kube.access.config import ConfigError
from signer.observe import logs
from signer.settings.given import SettingsError
from signer.settings.options import add_groups
from signer.settings.values import settings_from

log = logging.getLogger(__name__)
_M_MMAP_THRESHOLD = -3


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = "Run the controllers until SIGTERM."
    add_groups(parser)


def call(options: argparse.Namespace) -> int:
    """Run; 0 after SIGTERM, 2 for settings that cannot be used, 1 when something failed."""
    try:
        settings = settings_from(vars(options), os.environ, host=socket.gethostname(), process=os.getpid())
    except SettingsError as error:
        print(f"mesh-signer run: {error}", file=sys.stderr)  # noqa: T201 - logs are not set up yet
        return 2
    # What is imported stays, so nothing is looked for in it: a tenth of what a start costs.
    gc.disable()
    from signer import app  # noqa: PLC0415 - `run --help`, and settings that cannot be used, are answered without it

    gc.freeze()
    gc.enable()
    _give_memory_back()
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


def _give_memory_back() -> None:
    """Have large blocks returned to the system when they are free, where the C library can.

    Others' objects are read in pieces of up to a MiB, and thrown away for the most part. By itself glibc takes such blocks from
    its heap after the first ones (M_MMAP_THRESHOLD moves up to 32 MiB), where what stays above them keeps them: half of
    what a process grew by when a namespace was full of large objects (tests/faults/test_large_objects.py).
    """
    import ctypes  # noqa: PLC0415 - `run --help` is answered without it

    with contextlib.suppress(AttributeError, OSError):  # musl has no mallopt
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _loop_factory() -> Callable[[], Any] | None:
    """Return uvloop's loop where it is installed (extra `fast`), else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return uvloop.new_event_loop
