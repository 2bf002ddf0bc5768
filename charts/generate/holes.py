"""From an object with holes to the text of a template. Pure.

A hole stands in the object as a word that is nowhere else, so that PyYAML writes the object as any other; in the text each
word is then replaced. What stands for a value is one expression of Helm's; what stands for an entry of a mapping or an item
of a list is a few lines, which may be an `if` around it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_WORD = "HOLE{:04d}X"
_ANY = re.compile(r"HOLE\d{4}X")
_ALONE = re.compile(r"(?P<indent> *)(?P<item>- )?(?P<word>HOLE\d{4}X)(?:: null)?")
INDENT = "@indent@"
"""In a line of a hole: how deep it stands, for `nindent`."""
DEEPER = "@deeper@"
"""The same, two deeper."""


class _Plain(yaml.SafeDumper):
    """No anchors, and lists indented below their key, as people write them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, False)


def dump(value: object) -> str:
    """Write YAML as the chart has it: keys in their order, lines of 120 where they can be."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


class Holes:
    """The holes of one object."""

    def __init__(self) -> None:
        self._expressions: dict[str, str] = {}
        self._lines: dict[str, Sequence[str]] = {}

    def value(self, expression: str) -> str:
        """Return the word that stands for what an expression gives, alone or inside a text."""
        word = _WORD.format(len(self._expressions) + len(self._lines))
        self._expressions[word] = expression
        return word

    def lines(self, *lines: str) -> str:
        """Return the word for an entry (as a key, with None as its value) or an item that these lines write."""
        word = _WORD.format(len(self._expressions) + len(self._lines))
        self._lines[word] = lines
        return word

    def entry(self, condition: str, key: str, value: object) -> dict[str, None]:
        """Return an entry of a mapping that is there only where the condition holds."""
        return {self.lines(*_if(condition, dump({key: value}).splitlines())): None}

    def item(self, condition: str, value: object) -> str:
        """Return an item of a list that is there only where the condition holds."""
        return self.lines(*_if(condition, dump([value]).splitlines()))

    def text(self, value: object) -> str:
        """Write a value with its holes as a template. What Helm would take for its own in it is escaped."""
        return self._filled(dump(value).replace("{{", '{{ "{{" }}'))

    def _filled(self, text: str) -> str:
        return "".join(f"{line}\n" for one in text.splitlines() for line in self._line(one))

    def _line(self, line: str) -> Iterable[str]:
        alone = _ALONE.fullmatch(line)
        if alone and (lines := self._lines.get(alone["word"])) is not None:
            for one in lines:
                deep = len(alone["indent"])
                text = one.replace(INDENT, str(deep)).replace(DEEPER, str(deep + 2))
                yield from self._filled(alone["indent"] + text).splitlines()
            return
        yield _ANY.sub(lambda found: f"{{{{ {self._expressions[found[0]]} }}}}", line)


def _if(condition: str, lines: Sequence[str]) -> list[str]:
    return [f"{{{{- if {bare(condition)} }}}}", *lines, "{{- end }}"]


def bare(condition: str) -> str:
    """Return a condition without the parentheses around all of it."""
    return condition[1:-1] if condition.startswith("(") else condition


def with_each(value: Any, change: Mapping[re.Pattern[str], str]) -> Any:
    """Return a value with each text in it changed: what a pattern matches becomes its replacement."""
    if isinstance(value, dict):
        return {with_each(key, change): with_each(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [with_each(one, change) for one in value]
    if isinstance(value, str):
        for pattern, new in change.items():
            value = pattern.sub(new, value)
    return value
