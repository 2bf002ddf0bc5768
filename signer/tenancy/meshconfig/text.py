"""Where meshConfig.caCertificates stands in the text of Istio's mesh config, and how a piece of it is written anew.

A person writes that text, with comments and an order of his own, and istiod reads it live: what is not ours to change
keeps every byte. So nothing is dumped again; YAML's node marks give the spans, and only those are replaced. Pure.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

AUTHORITIES = ("caCertificates", "ca_certificates")  # protobuf's JSON takes both spellings
SIGNERS = ("certSigners", "cert_signers")
URL = ("spiffeBundleUrl", "spiffe_bundle_url")
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*")
_COMMENT = re.compile(r"[ \t]+#.*")
_LARGEST = 1 << 20  # etcd holds no ConfigMap beyond this
_MAX_DEPTH = 64
# libyaml (the usual build) is 20 times as fast; the two agree about marks, which the tests make sure of.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UneditableText(ValueError):
    """The text cannot be read, or not be edited in place; the message says why and names the field."""


class Splice(msgspec.Struct, frozen=True):
    """Put `text` in the place of what is between two positions."""

    start: int
    end: int
    text: str


class Entry(msgspec.Struct, frozen=True):
    """One entry of caCertificates: its value, its node in the text, and the signers it names, each once."""

    index: int
    value: dict[str, object]
    node: yaml.MappingNode
    signers: tuple[str, ...]

    @property
    def pem(self) -> str:
        """The roots of the entry, "" for none."""
        found = self.value.get("pem")
        return found if isinstance(found, str) else ""

    def find(self, names: Iterable[str]) -> tuple[str, yaml.Node] | None:
        """The key that is spelled in one of these ways, and the node of its value."""
        return next(((key.value, value) for key, value in self.node.value if key.value in names), None)


class MeshConfigText:
    """The text, its value, and the entries of caCertificates in it. Reading raises UneditableText."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.value, self._root = _read(text)
        self._newline = "\r\n" if "\r\n" in text else "\n"
        found = [pair for pair in _pairs(self._root) if pair[0].value in AUTHORITIES]
        if len(found) > 1:
            raise UneditableText("caCertificates appears twice")
        self._key: yaml.Node | None = found[0][0] if found else None
        self._list: yaml.Node | None = found[0][1] if found else None
        self.entries = self._entries()

    def _entries(self) -> list[Entry]:
        if self._key is None or self._list is None:
            return []
        value = self.value[self._key.value]
        if value is None:
            return []
        if not isinstance(value, list) or not isinstance(self._list, yaml.SequenceNode):
            raise UneditableText("caCertificates is not a list")
        found = []
        for index, (item, node) in enumerate(zip(value, self._list.value, strict=True)):
            if not isinstance(item, dict) or not isinstance(node, yaml.MappingNode):
                raise UneditableText(f"caCertificates[{index}] is not a mapping")
            keys = [key.value for key, _ in node.value]
            if len(set(keys)) < len(keys) or all(name in keys for name in SIGNERS):
                raise UneditableText(f"caCertificates[{index}] has a field twice")
            names = next((item[name] for name in SIGNERS if name in item), None) or []
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise UneditableText(f"caCertificates[{index}].certSigners is not a list of names")
            if not isinstance(item.get("pem", ""), str | None):
                raise UneditableText(f"caCertificates[{index}].pem is not text")
            found.append(Entry(index, item, node, tuple(dict.fromkeys(names))))
        return found

    def set_pem(self, entry: Entry, pem: str) -> Splice:
        """Give an entry another root, in the style that the old one is written in."""
        found = entry.find(["pem"])
        if found is None:
            raise UneditableText(f"caCertificates[{entry.index}] has no pem")
        node = found[1]
        start, end = node.start_mark.index, self._end(node)
        if not (isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}):
            return Splice(start, end, self._spaced(start, json.dumps(pem, ensure_ascii=False)))
        head, _, body = self.text[start:end].partition("\n")
        key = next(key for key, _ in entry.node.value if key.value == "pem")
        lead = re.search(r"^( +)\S", body, re.MULTILINE)
        indent = lead[1] if lead and node.style == "|" else " " * (key.start_mark.column + 2)
        comment = _COMMENT.search(head.rstrip("\r"))
        head = "|" + (comment.group() if comment else "")
        lines = [head, *(indent + line for line in pem.splitlines()), ""]
        return Splice(start, end, self._newline.join(lines))

    def set_signer(self, entry: Entry, signer: str) -> Splice:
        """Let an entry name one signer only."""
        found = entry.find(SIGNERS)
        if found is None:
            raise UneditableText(f"caCertificates[{entry.index}] has no certSigners")
        node = found[1]
        start, end = node.start_mark.index, self._end(node)
        tail = self._newline if self.text[start:end].endswith("\n") else ""
        return Splice(start, end, (_inline([signer]) if _flow(node) else f"- {_scalar(signer)}") + tail)

    def insert(self, new: list[dict[str, object]], after: Entry | None = None) -> list[Splice]:
        """Add entries: after the given one, else at the end of the list, which is made when there is none."""
        if not new:
            return []
        if self._list is None:
            return [self._new_list(new)]
        if not isinstance(self._list, yaml.SequenceNode) or not self._list.value:
            return self._fill(self._list, new)
        node = after.node if after is not None else self._list.value[-1]
        if _flow(self._list):
            return [Splice(node.end_mark.index, node.end_mark.index, "".join(f", {_inline(one)}" for one in new))]
        return [self._lines(self._end(node), self._block(new, self._list.start_mark.column))]

    def _new_list(self, new: list[dict[str, object]]) -> Splice:
        if self._root is not None and _flow(self._root):
            end = self._root.end_mark.index - 1
            comma = ", " if self._root.value else ""
            return Splice(end, end, f'{comma}"{AUTHORITIES[0]}": [{", ".join(map(_inline, new))}]')
        column = self._root.start_mark.column if self._root is not None else 0
        at = self._end(self._root) if self._root is not None else len(self.text)
        return self._lines(at, [" " * column + f"{AUTHORITIES[0]}:", *self._block(new, column)])

    def _fill(self, node: yaml.Node, new: list[dict[str, object]]) -> list[Splice]:
        """Fill a list that is empty, or null."""
        start, end = node.start_mark.index, node.end_mark.index
        if self._root is not None and _flow(self._root):
            return [Splice(start, end, self._spaced(start, f"[{', '.join(map(_inline, new))}]"))]
        column = self._key.start_mark.column if self._key is not None else 0
        return [Splice(start, end, ""), self._lines(end, self._block(new, column))]

    def _block(self, new: list[dict[str, object]], column: int) -> list[str]:
        lines = []
        for one in new:
            items: list[str] = []
            for key, value in one.items():
                if isinstance(value, str):
                    items += _literal(key, value)
                elif isinstance(value, list):
                    items += [f"{key}:", *("  - " + _scalar(str(item)) for item in value)]
            lines += [" " * column + ("- " if index == 0 else "  ") + item for index, item in enumerate(items)]
        return lines

    def _lines(self, at: int, lines: list[str]) -> Splice:
        """Insert whole lines at the first beginning of a line from a position on."""
        if at > 0 and self.text[at - 1] != "\n":
            following = self.text.find("\n", at)
            at = len(self.text) if following < 0 else following + 1
        head = [""] if at > 0 and self.text[at - 1] != "\n" else []
        return Splice(at, at, self._newline.join([*head, *lines, ""]))

    def _spaced(self, at: int, text: str) -> str:
        return f" {text}" if at > 0 and self.text[at - 1] == ":" else text

    def _end(self, node: yaml.Node) -> int:
        """Where a node's own text ends. PyYAML puts a block's end where the next thing begins, comments skipped."""
        if isinstance(node, yaml.CollectionNode) and not _flow(node) and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        end: int = node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            head = self.text[node.start_mark.index : end].partition("\n")[0].partition("#")[0]
            if "+" not in head:  # the empty lines that follow are not the text's
                while (cut := re.search(r"\n[ \t\r]*\n\Z", self.text[node.start_mark.index : end])) is not None:
                    end = node.start_mark.index + cut.start() + 1
        return end


