"""Texts that somebody else wrote, made fit for a message that people read. Pure."""

from collections.abc import Iterable, Sequence

_LONGEST = 80
_MOST = 10
_FEW = 6
LONGEST_MESSAGE = 4096
"""Characters of a message of ours, in a condition, an audit line or a log: objects stay small whatever others put into theirs."""


def shown(value: str) -> str:
    """Quote a hostile text for a message, cut to a line."""
    return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}... ({len(value)} characters)"


def fitted(message: str) -> str:
    """Cut a message of ours where it is longer than anybody reads, and say so."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    more = f"... ({len(message)} characters)"
    return message[: LONGEST_MESSAGE - len(more)] + more


def some(names: Iterable[str], most: int = _FEW) -> str:
    """Name the first few, and how many more there are: "a, b and 7 more"."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def capped(problems: Sequence[str]) -> tuple[str, ...]:
    """Keep the first problems: an object may have thousands, and people read a few."""
    if len(problems) <= _MOST:
        return tuple(problems)
    return (*problems[:_MOST], f"and {len(problems) - _MOST} more")
