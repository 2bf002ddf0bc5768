"""Tables for people: aligned columns, no control characters of a tenant's, colour on a terminal only. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

_COLOURS = {"red": "31", "yellow": "33", "green": "32"}


def clean(text: str) -> str:
    """Make a text harmless on a terminal: tenants write names and messages, and a terminal obeys control characters.

    New lines become spaces; what is not a printable character is written as its number.
    """
    flat = " ".join(text.split())
    return "".join(
        char if char == " " or unicodedata.category(char)[0] not in "CZ" else f"\\u{ord(char):04x}" for char in flat
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows under a head, two spaces apart, as kubectl does; no space at the end of a line. Empty cells are "-"."""
    lines = [list(head), *([clean(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def coloured(text: str, colour: str, *, terminal: bool) -> str:
    """Colour a text (red, yellow, green) if it goes to a terminal."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if terminal and colour in _COLOURS else text


def ago(moment: datetime | None, now: datetime) -> str:
    """Say how long ago a time was, or how far ahead it is, in one unit: "5m ago", "in 12d"; "" for no time."""
    if moment is None:
        return ""
    distance = moment.astimezone(UTC) - now
    return f"in {_unit(distance)}" if distance > timedelta(0) else f"{_unit(-distance)} ago"


def _unit(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"
