"""Texts that somebody else wrote, made fit for a message that people read. Pure."""

from collections.abc import Sequence

_LONGEST = 80
_MOST = 10


def shown(value: str) -> str:
    """Quote a hostile text for a message, cut to a line."""
    return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}... ({len(value)} characters)"


def capped(problems: Sequence[str]) -> tuple[str, ...]:
    """Keep the first problems: an object may have thousands, and people read a few."""
    if len(problems) <= _MOST:
        return tuple(problems)
    return (*problems[:_MOST], f"and {len(problems) - _MOST} more")
