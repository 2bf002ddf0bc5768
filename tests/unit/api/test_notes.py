"""Notes of ours on objects of others: no more of them is read than ours can be, whoever wrote them."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signer
from signer.api.notes import LONGEST, Bounds, json_note, text_note
from tests.steps import steps

BOUNDS = Bounds(characters=5000, depth=5, entries=100)
SOURCES = sorted(
    path
    for root in signer.__path__
    for path in Path(root).rglob("*.py")
    # Leases of our own namespace, and what a person runs.
    if path.relative_to(root).parts[0] not in {"kube", "commands"}
)
OURS = "mesh-signer.dev/"

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=200,
)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def entries(value: Any) -> int:
    """Lists, mappings, and what parts their members."""
    inner = list(value.values() if isinstance(value, dict) else value) if isinstance(value, dict | list) else None
    return 0 if inner is None else 1 + max(len(inner) - 1, 0) + sum(map(entries, inner))


@given(values)
def test_what_is_within_its_bounds_is_read(value: Any) -> None:
    """A note is read as it was written, or not at all: brackets, quotes and commas in its texts count for nothing."""
    text = json.dumps(value)
    within = len(text) <= BOUNDS.characters and depth(value) <= BOUNDS.depth and entries(value) <= BOUNDS.entries
    assert json_note({"x": text}, "x", BOUNDS) == (value if within else None)


@given(st.text(alphabet='[]{}",:\\\\1a \n', max_size=200))
def test_whatever_somebody_wrote(text: str) -> None:
    """Reading fails on nothing."""
    json_note({"x": text}, "x", BOUNDS)


HOSTILE = ("[", "{", '{"a":', "[{},", ",", '"', '\\"', "\\", '"\\', '["\\u0000",', "1")


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_goes_with_the_length(piece: str) -> None:
    """Twice as much costs twice as much at most, and what is deeper, longer or more than ours costs no reading of it."""
    bounds = Bounds(characters=100_000, depth=16, entries=20_000)

    def costs(length: int) -> int:
        text = (piece * length)[:length]
        return steps(lambda: json_note({"x": text}, "x", bounds))

    assert costs(20_000) <= 2.5 * costs(10_000) + 1000
    assert costs(200_000) < 1000


def test_a_text_that_is_too_long_stays_another() -> None:
    """What is cut is never what we wrote, and so much longer than ours that it is not taken for it."""
    assert text_note({}, "x") == ""
    assert text_note({"x": "a" * LONGEST}, "x") == "a" * LONGEST
    assert len(text_note({"x": "a" * 10**6}, "x")) == LONGEST + 1
    assert text_note({"x": 1}, "x") == ""


def _ours() -> set[str]:
    """The constants that name annotations and labels of ours."""
    found = set()
    for path in SOURCES:
        for node in ast.parse(path.read_text("utf-8")).body:
            value = node.value if isinstance(node, ast.Assign) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.startswith(OURS):
                assert isinstance(node, ast.Assign)
                found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return found


def _read_elsewhere(tree: ast.AST, names: set[str]) -> list[str]:
    """Where one of our annotations is read and not only compared as a whole."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            where, key = node.func.value, node.args[0] if node.args else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            where, key = node.value, node.slice
        else:
            continue
        text = ast.unparse(where)
        name = ast.unparse(key).rpartition(".")[2] if key is not None else ""
        if name in names and ("annotations" in text or "notes" in text) and not isinstance(parents[node], ast.Compare):
            found.append(ast.unparse(node))
    return found


@pytest.mark.heavy
def test_each_note_is_read_here() -> None:
    """Wherever a note of ours is more than compared, the reader with the bounds reads it."""
    names = _ours()
    read = {str(path): _read_elsewhere(ast.parse(path.read_text("utf-8")), names) for path in SOURCES}
    assert {path: found for path, found in read.items() if found} == {}
