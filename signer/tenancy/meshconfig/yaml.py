"""Reads the YAML of a mesh config, however hostile, within bounds. Pure.

PyYAML's safe loader makes no objects of Python's, but follows anchors, merges and depth as far as they go; so the text
is walked as events first, and what would grow too large when written out is refused before anything is built. With
libyaml (the usual build) 1 MiB takes a fraction of a second.
"""

from typing import Any

import yaml

from signer.yaml_weight import TooHeavy, weigh

MAX_TEXT = 1 << 20
"""Characters; a ConfigMap as a whole holds 1 MiB."""
MAX_NODES = 50_000
"""Values, an alias counted as all that it stands for."""
MAX_DEPTH = 64


class UnreadableYAML(ValueError):
    """The text is not valid YAML, or more than we read; the message says which."""


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
        weigh(text, _Loader, most_values=MAX_NODES, most_depth=MAX_DEPTH)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except TooHeavy as error:
        raise UnreadableYAML(str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise UnreadableYAML(f"is not valid YAML{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableYAML(f"is not valid YAML: {type(error).__name__}") from None
