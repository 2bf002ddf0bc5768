"""The Markdown files lead nowhere wrong and tell nothing of the machine that they were written on."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
# Paths below the folders where people and programs keep checkouts; /tmp and the like are meant for everyone.
_MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|workspace|srv|mnt)/[\w.-]+|[A-Z]:\\\w+")


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings: lower case, blanks to dashes, punctuation dropped."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(page: Path) -> list[str]:
    links = _LINK.findall(_FENCE.sub("", page.read_text()))
    return [link for link in links if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def test_there_are_pages() -> None:
    """The pages that a newcomer looks for are there, and are the ones that are checked here."""
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/architecture.md"} <= names
    assert (ROOT / "LICENSE").is_file()


@pytest.mark.heavy
def test_links() -> None:
    """Each relative link leads to a file, and to a heading in it when it names one."""
    broken = []
    for page in PAGES:
        for link in relative_links(page):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


@pytest.mark.heavy
def test_no_machine() -> None:
    """No page names a path of one machine."""
    assert [f"{page.relative_to(ROOT)}: {one}" for page in PAGES for one in _MACHINE.findall(page.read_text())] == []
