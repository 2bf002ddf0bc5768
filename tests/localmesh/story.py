"""How the demo speaks: steps with their times, claims that hold or not, tables. Synchronous."""

import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.localmesh.errors import LocalMeshError

_WIDTH = 130


class Story:
    """Tells what happens, and counts what was checked."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self._colour = sys.stdout.isatty()

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step, with the time that it took."""
        print(self._paint("1", f"==> {title}"), flush=True)
        started = time.monotonic()
        yield
        print(self._paint("2", f"    ({time.monotonic() - started:.1f} s)"), flush=True)

    def show(self, text: str) -> None:
        """Something to look at, indented."""
        print("\n".join(f"    {line}" for line in text.rstrip().splitlines()), flush=True)

    def tell(self, text: str) -> None:
        """A sentence of any length, wrapped."""
        self.show(textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))

    def check(self, claim: str, holds: Callable[[], bool]) -> None:
        """One claim that is true or not."""
        try:
            good = holds()
        except (LocalMeshError, ValueError, OSError) as error:
            good, claim = False, f"{claim} ({error})"
        if good:
            self.passed += 1
        else:
            self.failed.append(claim)
        print(f"    {self._paint('32', 'ok') if good else self._paint('31', 'FAILED')}  {claim}", flush=True)

    def end(self) -> int:
        """Say how it went; the exit status."""
        if not self.failed:
            print(f"\ndemo: {self.passed} checks passed")
            return 0
        print(f"\ndemo: {len(self.failed)} checks FAILED, {self.passed} passed")
        for claim in self.failed:
            print(f"  failed: {claim}")
        return 1


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first row being the heads."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
