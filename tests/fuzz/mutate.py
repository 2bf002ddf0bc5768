"""Changes to DER and JSON that keep the rest well-formed, so that an input gets past the first check.

libFuzzer's own changes are as good for plain text, and are made in half of the cases here too.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Bytes = Callable[[bytes], bytes]
"""Changes some bytes: atheris.Mutate with a size."""

# A node of DER: its tag, and its children or its content.
Node = tuple[int, "list[Node] | bytes"]
_DEPTH = 12
_TAGS = (0x01, 0x02, 0x03, 0x04, 0x06, 0x0C, 0x13, 0x14, 0x16, 0x1E, 0x30, 0x31, *range(0x80, 0x89), 0xA0, 0xA1, 0xA4)


def _parse(data: bytes, depth: int = 0) -> list[Node] | None:
    nodes: list[Node] = []
    pos = 0
    while pos < len(data):
        if pos + 2 > len(data) or depth > _DEPTH:
            return None
        tag, length = data[pos], data[pos + 1]
        pos += 2
        if length > 0x7F:
            count = length & 0x7F
            length = int.from_bytes(data[pos : pos + count], "big")
            pos += count
        if pos + length > len(data):
            return None
        content = data[pos : pos + length]
        pos += length
        # An OCTET STRING holds an extension's value.
        inner = _parse(content, depth + 1) if content and (tag & 0x20 or tag == 0x04) else None
        nodes.append((tag, inner if inner is not None else content))
    return nodes


def _write(nodes: Sequence[Node], chance: random.Random) -> bytes:
    parts = []
    for tag, inner in nodes:
        content = inner if isinstance(inner, bytes) else _write(inner, chance)
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
        short = len(content) < 0x80 and chance.random() > 0.002  # rarely a length that is longer than needed
        parts.append(bytes([tag]) + (size if short else bytes([0x80 | len(size)]) + size) + content)
    return b"".join(parts)


def _lists(nodes: list[Node]) -> list[list[Node]]:
    found = [nodes]
    for _, inner in nodes:
        if isinstance(inner, list):
            found += _lists(inner)
    return found


def der(data: bytes, chance: random.Random, change: Bytes, words: Sequence[bytes] = ()) -> bytes:
    """Change one node of a DER text; `words` are whole elements to put in."""
    nodes = _parse(data)
    if not nodes:
        return change(data)
    siblings = chance.choice([one for one in _lists(nodes) if one])
    at = chance.randrange(len(siblings))
    tag, inner = siblings[at]
    match chance.randrange(7):
        case 0:
            siblings[at] = (chance.choice(_TAGS), inner)
        case 1:
            siblings.insert(chance.randrange(len(siblings) + 1), siblings[at])
        case 2 if len(siblings) > 1:
            del siblings[at]
        case 3 if len(siblings) > 1:
            other = chance.randrange(len(siblings))
            siblings[at], siblings[other] = siblings[other], siblings[at]
        case 4 if words:
            word = _parse(chance.choice(words))
            siblings[at : at + chance.randrange(2)] = word or []
        case _:
            siblings[at] = (tag, change(inner if isinstance(inner, bytes) else _write(inner, chance)))
    return _write(nodes, chance)


_VALUES: tuple[Any, ...] = (None, True, False, 0, -1, 1, 2**31, "", " ", "\t", "*", "a", [], {}, [""], ["", ""], 1.5)
_CHARS = "\x00\t\n %/:@?#.-_~aZ09[]<>\\^*\x7f\x85é\u202e\u2028中😀"


def text(value: str, chance: random.Random) -> str:
    """Change a text by a character or two, or make it long."""
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(value) + 1)
        match chance.randrange(5):
            case 0:
                value = value[:at] + chance.choice(_CHARS) + value[at:]
            case 1:
                value = value[:at] + value[at + 1 :]
            case 2:
                value = value[:at] + chance.choice(_CHARS) + value[at + 1 :]
            case 3:
                value = value[:at] + value[at : at + 8] * chance.choice((2, 9)) + value[at:]
            case _:
                value = value.swapcase() if chance.random() < 0.3 else value[at:] + value[:at]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each container in a JSON value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def json_text(data: bytes, chance: random.Random, change: Bytes, fields: Sequence[tuple[str, Any]]) -> bytes:
    """Change one value of a JSON object; `fields` are names with a sample value, to be put in."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return change(data)
    places = _places(value)
    if not places or chance.random() < 0.25:
        name, sample = chance.choice(fields)
        value[name] = sample
    else:
        container, key = chance.choice(places)
        there = container[key]
        match chance.randrange(6):
            case 0:
                container[key] = chance.choice(_VALUES)
            case 1 if isinstance(container, list):
                container.insert(key, there)
            case 2:
                del container[key]
            case 3 if isinstance(there, int):
                container[key] = chance.choice((there + 1, there - 1, there * 2, -there, str(there)))
            case _ if isinstance(there, str):
                container[key] = text(there, chance)
            case _:
                container[key] = chance.choice([sample for _, sample in fields])
    return json.dumps(value, ensure_ascii=chance.random() < 0.2).encode(errors="replace")
