"""One template out of an object as it is in the base, and as it is where a component or an overlay changed it. Pure.

What is the same in all stays; an entry or an item that only some have gets an `if`; a value that differs is chosen. What
cannot be said so is a ValueError that names the place: then the component changes more than a chart can follow, and its
change is better made by an argument.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from charts.generate.holes import Holes

_CONTROLLERS = "--controllers="


@dataclass(frozen=True, slots=True)
class Variant:
    """An object, or a part of one, as it is where `condition` (an expression of Helm's) holds."""

    condition: str
    value: Any


def merged(base: Any, variants: Iterable[Variant], holes: Holes, place: str = "") -> Any:
    """Return the base with holes where a variant differs."""
    others = [one for one in variants if one.value != base]
    if not others:
        return base
    if isinstance(base, dict) and all(isinstance(one.value, dict) for one in others):
        return _mapping(base, others, holes, place)
    if isinstance(base, list) and all(isinstance(one.value, list) for one in others):
        return _list(base, others, holes, place)
    if isinstance(base, str) and base.startswith(_CONTROLLERS):
        return _controllers(base, others, holes)
    if isinstance(base, str | int | bool) and all(type(one.value) is type(base) for one in others):
        expression = json.dumps(base)
        for one in others:
            expression = f"(ternary {json.dumps(one.value)} {expression} {one.condition})"
        return holes.value(expression)
    raise ValueError(f"{place}: {base!r} and {others[0].value!r} are of different kinds")


def _mapping(base: dict[str, Any], others: Sequence[Variant], holes: Holes, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in base.items():
        inner = merged(
            value,
            [Variant(one.condition, one.value[key]) for one in others if key in one.value],
            holes,
            f"{place}.{key}",
        )
        gone = [one.condition for one in others if key not in one.value]
        found |= holes.entry(none_of(gone), key, inner) if gone else {key: inner}
    for one in others:
        for key in one.value.keys() - base.keys():
            found |= holes.entry(one.condition, key, one.value[key])
    return found


def _list(base: list[Any], others: Sequence[Variant], holes: Holes, place: str) -> list[Any]:
    kept: list[list[Variant]] = [[] for _ in base]
    gone: list[list[str]] = [[] for _ in base]
    added: list[list[str]] = [[] for _ in range(len(base) + 1)]
    ours = [_identity(one) for one in base]
    for one in others:
        matcher = SequenceMatcher(None, ours, [_identity(item) for item in one.value], autojunk=False)
        for kind, start, end, other_start, other_end in matcher.get_opcodes():
            if kind == "equal":
                for index in range(end - start):
                    kept[start + index].append(Variant(one.condition, one.value[other_start + index]))
                continue
            for index in range(start, end):
                gone[index].append(one.condition)
            added[end].extend(holes.item(one.condition, item) for item in one.value[other_start:other_end])
    found: list[Any] = []
    for index, item in enumerate(base):
        inner = merged(item, kept[index], holes, f"{place}[{index}]")
        found += [*added[index], holes.item(none_of(gone[index]), inner) if gone[index] else inner]
    return [*found, *added[-1]]


def _identity(item: object) -> str:
    """Tell what makes an item the same one in another list: an option's name, an entry's name, or all of it."""
    if isinstance(item, str) and item.startswith("--"):
        return item.partition("=")[0]
    if isinstance(item, dict) and isinstance(name := item.get("name"), str):
        return name
    return json.dumps(item, sort_keys=True)


def _controllers(base: str, others: Sequence[Variant], holes: Holes) -> str:
    """Return --controllers with the names of the base, less those that a variant leaves out, and those that it adds."""
    names = _names(base)
    conditions: dict[str, list[str]] = {}
    for one in others:
        wanted = _names(one.value)
        for name in names:
            if name not in wanted:
                conditions.setdefault(name, []).append(one.condition)
    parts = [_where(name, none_of(conditions[name])) if name in conditions else f'"{name}"' for name in names]
    for one in others:
        parts += [_where(name, one.condition) for name in _names(one.value) if name not in names]
    return _CONTROLLERS + holes.value(f'list {" ".join(parts)} | compact | join ","')


def none_of(conditions: Sequence[str]) -> str:
    """Return the condition that holds where none of these does."""
    negated = [one[len("(not ") : -1] if one.startswith("(not ") else f"(not {one})" for one in conditions]
    return negated[0] if len(negated) == 1 else f"(and {' '.join(negated)})"


def _where(name: str, condition: str) -> str:
    return f'(ternary "{name}" "" {condition})'


def _names(text: str) -> list[str]:
    return text.removeprefix(_CONTROLLERS).split(",")
