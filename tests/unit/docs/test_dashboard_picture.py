"""The picture of the dashboard shows every panel with data, and can be shown anywhere."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.generate.dashboard import ROWS
from tests.integration.watching import picture
from tests.integration.watching.picture import Drawn, draw, legend, measure, scale

SVG = "{http://www.w3.org/2000/svg}"


def test_every_panel_has_its_lines() -> None:
    """Each row and panel that the dashboard has now is there, once, and no panel is empty."""
    root = ET.fromstring(picture.PICTURE.read_text())
    words = [element.text or "" for element in root.iter(f"{SVG}text") if element.get("font-weight") == "bold"]
    assert words == [text for name, panels in ROWS.items() for text in (name, *(panel.title for panel in panels))]
    drawn = "".join(
        "B" if one.get("class") == "box" else "L"
        for one in root
        if one.tag != f"{SVG}text" and (one.get("class") == "box" or one.tag == f"{SVG}polyline")
    )
    assert re.fullmatch(r"(BL+)+", drawn), "a box without a line"


def test_it_needs_nothing() -> None:
    """The picture has no script, nothing in it is loaded from anywhere, and it follows a light or dark setting."""
    text = picture.PICTURE.read_text()
    kinds = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
    assert kinds == {"svg", "title", "style", "rect", "text", "line", "polyline"}
    assert not re.search(r"url\(|@import|@font-face|href|data:|\bon[a-z]+=", text)
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 400_000


NUMBERS = st.floats(min_value=0, max_value=1e12, allow_nan=False)


@given(
    st.lists(st.tuples(st.text(max_size=60), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9)), max_size=9)
)
def test_every_point_is_in_its_box(series: list[tuple[str, list[tuple[float, float]]]]) -> None:
    """Whatever a query gives, the drawing is well-formed XML and no line leaves its panel."""
    printable = [("".join(filter(str.isprintable, name)), sorted(points)) for name, points in series]
    root = ET.fromstring(draw({"row": [Drawn("title", "s", printable)]}, "all"))
    (box,) = [one for one in root if one.get("class") == "box"]
    x, y, width, height = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
    lines = [one.get("points", "") for one in root.iter(f"{SVG}polyline")]
    assert len(lines) == len(series)
    for across, down in (map(float, point.split(",")) for line in lines for point in line.split()):
        assert x <= across <= x + width
        assert y <= down <= y + height


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_scale(highest: float) -> None:
    """An axis ends at or above the highest value, and within five times of it."""
    top = scale(highest)
    assert highest <= top * (1 + 1e-9)
    assert top <= highest * 5 * (1 + 1e-9)
    assert math.isclose(
        top / 10 ** math.floor(math.log10(top * (1 + 1e-9))),
        round(top / 10 ** math.floor(math.log10(top * (1 + 1e-9)))),
    )


@pytest.mark.parametrize(
    ("highest", "unit", "size", "name"),
    [
        (0.0, "s", 1e-6, " µs"),
        (0.0005, "s", 1e-6, " µs"),
        (0.25, "s", 1e-3, " ms"),
        (90.0, "s", 1.0, " s"),
        (7200.0, "s", 3600.0, " h"),
        (864000.0, "s", 86400.0, " d"),
        (104857600.0, "bytes", 1048576.0, " MiB"),
        (2.5, "reqps", 1.0, " req/s"),
        (7.0, "short", 1.0, ""),
    ],
)
def test_units(highest: float, unit: str, size: float, name: str) -> None:
    """An axis counts in the units that the dashboard names, of a size that people read."""
    assert measure(highest, unit) == (size, name)


def test_legends() -> None:
    """A legend is filled in from a series' labels; one that is missing is left out."""
    assert legend("{{namespace}}: {{reason}}", {"namespace": "foo", "reason": "Lifetime"}) == "foo: Lifetime"
    assert legend("{{kind}} {{none}}", {"kind": "Issuer"}) == "Issuer"
