"""Reads and writes YAML streams as Kubernetes' tools understand them, within bounds. Pure.

PyYAML alone would make times of time stamps and 630 of 10:30, and would write "1e3" so that Go reads a number: numbers
are read in the forms that Go knows, and texts that Go could take for something else are quoted.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from signer.yaml_weight import TooHeavy, weigh

MAX_BYTES = 16 << 20
MAX_NODES = 500_000
"""Values in one stream, an alias counted as all that it stands for."""
MAX_DEPTH = 64


class UnreadableManifest(ValueError):
    """The text is not valid YAML of Kubernetes objects; the message names the place."""


class _Loader(yaml.SafeLoader):
    """The safe loader, told apart so that its rules can differ."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that appears twice: tools disagree about which one counts."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableManifest(f"line {key.start_mark.line + 1}: a key that is not text")
            if key.value in seen:
                raise UnreadableManifest(f"line {key.start_mark.line + 1}: the key {key.value[:60]!r} appears twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?|[-+]?\.[0-9]{1,30}")
_OWN = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
# Of the class's own: PyYAML keeps the resolvers by first character.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _OWN]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in (("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})$"), list("-+.0123456789")
    )


def _float(_loader: Any, node: Any) -> float:
    return float(node.value)


def _int(_loader: Any, node: Any) -> int:
    return int(node.value)


_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, and quotes what Go's YAML would not take for a text."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_ENDS = frozenset("\x85\u2028\u2029")
"""Line ends of YAML 1.1 that are none for people."""
_AMBIGUOUS = re.compile(r"[-+.]?[0-9].*|[yYnN]|[-+]?\.(inf|nan)|~|=|<<", re.ASCII | re.IGNORECASE | re.DOTALL)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    plain = dumper.represent_str(value)
    # represent_str already asks for "|" or quotes where PyYAML's own rules need them.
    if not _ENDS.isdisjoint(value):  # PyYAML folds them in its other styles, and a reader sees another text
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')
    if plain.style is None and _AMBIGUOUS.fullmatch(value):
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'")
    return plain


_Dumper.add_representer(str, _text)


def read_stream(source: str) -> list[dict[str, Any]]:
    """Return the objects of a stream, empty documents left out and Lists taken apart. Raises UnreadableManifest."""
    if len(source) > MAX_BYTES:
        raise UnreadableManifest(f"{len(source)} characters; at most {MAX_BYTES} are read")
    found: list[dict[str, Any]] = []
    try:
        _weigh(source)
        for number, document in enumerate(yaml.load_all(source, Loader=_Loader), 1):
            if document is not None:
                found.extend(_objects(_plain(document), f"document {number}"))
    except UnreadableManifest:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise UnreadableManifest(f"{where}not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableManifest(f"not valid YAML: {type(error).__name__}") from None
    return found


def write_stream(objects: Iterable[dict[str, Any]]) -> str:
    """Write objects as a stream of documents."""
    return "---\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True, default_flow_style=False)
        for one in objects
    )


def _objects(value: Any, where: str) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict):
        raise UnreadableManifest(f"{where}: an object is expected, with apiVersion and kind")
    if value.get("kind") == "List" and value.get("apiVersion") == "v1":
        items = value.get("items")
        for number, item in enumerate(items if isinstance(items, list) else [], 1):
            yield from _objects(item, f"{where}, item {number}")
    else:
        yield value


def _plain(value: Any) -> Any:
    """Copy a value, so that no two objects share a part; the keys must be texts, as in JSON."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UnreadableManifest(f"the key {str(key)[:60]!r} is not text; put it in quotes")
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise UnreadableManifest(f"a value of the YAML type {type(value).__name__}, which JSON does not know")


def _weigh(source: str) -> None:
    """Refuse what the stream would be, written out, if that is too large. Raises UnreadableManifest."""
    try:
        weigh(source, _Loader, most_values=MAX_NODES, most_depth=MAX_DEPTH)
    except TooHeavy as error:
        raise UnreadableManifest(f"the YAML {error}") from None
