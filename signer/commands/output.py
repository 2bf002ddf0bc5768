"""What a command prints, in the forms that kubectl has: a table, wide, json, yaml, or names; once, or as it changes.

Used on the loop of one command.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from signer.commands.tables import clean, table

JSON, YAML, NAME, WIDE, TABLE, TEXT = "json", "yaml", "name", "wide", "table", "text"
LISTS = (TABLE, WIDE, JSON, YAML, NAME)
"""The forms of what is a list of rows."""
_MEANS = {TABLE: "a table", TEXT: "for people", WIDE: "with all columns, uncut", NAME: "KIND/NAME", JSON: "", YAML: ""}
_NARROW, _SECONDS, _PART = 40, 2.0, 10


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list. `name`: its object as kubectl names it, "" for none; `document`: what programs get.

    `cells` are those of all columns, and those of `-o wide` come last.
    """

    name: str
    cells: tuple[str, ...]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A list: `head` names the columns, of which the last `wide` are shown by -o wide only; `none` is said of no row."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]
    none: str
    wide: int = 0


def add_output(group: Any, forms: Sequence[str]) -> None:
    """Add -o to a parser or a group of options; the first form is the default."""
    told = ", ".join(f"{one} ({_MEANS[one]})" if _MEANS.get(one) else one for one in forms)
    group.add_argument("-o", "--output", choices=forms, default=forms[0], help=f"{told}; default {forms[0]}")


def add_watch(group: Any) -> None:
    """Add -w to a parser or a group of options."""
    group.add_argument(
        "-w", "--watch", action="store_true", help="go on, and print each row that changes, until Ctrl-C"
    )


def say(text: str, *, file: str = "stdout") -> None:
    """Print a text for the person or the program that called. What came from a cluster must go through `clean`."""
    print(text, file=sys.stderr if file == "stderr" else sys.stdout, flush=True)


def colours(stream: IO[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream is a terminal that shows colours, and nobody wants to be without (https://no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM", "") not in {"", "dumb"}


def columns(stream: IO[str]) -> int | None:
    """Return how many columns the terminal has; None where there is none, and nothing needs to be cut."""
    return max(_NARROW, shutil.get_terminal_size().columns) if stream.isatty() else None


def written(value: Any, form: str) -> str:
    """Write a value as json or yaml."""
    if form == YAML:
        import yaml  # noqa: PLC0415 - of no use to the other forms

        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
        return text.rstrip("\n")
    return json.dumps(value, indent=2)


def listed(found: Rows, form: str, *, width: int | None, head: bool = True) -> str:
    """Write a list in one of the forms of LISTS."""
    if form in {JSON, YAML}:
        return written([dict(row.document) for row in found.rows], form)
    if form == NAME:
        return "\n".join(dict.fromkeys(clean(row.name) for row in found.rows if row.name))
    if not found.rows:
        return found.none
    shown = len(found.head) - (found.wide if form != WIDE else 0)
    text = table(found.head[:shown], [row.cells[:shown] for row in found.rows], width=width if form != WIDE else None)
    return text if head else "\n".join(text.splitlines()[1:])


def changed(before: Iterable[Row], after: Rows) -> Rows:
    """Return the rows of `after` that are new or other than they were, by what programs get."""
    known = [row.document for row in before]
    return Rows(after.head, tuple(row for row in after.rows if row.document not in known), "", after.wide)


async def print_rows(options: argparse.Namespace, look: Callable[[], Awaitable[tuple[Rows, int]]]) -> int:
    """Print what `look` finds, which is a list and an exit status; with -w again and again, until it is cancelled.

    What watches takes a tenth of its time for looking, however large the cluster is.
    """
    found, status = await look()
    width = columns(sys.stdout)
    if text := listed(found, options.output, width=width):
        say(text)
    loop = asyncio.get_running_loop()
    took = 0.0
    while options.watch:
        await asyncio.sleep(max(_SECONDS, took * _PART))
        began = loop.time()
        after, status = await look()
        took = loop.time() - began
        news = changed(found.rows, after)
        if news.rows:
            say(listed(news, options.output, width=width, head=False))
        found = after
    return status
