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
CHANGES = PAGE.partition("\n## Where to change what\n")[2].partition("\n## ")[0]
# In those tables: `file` (`NAME`, `other`: what it is)
INSIDE = re.compile(r"`([\w/]+\.py)` \((`[^)]+)\)")
SAME_NAMES = PAGE.partition("\n## Names that stand for several things\n")[2].partition("\n## ")[0]
FOLDERS = sorted(set(re.findall(r"`((?:signer|issuers|manifests|charts|release|tests)(?:/[\w-]+)*)/?`", PAGE)))


@cache
def body(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text()).body if file.exists() else []


@cache
def defined(file: Path) -> set[str]:
    """The functions and classes of a file, and the methods as Class.method; of a file that is not there, nothing."""
    found = set()
    for node in body(file):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{name}" for name in methods}
    return found


@cache
def anything_in(file: Path) -> set[str]:
    """What is defined in a file, its constants and the bare names of methods too."""
    found = defined(file) | {name.partition(".")[2] for name in defined(file) if "." in name}
    for node in body(file):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found


@cache
def defined_in() -> dict[str, set[str]]:
    """In which files of the product each public function or class stands."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for name in defined(file):
                if "." not in name and not name.startswith("_"):
                    found.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return found


def test_the_walks_are_read() -> None:
    """Four walks are found, each with its steps, so that nothing below passes by finding nothing."""
    kinds = ("CSR", "Gateway", "Certificate", "CA")
    assert set(WALKS) == {f"The walk of a {kind}" for kind in kinds}
    for text in WALKS.values():
        rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| step |")]
        assert len(rows) > 15
        assert len(STEP.findall(text)) == len(rows)


def test_steps() -> None:
    """What a step names stands in the file of that step."""
    assert [(file, name) for file, name in STEPS if name not in defined(ROOT / file)] == []


@pytest.mark.parametrize("walk", WALKS)
def test_no_step_goes_back(walk: str) -> None:
    """A walk meets each file once."""
    files = [file for file, _ in STEP.findall(WALKS[walk])]
    assert [file for file in files if files.count(file) > 1] == []


def test_named() -> None:
    """Each file and each folder that the page names is there."""
    assert [name for name in (*FILES, *FOLDERS) if not (ROOT / name).exists()] == []


def test_each_product_file_is_on_the_page() -> None:
    """Whatever somebody wants to change, the file that he needs is named, with what it does."""
    folders = (*PACKAGES, "manifests/generate", "charts/generate", "release")
    files = {str(file.relative_to(ROOT)) for folder in folders for file in (ROOT / folder).rglob("*.py")}
    assert {file for file in files - set(FILES) if not file.endswith("/__init__.py")} == set()


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


def test_change() -> None:
    """What the tables of changes name in a file stands there."""
    said = {
        (file, name)
        for file, names in INSIDE.findall(CHANGES)
        for name in re.findall(r"`(\w[\w.]*)`", names)
        if not (ROOT / name).exists()
    }
    assert sorted((file, name) for file, name in said if name not in anything_in(ROOT / file)) == []


def test_changes_are_read() -> None:
    """The tables are found, in groups, each group with its rows and in the list above them."""
    groups = re.findall(r"^### (.+)\n((?:(?!^### ).*\n)*)", CHANGES, re.MULTILINE)
    assert len(groups) > 10
    for title, text in groups:
        assert text.count("\n| ") > 5, title
        assert f"](#{re.sub(r'[^a-z ]', '', title.lower()).replace(' ', '-')})" in CHANGES
    assert len(INSIDE.findall(CHANGES)) > 50


def test_rows_begin_with_a_place() -> None:
    """Each row of the tables of changes names a file or a folder, and says nothing by "the same page"."""
    rows = [line for line in CHANGES.splitlines() if line.startswith("| ") and not line.startswith("| to change |")]
    assert [row for row in rows if not re.search(r"`[\w-]+/[\w/.-]+`", row.split(" | ")[1])] == []
    assert not re.search(r"\bthe same (page|table)\b", PAGE)


def test_each_product_file_has_a_change() -> None:
    """Each file can be found by what somebody would change in it, whether it is in a walk or not."""
    named = set(re.findall(r"`([\w/]+\.py)`", CHANGES))
    files = {str(file.relative_to(ROOT)) for folder in PACKAGES for file in (ROOT / folder).rglob("*.py")}
    assert {file for file in files - named if not file.endswith("/__init__.py")} == set()


def test_names_that_stand_for_several_things() -> None:
    """A name of a walk that another file has too is listed, with each of these files."""
    walked = {name.partition(".")[0] for _, name in STEPS}
    several = {name: files for name, files in defined_in().items() if name in walked and len(files) > 1}
    assert len(several) > 10
    rows = SAME_NAMES.splitlines()
    unsaid = {
        name: sorted(files)
        for name, files in several.items()
        if not any(f"`{name}`" in row and all(f"`{file}`" in row for file in files) for row in rows)
    }
    assert unsaid == {}
