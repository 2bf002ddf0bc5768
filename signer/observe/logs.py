"""Logs for people or for programs, on standard error (standard output belongs to the audit log).

Set up once at start; used from anywhere.
"""

import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Literal

import msgspec

from signer.kube.clock import to_milliseconds
from signer.observe.printable import escaped, escaped_json

LogFormat = Literal["text", "json"]
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return escaped_json(msgspec.json.encode(line)).decode()


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # A message may quote a hostile name: one record stays one line, and shows what is in it.
        message = escaped(record.getMessage())
        text = f"{_time(record)} {record.levelname:<7} {record.name}: {message}"
        if not record.exc_info:
            return text
        return "\n".join((text, *map(escaped, self.formatException(record.exc_info).split("\n"))))


def _time(record: logging.LogRecord) -> str:
    return to_milliseconds(datetime.fromtimestamp(record.created, UTC))


def set_up(log_format: LogFormat, level: str) -> None:
    """Send all logs of the process to standard error in the given form, from the given level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)
    # What a library warns its callers of says nothing to an operator, and may quote what strangers wrote; on standard error it
    # would stand between lines of JSON. Tests make errors of warnings (pyproject.toml).
    warnings.simplefilter("ignore")
    # Access lines and client internals say nothing to an operator, and might hold a URL with a query.
    for noisy in ("aiohttp.access", "urllib3", "kubernetes", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, _LEVELS[level]))
