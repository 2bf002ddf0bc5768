"""Our own notes on objects that others may write: annotations by which a restart finds what was done. Pure.

Whoever may write the object may write the note, 256 KiB of it. So each is read here, and no further than one of ours can be:
what is more is none of ours. A text is cut where ours ends at the latest, so that a longer one stays another; of JSON the
characters, the values and the depth are counted before it is read.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from signer.kube.encoding.depth import deeper

LONGEST = 1024
"""Characters of a note that is a text: a name of the DNS and a seal, a digest, a time."""
_STRINGS = re.compile(r'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)', re.DOTALL)


class Bounds(NamedTuple):
    """How much a note of JSON can be: characters, values within one another, and values in all (texts and numbers too)."""

    characters: int
    depth: int
    entries: int


def text_note(annotations: Mapping[str, Any], name: str, longest: int = LONGEST) -> str:
    """Return a note that is a text, "" where there is none; of a longer one so much that it stays too long."""
    found = annotations.get(name, "")
    return found[: longest + 1] if isinstance(found, str) else ""


def json_note(annotations: Mapping[str, Any], name: str, bounds: Bounds) -> Any:
    """Return what a note of JSON says; None where there is none, none that can be read, or more than ours can be."""
    text = text_note(annotations, name, bounds.characters)
    if not 0 < len(text) <= bounds.characters:
        return None
    outside = _STRINGS.sub("", text) if '"' in text else text
    if sum(map(outside.count, "[{,")) > bounds.entries or deeper(text.encode(errors="replace"), bounds.depth):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
