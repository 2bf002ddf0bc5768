"""docs/dependencies.md names what the project depends on, and nothing else."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
GO_MODULES = sorted(ROOT.glob("tests/*/gotools/*/go.mod")) + sorted(ROOT.glob("benchmarks/*/go.mod"))


def section(title: str) -> set[str]:
    """The names in the first column of a section's table."""
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {name for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}


def declared(group: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = {
        "run time": [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["fast"]],
        "development": [
            *(name for group in project["dependency-groups"].values() for name in group),
            *project["build-system"]["requires"],
            *re.findall(r"^[a-z].+", (ROOT / "requirements-build.in").read_text(), re.MULTILINE),
        ],
    }
    return {re.split(r"[<>=!~\[; ]", one)[0] for one in lists[group]}


def test_run_time() -> None:
    """Run-time dependencies are those of pyproject.toml, with the optional ones."""
    assert section("Run time") == declared("run time")


def test_development() -> None:
    """So are those for development and for building."""
    assert section("Development") == declared("development")


@pytest.mark.parametrize("file", GO_MODULES, ids=lambda file: str(file.parent.relative_to(ROOT)))
def test_go_modules(file: Path) -> None:
    """Each Go module that is asked for directly has its line, with the folder that asks for it."""
    text = re.sub(r"\nreplace \(.*?\n\)", "", file.read_text(), flags=re.DOTALL)
    wanted = set(re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) v\S+$", text, re.MULTILINE))
    assert wanted or "require" not in text, "no module is asked for: the file is read wrongly"
    for module in wanted:
        assert f"`{module}`" in PAGE
    assert f"`{file.parent.relative_to(ROOT)}`" in PAGE
