"""How the benchmarks print what they measured: Markdown rows, each with its goal and whether it was reached."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """This machine in one line."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}, Python {platform.python_version()}"
    )


class Table:
    """A table of six columns; `good` while every goal was reached."""

    def __init__(self, *head: str) -> None:
        self.good = True
        self.row(*head)
        self.row(*["---"] * len(head))

    @staticmethod
    def row(*cells: str) -> None:
        """One row of a Markdown table."""
        print("| " + " | ".join(cells) + " |", flush=True)

    def judge(self, *, reached: bool) -> str:
        """The last cell of a row that has a goal."""
        self.good = self.good and reached
        return "reached" if reached else "**missed**"
