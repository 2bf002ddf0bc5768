"""docs/architecture.md leads where it says: each file that it names is there, with the functions that it names in it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("signer", "issuers")

# A row of a walk: | what happens | `file` | `function`, `Class.method` |
STEP = re.compile(r"^\| .+ \| `([\w/]+\.py)` \| ((?:`[\w.]+`(?:, )?)+) \|$", re.MULTILINE)
WALKS = dict(re.findall(r"^## (The walk of .+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
STEPS = sorted({(file, name) for file, names in STEP.findall(PAGE) for name in re.findall(r"`([\w.]+)`", names)})
FILES = sorted(set(re.findall(r"`((?:signer|issuers|manifests|charts|release|tests)/[\w/-]+\.(?:py|yaml))`", PAGE)))
FOLDERS = sorted(set(re.findall(r"`((?:signer|issuers|manifests|charts|release|tests)(?:/[\w-]+)*)/?`", PAGE)))


@cache
def defined(file: Path) -> set[str]:
    """The functions and classes of a file, and the methods as Class.method."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{name}" for name in methods}
    return found


def test_the_walks_are_read() -> None:
    """Three walks are found, each with its steps, so that nothing below passes by finding nothing."""
    assert set(WALKS) == {"The walk of a CSR", "The walk of a Gateway", "The walk of a CA"}
    for text in WALKS.values():
        rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| step |")]
        assert len(rows) > 15
        assert len(STEP.findall(text)) == len(rows)


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_step(file: str, name: str) -> None:
    """What a step names stands in the file of that step."""
    assert name in defined(ROOT / file)


@pytest.mark.parametrize("walk", WALKS)
def test_no_step_goes_back(walk: str) -> None:
    """A walk meets each file once."""
    files = [file for file, _ in STEP.findall(WALKS[walk])]
    assert [file for file in files if files.count(file) > 1] == []


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_named(name: str) -> None:
    """Each file and each folder that the page names is there."""
    assert (ROOT / name).exists()


def test_every_python_file_is_named_in_full() -> None:
    """No file is named by its last part alone, which nothing could check."""
    assert sorted(set(re.findall(r"`([\w/.-]+\.py)`", PAGE)) - set(FILES)) == []


def test_every_room_is_in_the_table() -> None:
    """Each package with code of its own has its line in the table of rooms."""
    table = PAGE.partition("\n## The rooms\n")[2].partition("\n### ")[0]
    named = set(re.findall(r"^\| `([\w/]+)`", table, re.MULTILINE))
    # Rooms whose line speaks for the rooms inside them.
    whole = ("signer/kube/", "signer/commands/", "issuers/acme/")
    rooms = {
        str(init.parent.relative_to(ROOT))
        for package in PACKAGES
        for init in (ROOT / package).rglob("__init__.py")
        if any(file.name != "__init__.py" for file in init.parent.glob("*.py"))
    }
    assert {room for room in rooms - named - {"signer"} if not room.startswith(whole)} == set()
