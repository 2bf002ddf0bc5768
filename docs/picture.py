"""Makes docs/demo.svg, the README's picture: runs the demo in a terminal and draws what it prints.

    .venv/bin/python docs/picture.py

Nothing is left out, added or put right: a demo that fails gives no picture. The SVG needs no font, script or file from
anywhere, has a background of its own, and follows the reader's light or dark setting. One process, no concurrency.
"""
# ruff: noqa: INP001 - docs/ is a folder of pages, not a package

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "demo.svg"
# What `make demo` runs once the servers are built.
COMMAND = (sys.executable, "-m", "tests.localmesh.demo")
PROMPT = "$ make demo"
COLUMNS = 160
PATIENCE_SECONDS = 600.0

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_CHUNK = re.compile(r"\S+(?: \S+)*")
_STYLES = {"1": "b", "2": "d", "31": "r", "32": "g"}

FONT_SIZE = 14
# Menlo, DejaVu Sans Mono and Liberation Mono are this wide; textLength holds other fonts to it.
ADVANCE = 8.43
LINE = 19
MARGIN = 18
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
_CSS = """\
.bg{fill:#ffffff;stroke:#d0d7de}.t{fill:#1f2328}.d{fill:#59636e}.g{fill:#1a7f37}.r{fill:#d1242f}.b{font-weight:bold}
@media (prefers-color-scheme:dark){.bg{fill:#0d1117;stroke:#30363d}.t{fill:#e6edf3}.d{fill:#9198a1}.g{fill:#3fb950}.r{fill:#f85149}}
"""


@dataclass(frozen=True)
class Span:
    """Text in one style; `styles` are the classes b (bold), d (dim), r (red), g (green)."""

    text: str
    styles: tuple[str, ...] = ()


def record(command: Sequence[str], *, columns: int = COLUMNS) -> tuple[str, int]:
    """Run a command in a terminal of its own; returns what it printed, and its exit status.

    Raises TimeoutError after ten minutes; the command is then interrupted, so that it can end what it started.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)  # noqa: S603 - our own demo
    os.close(slave)
    deadline = time.monotonic() + PATIENCE_SECONDS
    output = bytearray()
    try:
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{' '.join(command)} has not ended after {PATIENCE_SECONDS:.0f} s")
            if not select.select([master], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side of the terminal is closed
                break
            if not data:
                break
            sys.stdout.write(data.decode(errors="replace"))
            output += data
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        status = process.wait(timeout=60)
        os.close(master)
    return output.decode(), status


def parse(text: str) -> list[list[Span]]:
    """Split a terminal's output into lines of spans. Raises ValueError for a control sequence that is no colour."""
    lines: list[list[Span]] = []
    styles: tuple[str, ...] = ()
    for raw in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        line: list[Span] = []
        # A progress line is written over itself: the last state counts.
        parts = _SGR.split(raw.rpartition("\r")[2])
        for index, part in enumerate(parts):
            if index % 2:
                codes = [code for code in part.split(";") if code not in ("", "0")]
                styles = (*styles, *(_STYLES[code] for code in codes if code in _STYLES)) if codes else ()
            elif part:
                if not part.isprintable():
                    raise ValueError(f"a control sequence that cannot be drawn: {part!r}")
                line.append(Span(part, styles))
        lines.append(line)
    return lines


def draw(lines: Sequence[Sequence[Span]], title: str) -> str:
    """Draw lines as an SVG. Each run of words has its own place, so that columns line up in any monospace font."""
    columns = max((sum(len(span.text) for span in line) for line in lines), default=0)
    width, height = round(columns * ADVANCE) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    body = []
    for number, line in enumerate(lines):
        column, y = 0, MARGIN + number * LINE + FONT_SIZE
        for span in line:
            names = " ".join(span.styles if {"d", "g", "r"} & set(span.styles) else ("t", *span.styles))
            for chunk in _CHUNK.finditer(span.text):
                x, length = MARGIN + (column + chunk.start()) * ADVANCE, len(chunk[0]) * ADVANCE
                body.append(
                    f'<text class="{names}" x="{x:.1f}" y="{y}" textLength="{length:.1f}">{escape(chunk[0])}</text>'
                )
            column += len(span.text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" font-family="{_FONT}" font-size="{FONT_SIZE}">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n"
        f'<rect class="bg" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def main() -> int:
    """Write the picture; exit status 1, and no picture, when the demo fails or tells of this machine."""
    output, status = record(COMMAND)
    if status != 0:
        print(f"picture: the demo ended with {status}: nothing is written", file=sys.stderr)  # noqa: T201
        return 1
    for private in (str(ROOT), str(Path.home())):
        if private != "/" and private in output:
            print(f"picture: the demo's output names {private}: nothing is written", file=sys.stderr)  # noqa: T201
            return 1
    lines = [[Span(PROMPT, ("b",))], *parse(output)]
    PICTURE.write_text(draw(lines, "make demo, as it runs in a terminal"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
