"""What is uploaded can be read where it is shown, and says what was tried."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readme_renderer import markdown

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCE = PROJECT["urls"]["Source"]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_of_ours", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETUP = load()


def test_readme_has_no_relative_link() -> None:
    """On PyPI each link of the README leads to the file that it means, at the release's tag, and pictures are shown."""
    shown, here = SETUP.readme(), (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", shown)
    relative = [link for link in re.findall(r"\]\(([^)\s]+)\)", here) if not link.startswith("http")]
    assert len(relative) > 20
    assert all(re.match("https://|#", link) for link in targets)
    for link in relative:
        assert re.search(rf"/v[^/]+/{re.escape(link)}$", "\n".join(targets), re.MULTILINE), link
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", shown)
    assert pictures
    assert all(one.startswith("https://raw.githubusercontent.com/") for one in pictures)
    assert not re.search(r"^\[[^\]]+\]: (?!https)", shown, re.MULTILINE)


def test_readme_is_shown() -> None:
    """PyPI's own renderer takes the README: tables, blocks and pictures are there, and no link lost its target."""
    source = SETUP.readme()
    page = markdown.render(source)
    assert page is not None
    assert page.count("<table>") == len(re.findall(r"^\|(?:[-: ]*-[-: ]*\|)+$", source, re.MULTILINE)) > 2
    assert page.count("<pre") == len(re.findall(r"^```\w+$", source, re.MULTILINE)) > 2
    assert page.count("<img") == len(re.findall(r"!\[", source)) > 0
    links = re.findall(r"(?<!!)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\(([^)\s]+)\)", source)
    shown = [one for one in re.findall(r'<a href="([^"]+)"', page) if not one.startswith("#user-content-")]
    assert sorted(shown) == sorted(links)


@given(st.sampled_from(["a.md", "docs/a.md#b", "https://x.dev/a", "#here", "mailto:a@b.c"]), st.booleans())
def test_any_link(target: str, picture: bool) -> None:
    """Only links into the repository are changed, alone, as a picture, or as a picture that is a link."""
    text = f"see {'!' if picture else ''}[it]({target}), and [![it]({target})]({target})."
    made = SETUP.absolute(text, "https://github.com/o/r", "v1")
    inside = not re.match(r"[a-z]+:|#", target)
    raw, page = ("https://raw.githubusercontent.com/o/r/v1/", "https://github.com/o/r/blob/v1/") if inside else ("", "")
    assert (
        made
        == f"see {'!' if picture else ''}[it]({raw if picture else page}{target}), and [![it]({raw}{target})]({page}{target})."
    )


@pytest.mark.parametrize("name", ["Source", "Documentation", "Changelog", "Issues"])
def test_urls(name: str) -> None:
    """Who finds the package finds the project: all addresses are of one repository."""
    assert PROJECT["urls"][name].startswith(SOURCE)


def test_the_repository_is_one() -> None:
    """The image's label names the same repository."""
    assert f"ARG SOURCE={SOURCE}\n" in (ROOT / "Dockerfile").read_text()


def test_classifiers_begin_with_the_oldest() -> None:
    """The versions of Python that are named are those from `requires-python` on, without a gap."""
    found = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    numbers = [int(one.partition(".")[2]) for one in found]
    assert PROJECT["requires-python"] == f">=3.{numbers[0]}"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
