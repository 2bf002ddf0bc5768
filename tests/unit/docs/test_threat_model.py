"""docs/threat-model.md promises nothing without a test: each test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
# `tests/FILE.py::Class::test`, or `tests/FILE.py::test`, or the file alone.
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+){0,2})`", PAGE)))


@cache
def defined(file: Path) -> set[str]:
    """The tests of a file, as pytest names them without their parameters, and its classes."""
    body = ast.parse(file.read_text()).body
    found = set(names_of(body))
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name, *(f"{node.name}::{name}" for name in names_of(node.body))}
    return found


def names_of(body: list[ast.stmt]) -> list[str]:
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in functions if node.name.startswith("test_")]


@pytest.mark.heavy
def test_named_tests_exist() -> None:
    """A test that the threat model names can be run by that name."""
    assert len(NAMED) > 100
    parted = [name.partition("::") for name in NAMED]
    assert sorted({path for path, _, _ in parted if not (ROOT / path).is_file()}) == []
    assert [f"{path}::{inside}" for path, _, inside in parted if inside and inside not in defined(ROOT / path)] == []


def test_every_line_has_a_test_or_a_reason() -> None:
    """Each row of the tables ends with a test, or with words that say why there is none."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")
    ]
    attacks = [row for row in rows if row[0] != "attack" and len(row) == 3]
    assert len(attacks) > 40
    for row in attacks:
        assert all(row), row
        assert "`tests/" in row[2] or len(row[2].split()) > 3, row
