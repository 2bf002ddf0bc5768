"""Writes down what is about to be stored, stores it, and writes down what became of it: one way for all slow controllers.

The intent is in the audit log before the write is sent: lines reach the log at the end of a turn of the loop, so one is waited for.
Where nothing may be issued that cannot be written down (--audit-failure=stop), it is not sent when the intent is in memory only.
Used on the loop. The hot path has its own, which waits for nobody (signer/csr/answers/delivery.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.observe.audit import AuditLine, AuditLog, Outcome
from signer.observe.printable import printable

T = TypeVar("T")

_HUSHED = frozenset({"refused", "gone", "unknown"})


class NotWrittenDown(Exception):
    """The intent could not be written down, so nothing was sent: later."""


async def answered(
    audit: AuditLog,
    line: AuditLine,
    done: Outcome,
    write: Callable[[], Awaitable[T]],
    now: Callable[[], str],
    *,
    hushed: bool = False,
) -> T:
    """Write the intent `line`, `write`, then the outcome: `done` if nothing was raised. Returns and raises what `write` does.

    `now` is the time as lines have it. `hushed`: the line is counted elsewhere, and told only if something else comes of it.
    Raises NotWrittenDown, for what is issued alone.
    """
    if not hushed:
        audit.write(line)
    await asyncio.sleep(0)
    outcome: Outcome = "unknown"
    message = ""
    try:
        if audit.blocked and line.verdict == "issue":
            message = "not sent, as it could not be written down"
            raise NotWrittenDown(message)
        made = await write()
        outcome = done
    except Conflict as error:
        outcome, message = "conflict", error.message
        raise
    except NotFound as error:
        outcome, message = "gone", error.message
        raise
    except ApiError as error:
        # Beyond 499 it may have been stored in spite of the answer.
        outcome, message = "invalid" if error.status < 500 else "unknown", error.message
        raise
    except Unreachable as error:
        message = str(error)
        raise
    finally:
        if not hushed or outcome not in _HUSHED:
            ended = {"audit": "outcome", "time": now(), "outcome": outcome, "message": printable(message)}
            audit.write(msgspec.structs.replace(line, **ended))
    return made
