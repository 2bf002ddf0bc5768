"""The README's picture is the demo's own output, drawn so that it can be shown anywhere."""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from docs import picture
from docs.picture import Span, draw, parse

ROOT = Path(__file__).resolve().parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def text_of(svg: str) -> str:
    """The words of a picture, in order."""
    return "\n".join(element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text"))


def test_it_needs_nothing() -> None:
    """The picture has no script, and nothing in it is loaded from anywhere."""
    svg = picture.PICTURE.read_text()
    kinds = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
    assert kinds == {"svg", "title", "style", "rect", "text"}
    assert not re.search(r"url\(|@import|@font-face|href|data:|\bon[a-z]+=", svg)


def test_it_follows_the_reader() -> None:
    """It has colours for a light and for a dark page, and a background of its own for both."""
    svg = picture.PICTURE.read_text()
    assert svg.count(".bg{fill:") == svg.count(".t{fill:") == 2
    assert "prefers-color-scheme:dark" in svg


def test_it_is_the_demo() -> None:
    """It shows each step that the demo has now, and ends with checks that all passed."""
    words = text_of(picture.PICTURE.read_text())
    tree = ast.parse((ROOT / "tests" / "localmesh" / "demo.py").read_text())
    steps = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]
    assert len(steps) > 3
    assert [step for step in steps if f"==> {step}" not in words] == []
    assert re.search(r"\ndemo: [1-9]\d* checks passed$", words)
    assert "FAILED" not in words.splitlines()  # the mark of a claim that does not hold, and not a TLS error


def test_readme_shows_it() -> None:
    """The README has the picture; docs/performance.md has a place for the benchmark's tables."""
    assert "(docs/demo.svg)" in (ROOT / "README.md").read_text()
    performance = (ROOT / "docs" / "performance.md").read_text()
    assert performance.index("<!-- bench:begin -->") < performance.index("<!-- bench:end -->")


def test_colours() -> None:
    """Styles last until they are reset, over the ends of lines too."""
    assert parse("\x1b[32mok\x1b[0m  a\r\n\x1b[1m\x1b[31mb\nc\x1b[m d") == [
        [Span("ok", ("g",)), Span("  a")],
        [Span("b", ("b", "r"))],
        [Span("c", ("b", "r")), Span(" d")],
    ]


def test_progress() -> None:
    """Of a line that was written over itself the last state counts."""
    assert parse("building 1\rbuilding 2\r\ndone") == [[Span("building 2")], [Span("done")]]


@pytest.mark.parametrize("text", ["\x1b[2Ja", "a\x07"])
def test_what_cannot_be_drawn(text: str) -> None:
    """A control sequence that is not a colour is an error, not a wrong picture."""
    with pytest.raises(ValueError, match="cannot be drawn"):
        parse(text)


def test_places() -> None:
    """Words stand in their columns, special characters are escaped, an empty line keeps its room."""
    svg = draw([[Span("a   <b> c")], [], [Span("d", ("r",))]], "a & b")
    first, second, third = ET.fromstring(svg).iter(f"{SVG}text")
    assert [one.text for one in (first, second, third)] == ["a", "<b> c", "d"]
    assert float(second.attrib["x"]) - float(first.attrib["x"]) == pytest.approx(4 * picture.ADVANCE, abs=0.1)
    assert int(third.attrib["y"]) - int(first.attrib["y"]) == 2 * picture.LINE
    assert third.attrib["class"] == "r"


def test_record() -> None:
    """A command sees a terminal of the given width, and its exit status is told."""
    program = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns); sys.exit(3)"
    assert picture.record([sys.executable, "-c", program], columns=101) == ("True 101\r\n", 3)
