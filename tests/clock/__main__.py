"""Run the tests of `make test-fast` at two later times, side by side: who mixes a fixed time with the clock learns it now.

libfaketime moves the wall clock of pytest and of every Python that it starts, OpenSSL's included; the monotonic clock,
which time-outs and event loops go by, stays as it is, and so do the times of files. Programs in Go ask the kernel
themselves and see the true time.
"""

import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import IO

from tests.localmesh.debian import NotHere, find_library

ROOT = Path(__file__).parents[2]
SHIFTS = ("+400d", "+11y")
"""Beyond any certificate of a year, and beyond a CA's ten years; a year of libfaketime's has 365 days."""


def shifted(library: Path, shift: str) -> dict[str, str]:
    """The environment of a program whose wall clock is ahead by `shift`."""
    start = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    return os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME": shift,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # else every compiled module looks old, and is compiled and written again
        "PYTHONPATH": os.pathsep.join(filter(None, start)),  # sitecustomize.py
    }


def main() -> int:
    """Status 1 when a test failed, or when the clock was not moved."""
    try:
        library = find_library("faketime/libfaketimeMT.so.1", "libfaketime")
    except NotHere as error:
        print(f"test-clock: skipped: {error}")
        return 0
    running: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []
    for shift in SHIFTS:
        env = shifted(library, shift)
        say = [sys.executable, "-c", "from datetime import datetime; print(datetime.now().isoformat())"]
        seen = subprocess.run(say, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        if (datetime.fromisoformat(seen) - datetime.now()).days < 399:  # noqa: DTZ005 - both are local
            print(f"test-clock: {library} does not move the clock by {shift}: it is {seen}", file=sys.stderr)
            return 1
        tests = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-profile=fast",
            "-m",
            "not heavy",
            "tests/unit",
        ]
        output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read below, when the tests are over
        running.append(
            (f"{shift}, {seen}", subprocess.Popen(tests, env=env, cwd=ROOT, stdout=output, stderr=output), output)
        )
    failed = 0
    for when, process, written in running:
        with written:
            status = process.wait()
            written.seek(0)
            print(f"test-clock: {when}\n{written.read().decode(errors='replace')}", flush=True)
        if status != 0:
            print(f"test-clock: failed at {when}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
