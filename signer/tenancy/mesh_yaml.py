"""Reads the YAML of a mesh config, however hostile, within bounds. Pure.

PyYAML's safe loader makes no objects of Python's, but follows anchors, merges and depth as far as they go; so the text
is walked as events first, and what would grow too large when written out is refused before anything is built. With
libyaml (the usual build) 1 MiB takes a fraction of a second.
"""

from typing import Any

import yaml

MAX_TEXT = 1 << 20
"""Characters; a ConfigMap as a whole holds 1 MiB."""
MAX_NODES = 50_000
"""Values, an alias counted as all that it stands for."""
MAX_DEPTH = 64


class UnreadableYAML(ValueError):
    """The text is no YAML, or more than we read; the message says which."""


class NotText:
    """A number or a time where it stands in the YAML: Istio takes none for text, and neither do we."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # chosen at run time
    """The safe loader without numbers and times: building a hostile number takes as long as it likes."""


def _not_text(_loader: Any, _node: Any) -> NotText:
    return NotText()


for _tag in ("int", "float", "timestamp", "binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _not_text)


def read_yaml(text: str) -> Any:
    """Return the one document: dicts, lists, str, bool, None, NotText. Raises UnreadableYAML."""
    if len(text) > MAX_TEXT:
        raise UnreadableYAML(f"is {len(text)} characters long; at most {MAX_TEXT} are read")
    try:
        _weigh(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except UnreadableYAML:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise UnreadableYAML(f"is no YAML{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableYAML(f"is no YAML: {type(error).__name__}") from None


def _weigh(text: str) -> None:
    """Count what the document would be, written out. Raises UnreadableYAML beyond the limits, and what PyYAML raises."""
    weights: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_}:
                raise UnreadableYAML(f"the anchor {event.anchor!r} contains itself")
            total += weights.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                weights[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
            if len(open_) > MAX_DEPTH:
                raise UnreadableYAML(f"is nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                weights[anchor] = total - before
        if total > MAX_NODES:
            raise UnreadableYAML(f"has more than {MAX_NODES} values, each alias counted as what it stands for")
