"""Logs for people or for programs, on standard error (standard output belongs to the audit log).

Set up once at start; used from anywhere. What a line is about is in `extra`, by the names in FIELDS, and an exception
among its arguments is its error. What is said again and again is counted (storms.py): `turn` is to be called now and then.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from signer.api.event import ObjectReference
from signer.kube.clock import to_milliseconds
from signer.kube.errors import told
from signer.observe.printable import escaped, escaped_json, printable
from signer.observe.storms import Storms

log = logging.getLogger(__name__)

LogFormat = Literal["text", "json"]
FIELDS = ("signer", "namespace", "request", "object", "reason", "duration", "error")
"""What a line in JSON has beside its message, where it is about that; `duration` in seconds."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Access lines and client internals say nothing to an operator, and might hold a URL with a query.
_NOISY = ("aiohttp.access", "urllib3", "kubernetes", "asyncio")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := vars(record).get(name)) not in (None, "")}
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


class _Handler(logging.StreamHandler[Any]):
    """Writes what is left of a storm; of an exception without a text it says the kind. Called with its lock held."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(sys.stderr)
        self._clock = clock
        self._storms = Storms()

    def emit(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        if errors := [one for one in args if isinstance(one, BaseException)]:
            record.error = told(errors[0])
            record.args = tuple(told(one) if isinstance(one, BaseException) else one for one in args)
        self._write(self._storms.take(record, self._clock()))

    def turn(self) -> None:
        """Write how often what was said a minute ago was said again."""
        self._ended(lambda: self._storms.ended(self._clock()))

    def close(self) -> None:
        self._ended(self._storms.close)
        super().close()

    def _ended(self, ended: Callable[[], list[logging.LogRecord]]) -> None:
        self.acquire()
        try:
            self._write(ended())
        finally:
            self.release()

    def _write(self, records: list[logging.LogRecord]) -> None:
        for one in records:
            super().emit(one)


def _time(record: logging.LogRecord) -> str:
    return to_milliseconds(datetime.fromtimestamp(record.created, UTC))


def set_up(log_format: LogFormat, level: str, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Send all logs of the process to standard error in the given form, from the given level on."""
    handler = _Handler(clock)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    # What a library warns its callers of says nothing to an operator, and may quote what strangers wrote; on standard error it
    # would stand between lines of JSON. Tests make errors of warnings (pyproject.toml).
    warnings.simplefilter("ignore")
    set_level(level)


def set_level(level: str) -> None:
    """Show what is of this level or above, from now on."""
    logging.getLogger().setLevel(_LEVELS[level])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, _LEVELS[level]))


def turn() -> None:
    """Tell how often what was said again and again was said. To be called each few seconds."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.turn()


def warn(ref: ObjectReference, reason: str, message: str) -> None:
    """Log what is wrong with an object, as its Event says it."""
    name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    fields = {"namespace": ref.namespace, "object": f"{ref.kind} {name}", "reason": reason}
    log.warning("%s %s: %s: %s", ref.kind, name, reason, printable(message), extra=fields)
