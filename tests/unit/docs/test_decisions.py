"""docs/adr: each decision has its number, its day and its status, and stands in the index once, in a group."""

import re
from datetime import date
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "adr"
INDEX = (FOLDER / "README.md").read_text()
PAGES = sorted(FOLDER.glob("0*.md"))

STATUS = re.compile(
    r"^\*\*Status\.\*\* (?:Accepted|Superseded by \[\d+\]\((?P<by>[\w.-]+)\)), (?P<day>\d{4}-\d\d-\d\d)"
    r"(?:; amended (?P<amended>\d{4}-\d\d-\d\d): .+)?\.$"
)


def test_numbers() -> None:
    """The decisions are numbered without a gap."""
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))
    assert len(PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_status(page: Path) -> None:
    """The first line below the title says the status and the day; what supersedes it is a later page."""
    title, empty, status, *_ = page.read_text().splitlines()
    assert title.startswith(f"# {int(page.name[:4])}. ")
    assert empty == ""
    found = STATUS.match(status)
    assert found is not None, status
    day = date.fromisoformat(found["day"])
    assert found["amended"] is None or date.fromisoformat(found["amended"]) >= day
    assert found["by"] is None or ((FOLDER / found["by"]).is_file() and found["by"] > page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_index(page: Path) -> None:
    """The index links each page once, by its number and title, below the heading of a group."""
    number, _, title = page.read_text().splitlines()[0].removeprefix("# ").partition(". ")
    assert INDEX.count(f"- [{number}: {title}]({page.name})\n") == 1
    assert INDEX.index("\n## ") < INDEX.index(page.name)
