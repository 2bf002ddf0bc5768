"""What a YAML text would be, written out: counted before anything is built of it, as aliases make large things small.

PyYAML's safe loader follows anchors and depth as far as they go. Pure.
"""

from typing import Any

import yaml


class TooHeavy(ValueError):
    """The text goes beyond a limit; the message says which, and goes on a sentence that begins with the text's name."""


def weigh(text: str, loader: Any, *, most_values: int, most_depth: int) -> None:
    """Count the values, an alias as all that its anchor stands for. Raises TooHeavy, and what PyYAML raises."""
    weights: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_}:
                raise TooHeavy(f"has the anchor {event.anchor!r} inside itself{_where(event)}")
            total += weights.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                weights[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
            if len(open_) > most_depth:
                raise TooHeavy(f"is nested more than {most_depth} deep{_where(event)}")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                weights[anchor] = total - before
        if total > most_values:
            raise TooHeavy(f"has more than {most_values} values, each alias counted as what it stands for")


def _where(event: yaml.Event) -> str:
    return f" (line {event.start_mark.line + 1})" if event.start_mark is not None else ""
