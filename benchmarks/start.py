"""What a start of the command costs, in seconds of CPU: the median of ten processes each.

    .venv/bin/python -m benchmarks.start

One process first for each, which writes Python's compiled files. What is imported is promised in
tests/unit/commands/test_start.py; here is what it takes.
"""

import resource
import statistics
import subprocess
import sys

from benchmarks.table import Table, machine

PROCESSES = 10
CLI = "import sys; from signer.cli import main; sys.exit(main())"
CASES: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("Python itself", ("pass",), None),
    ("mesh-signer --version", (CLI, "--version"), 0.15),
    ("mesh-signer --help", (CLI, "--help"), 0.15),
    ("what mesh-signer run imports", ("import signer.commands.run, signer.app",), 1.5),
)


def cpu(*arguments: str) -> float:
    """User and system time of one process of Python with this code and these arguments, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Print the table; exit status 1 when a start costs more than it may."""
    print(f"{machine()}\n")
    table = Table("start", "CPU, s", "goal", "")
    for what, arguments, goal in CASES:
        cpu(*arguments)
        took = statistics.median(cpu(*arguments) for _ in range(PROCESSES))
        if goal is None:
            table.row(what, f"{took:.3f}", "", "")
        else:
            table.row(what, f"{took:.3f}", f"< {goal:g}", table.judge(reached=took < goal))
    return 0 if table.good else 1


if __name__ == "__main__":
    sys.exit(main())