def splice(text: str, pieces: Iterable[Splice]) -> str:
    """Put pieces into a text; those of one position stay in their order."""
    for _, piece in sorted(enumerate(pieces), key=lambda one: (one[1].start, one[1].end, one[0]), reverse=True):
        text = text[: piece.start] + piece.text + text[piece.end :]
    return text


def _read(text: str) -> tuple[dict[str, object], yaml.MappingNode | None]:
    if len(text) > _LARGEST:
        raise UneditableText(f"{len(text)} characters are too many for a ConfigMap")
    try:
        _check_events(text)
        loader = _LOADER(text)
        root = loader.get_single_node()
        value = loader.construct_document(root) if root is not None else None
    except UneditableText:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or type(error).__name__
        raise UneditableText(f"it is not YAML{where}: {why}") from None
    if value is None:
        return {}, None
    if not isinstance(value, dict) or not isinstance(root, yaml.MappingNode):
        raise UneditableText("it is not a mapping")
    return value, root


def _check_events(text: str) -> None:
    """Refuse aliases (one place would stand for several, a few for a billion) and what is nested beyond reason."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise UneditableText("it has YAML aliases (*name), so that one place stands for several")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise UneditableText(f"it is nested more than {_MAX_DEPTH} deep")


def _pairs(root: yaml.MappingNode | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(root.value) if root is not None else []


def _flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _literal(key: str, text: str) -> list[str]:
    lines = text.split("\n")
    kept = lines[:-1] if lines[-1] == "" else lines
    if not all(line.strip() == line != "" for line in kept):
        return [f"{key}: {json.dumps(text, ensure_ascii=False)}"]
    return [f"{key}: {'|' if kept != lines else '|-'}", *("  " + line for line in kept)]


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _inline(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
