"""The audit log: the only record of a request that lasts, since istiod deletes requests as soon as it is answered.

Two JSON lines for each signature: the intent before the status write, the outcome after it. Lines of one turn of the
loop are written together, before any answer of that turn can come back. When they cannot be written, either nothing is
issued until they can (`stop`), or work goes on and lines are kept as long as there is room. Used on the loop only.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from signer.observe.printable import escaped_json

log = logging.getLogger(__name__)

Outcome = Literal["stored", "conflict", "gone", "refused", "invalid", "unknown"]
Kind = Literal["intent", "outcome", "summary", "wait"]

_RETRY_SECONDS = 1.0
_STANDARD_OUTPUT = 1


class AuditLine(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """One line. `lifetime` is in seconds; `serial` in hexadecimal; `ca_key` the SHA-256 of the CA's public key.

    `resource` is "" for a CertificateSigningRequest. `names` are all that the certificate names, if more than `identity`. `source` says where a grant comes from; `would_refuse` what enforcing would have said, in audit mode. A summary
    stands for `count` refusals that had no lines of their own. `wait` is told once a minute for each namespace, signer and reason.
    `signed_by` is the signer whose CA signed, where identity chose another than the one that was asked.
    """

    time: str
    audit: Kind
    resource: Literal["", "CertificateRequest", "PodCertificateRequest", "TenantBridge"] = ""
    uid: str = ""
    name: str = ""
    verdict: Literal["issue", "refuse", "wait"]
    signer: str = ""
    signed_by: str = ""
    requester: str = ""
    identity: str = ""
    names: tuple[str, ...] = ()
    namespace: str = ""
    source: str = ""
    reasons: list[str] = []
    would_refuse: list[str] = []
    serial: str = ""
    lifetime: int = 0
    ca_key: str = ""
    count: int = 0
    outcome: Outcome | None = None
    message: str = ""


class Stream(Protocol):
    """Where lines go: raw, so that what was taken is known, and nothing is written twice."""

    def write(self, data: bytes, /) -> int | None:
        """Write some or all of it; how many bytes, None for "not now"."""


class AuditLog:
    """Writes audit lines to a stream, those of one turn of the loop at once.

    A write that fails (a full disk, a closed pipe) is logged once and tried again each second; meanwhile `trouble` says
    why. Lines are kept, `keep` of them at most, and half of that room is for issues alone; what finds no room is
    counted by `on_lost`. `stop`: while there is trouble nothing is to be issued (`blocked`).
    """

    def __init__(
        self,
        stream: Stream | None,
        *,
        on_line: Callable[[Kind], None] = lambda _kind: None,
        on_lost: Callable[[], None] = lambda: None,
        keep: int = 100_000,
        stop: bool = False,
    ) -> None:
        self._stream = stream
        self._on_line = on_line
        self._on_lost = on_lost
        self._lines: list[bytes] = []
        self._rest = b""  # of a write that was cut short, its first line perhaps torn
        self._keep = keep
        self._stop = stop
        self._encoder = msgspec.json.Encoder()
        self._flushing = False
        self._handlers: list[Callable[[], None]] = []
        self._name = ""
        self.trouble = ""

    @classmethod
    def to(
        cls,
        target: str,
        *,
        on_line: Callable[[Kind], None] = lambda _kind: None,
        on_lost: Callable[[], None] = lambda: None,
        stop: bool = False,
    ) -> "AuditLog":
        """Open the log: "-" is standard output, "none" is nowhere, all else a file that is appended to."""
        if target == "none":
            return cls(None, on_line=on_line, on_lost=on_lost, stop=stop)
        # Raw, and closed by `close`; standard output is not ours to close.
        stream: FileIO = FileIO(_STANDARD_OUTPUT, "w", closefd=False) if target == "-" else FileIO(target, "a")
        found = cls(stream, on_line=on_line, on_lost=on_lost, stop=stop)
        found._name = " on standard output (--audit-log=-)" if target == "-" else f" {target} (--audit-log)"
        if target != "-" and _torn(Path(target)):
            found._rest = b"\n"  # so that the first of our lines does not go on where an earlier process stopped
        return found

    @property
    def blocked(self) -> bool:
        """Whether nothing may be issued now, as it could not be written down."""
        return self._stop and bool(self.trouble)

    def subscribe(self, handler: Callable[[], None]) -> None:
        """Call `handler` when lines can be written again."""
        self._handlers.append(handler)

    def write(self, line: AuditLine) -> None:
        """Take one line; it reaches the stream at the end of this turn of the loop."""
        if self._stream is None:
            return
        self._on_line(line.audit)
        room = self._keep if line.verdict == "issue" else self._keep // 2
        if len(self._lines) < room:
            self._lines.append(escaped_json(self._encoder.encode(line)))
        else:
            self._on_lost()
        if not self._flushing and not self.trouble:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines that were taken."""
        self._flushing = False
        if self._stream is None or not (self._lines or self._rest):
            return
        self._lines.append(b"")  # for the last line's end
        self._rest += b"\n".join(self._lines)
        self._lines.clear()
        try:
            while self._rest:
                taken = self._stream.write(self._rest)
                if not taken:
                    raise BlockingIOError(0, "it takes nothing more just now")
                self._rest = self._rest[taken:]
        except OSError as error:
            self._failed(error.strerror or str(error))
            return
        self._works()

    def close(self) -> None:
        """Write what is left and close a file of ours; what finds no place is told, and counted as lost."""
        self.flush()
        if self.trouble:
            self._lose()
        if isinstance(self._stream, FileIO) and self._stream.closefd:
            self._stream.close()

    def _failed(self, why: str) -> None:
        # Whole lines count against the room again; a torn one must go on where it was torn.
        head, mark, tail = self._rest.partition(b"\n")
        self._rest = head + mark
        self._lines = tail.splitlines()
        if not self.trouble:
            what = "nothing is issued" if self._stop else f"up to {self._keep} lines are kept"
            log.error("audit log%s: %s; %s until it can be written", self._name, why, what)
        self.trouble = why
        with contextlib.suppress(RuntimeError):  # the loop has ended: `close` tells of what is left
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.flush)

    def _lose(self) -> None:
        lost = len(self._lines) + bool(self._rest.strip())
        self._lines.clear()
        self._rest = b""
        for _ in range(lost):
            self._on_lost()
        if lost:
            log.error("audit log%s: %d lines are lost: %s", self._name, lost, self.trouble)

    def _works(self) -> None:
        if not self.trouble:
            return
        self.trouble = ""
        log.info("audit log%s: it can be written again", self._name)
        for handler in self._handlers:
            handler()


def _torn(path: Path) -> bool:
    """Tell whether a file's last line has no end: its writer died, or its disk was full."""
    if not path.is_file():  # a pipe, a device
        return False
    try:
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
    except OSError:  # we may write and not read it
        return False
