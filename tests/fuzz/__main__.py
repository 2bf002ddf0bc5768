"""`make fuzz`: runs the targets one after the other, each for its time, and says what was found and where it lies.

    python -m tests.fuzz [--seconds 60] [TARGET ...]

Findings are kept in fuzz/findings/TARGET, inputs that reach something new in fuzz/grown/TARGET, where the next run goes on.
Exit status 1 when something was found, 2 when a target could not run.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.localmesh.certmanagerpki import build_peer

ROOT = Path(__file__).parents[2]
_GRACE = 120.0
"""Seconds beyond its own for a target to start and to read its corpus."""


def run_target(name: str, seconds: int, folder: Path) -> str:
    """Run one target and print its line; returns "found", "broken" or ""."""
    grown, findings = folder / "grown" / name, folder / "findings" / name
    grown.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(seconds), str(grown), str(findings)]
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        output, _ = process.communicate(timeout=seconds + _GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0] + "\nit did not stop by itself\n"
    took = time.monotonic() - started
    executed = re.findall(r"number_of_executed_units: (\d+)", output) or re.findall(r"^#(\d+)", output, re.MULTILINE)
    covered = re.findall(r"\bcov: (\d+) ft: (\d+)", output)
    edges, features = covered[-1] if covered else ("0", "0")
    new = sorted(set(findings.iterdir()) - before)
    print(
        f"{name:13} {executed[-1] if executed else 0:>9} executions in {took:4.0f} s, "
        f"coverage {edges} edges, {features} features: {'FOUND' if new else 'ok' if process.returncode == 0 else 'BROKEN'}",
        flush=True,
    )
    if not new and process.returncode == 0:
        return ""
    trouble = re.search(r" === Uncaught Python exception: ===\n.*?(?=\n==\d|\Z)", output, re.DOTALL)
    print("\n".join(f"    {line}" for line in (trouble[0] if trouble else output[-3000:]).splitlines()[-25:]))
    for file in new:
        print(
            f"    kept as {file.relative_to(ROOT)}; put it into tests/fuzz/corpus/{name}/ with the mending", flush=True
        )
    return "found" if new else "broken"


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers send.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="; ".join(f"{k}: {v}" for k, v in TARGETS.items()))
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    build_peer().close()  # before the clock runs, and with its progress to be seen
    ended = [run_target(name, options.seconds, ROOT / "fuzz") for name in options.targets or TARGETS]
    return 1 if "found" in ended else 2 if "broken" in ended else 0


if __name__ == "__main__":
    sys.exit(main())
