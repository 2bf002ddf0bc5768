"""The audit log: the only record of a request that lasts, since istiod deletes requests as soon as it is answered.

Two JSON lines for each signature: the intent before the status write, the outcome after it. Lines of one turn of the
loop are written together, before any answer of that turn can come back. Used on the loop only.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

log = logging.getLogger(__name__)

Outcome = Literal["stored", "conflict", "gone", "refused", "invalid", "unknown"]
Kind = Literal["intent", "outcome"]


class AuditLine(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """One line. `lifetime` is in seconds; `serial` in hexadecimal; `ca_key` the SHA-256 of the CA's public key."""

    time: str
    audit: Kind
    uid: str
    name: str
    verdict: Literal["issue", "refuse"]
    signer: str = ""
    requester: str = ""
    identity: str = ""
    reasons: list[str] = []
    serial: str = ""
    lifetime: int = 0
    ca_key: str = ""
    outcome: Outcome | None = None
    message: str = ""


class AuditLog:
    """Writes audit lines to a stream, those of one turn of the loop at once.

    `close` writes what is left. A write that fails (a full disk) is logged once and counted by the caller's metric;
    lines are then kept, up to `keep` of them, and written when the disk takes them again.
    """

    def __init__(
        self, stream: BinaryIO | None, *, on_line: Callable[[Kind], None] = lambda _kind: None, keep: int = 100_000
    ) -> None:
        self._stream = stream
        self._on_line = on_line
        self._lines: list[bytes] = []
        self._keep = keep
        self._encoder = msgspec.json.Encoder()
        self._flushing = False
        self._failed = False

    @classmethod
    def to(cls, target: str, *, on_line: Callable[[Kind], None] = lambda _kind: None) -> "AuditLog":
        """Open the log: "-" is standard output, "none" is nowhere, all else a file that is appended to."""
        if target == "none":
            return cls(None, on_line=on_line)
        if target == "-":
            return cls(sys.stdout.buffer, on_line=on_line)
        return cls(Path(target).open("ab", buffering=0), on_line=on_line)

    def write(self, line: AuditLine) -> None:
        """Take one line; it reaches the stream at the end of this turn of the loop."""
        if self._stream is None:
            return
        self._on_line(line.audit)
        if len(self._lines) < self._keep:
            self._lines.append(self._encoder.encode(line))
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines that were taken."""
        self._flushing = False
        if self._stream is None or not self._lines:
            return
        try:
            self._stream.write(b"\n".join(self._lines) + b"\n")
            self._stream.flush()
        except OSError as error:
            if not self._failed:
                log.error("audit log: %s; up to %d lines are kept until it can be written", error.strerror, self._keep)  # noqa: TRY400
            self._failed = True
            return
        self._lines.clear()
        self._failed = False

    def close(self) -> None:
        """Write what is left and close a file of ours."""
        self.flush()
        if self._stream is not None and self._stream is not sys.stdout.buffer:
            self._stream.close()
