"""Which fields an old kind had, and what to do with others: a misspelt one is mended, an unknown one left out. Pure.

Old API servers dropped what they did not know without a word, so a misspelt field had no effect, and nobody saw it.
"""

from collections.abc import Mapping
from typing import Any

from signer.api.meant import near
from signer.convert.note import Notes, shown

Table = Mapping[str, Any]
"""Field -> None (any value), a Table (an object), or [Table] (a list of objects)."""

SECRET_KEY: Table = {"name": None, "key": None}
ISSUER_REF: Table = {"name": None, "kind": None, "group": None}
ANY: Table = {}
"""An object whose fields are not checked."""


def spelt(value: Any, table: Table, place: str, notes: Notes) -> Any:
    """Return the value with misspelt fields mended and unknown ones left out, each with a note."""
    if not table:
        return value
    if not isinstance(value, dict):
        if value is not None:
            notes.add(place, f"is {shown(value)}, where an object is expected; left out")
        return {}
    found: dict[str, Any] = {}
    for name, one in value.items():
        right = name if name in table else _nearest(name, table)
        where = f"{place}.{shown(name)}" if place else shown(name)
        if right is None:
            notes.add(where, "no such field; it never had an effect and is left out")
            continue
        if right != name:
            if right in value:
                notes.add(where, f"misspelt, and {right} is there too; left out")
                continue
            notes.add(where, f"misspelt: {right} is meant; it had no effect until now")
        found[right] = _inside(one, table[right], f"{place}.{right}" if place else right, notes)
    return found


def _inside(value: Any, inner: Any, place: str, notes: Notes) -> Any:
    if isinstance(inner, list):
        if not isinstance(value, list):
            if value is not None:
                notes.add(place, f"is {shown(value)}, where a list is expected; left out")
            return []
        return [spelt(one, inner[0], f"{place}[{index}]", notes) for index, one in enumerate(value)]
    return value if inner is None else spelt(value, inner, place, notes)


def _nearest(name: str, table: Table) -> str | None:
    """The field that is meant, if exactly one is near: its case, or a letter too few, too many or out of place."""
    same = [one for one in table if one.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    if len(name) > 60:
        return None
    # Of short names a swap of two letters is less alike than it looks.
    found = [one for one in table if sorted(one) == sorted(name)] or near(name, table, 0.8)
    return found[0] if len(found) == 1 else None
