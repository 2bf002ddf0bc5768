"""What commands print: the forms that kubectl has, within the terminal, and what changes."""

import argparse
import asyncio
import io
import json
import unicodedata
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.commands.output import LISTS, Row, Rows, changed, colours, listed, print_rows
from signer.commands.tables import table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def row(name: str, why: str = "because", **document: str) -> Row:
    return Row(f"clusterissuer.cert-manager.io/{name}", (name, why, "wide"), {"name": name} | document)


def rows(*found: Row) -> Rows:
    return Rows(("NAME", "WHY", "MORE"), found, "there is none", wide=1)


@pytest.mark.parametrize("form", LISTS)
def test_forms(form: str) -> None:
    """Each form has each row; wide has all columns, uncut."""
    text = listed(rows(row("foo"), row("bar", "x" * 99)), form, width=40)
    if form in {"json", "yaml"}:
        read = json.loads(text) if form == "json" else yaml.safe_load(text)
        assert read == [{"name": "foo"}, {"name": "bar"}]
    elif form == "name":
        assert text == "clusterissuer.cert-manager.io/foo\nclusterissuer.cert-manager.io/bar"
    else:
        assert text.split("\n")[0].split() == ["NAME", "WHY", *(["MORE"] if form == "wide" else [])]
        assert ("x" * 99 in text) == (form == "wide")


@pytest.mark.parametrize("form", LISTS)
def test_nothing(form: str) -> None:
    """A list of nothing is one for programs too, and a sentence for people."""
    found = listed(rows(), form, width=80)
    assert found == {"json": "[]", "yaml": "[]", "name": ""}.get(form, "there is none")


@given(
    st.lists(st.tuples(*[st.text(max_size=60)] * 4), max_size=8),
    st.integers(min_value=4 * 12 + 6, max_value=200),
)
def test_fits(cells: list[tuple[str, ...]], width: int) -> None:
    """No line is longer than the terminal is wide, whatever tenants write; and what fits is not cut."""
    head = ("A", "B", "C", "D")
    for line in table(head, cells, width=width).split("\n"):
        # Marks on a character take no column; one that takes two counts as two.
        assert sum(not unicodedata.combining(char) for char in line) <= width
    whole = table(head, cells)
    if all(len(line) <= width and line.isascii() for line in whole.split("\n")):
        assert table(head, cells, width=width) == whole


def test_wide_characters() -> None:
    """A character that takes two columns counts as two, so that the columns after it stay in line."""
    text = table(("A", "B"), [("証明書", "x"), ("abcdef", "y")])
    assert text.split("\n")[1:] == ["証明書  x", "abcdef  y"]
    cut = table(("A", "B"), [("証" * 30, "x")], width=20).split("\n")[1]
    assert cut.split() == ["証" * 7 + "..", "x"]


@pytest.mark.parametrize(
    ("stream", "environment", "has"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours(stream: io.StringIO, environment: dict[str, str], has: bool) -> None:
    """Colours are for terminals that have them, where nobody asked for none."""
    assert colours(stream, environment) is has


def test_changed() -> None:
    """What is watched tells a row that is new or other, and none that only grew older on the screen."""
    before = [row("foo", "5s ago"), row("bar", state="waits")]
    after = rows(row("foo", "7s ago"), row("bar", state="ready"), row("new"))
    assert [one.cells[0] for one in changed(before, after).rows] == ["bar", "new"]


def test_watching(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With -w the head is printed once, then each row that changed, until somebody ends it."""
    looks: Iterator[Rows] = iter([rows(row("foo")), rows(row("foo")), rows(row("foo", state="new"))])

    async def look() -> tuple[Rows, int]:
        found = next(looks, None)
        if found is None:
            raise KeyboardInterrupt
        return found, 0

    async def no_wait(_: float) -> None:
        return

    monkeypatch.setattr(asyncio, "sleep", no_wait)
    options = argparse.Namespace(output="table", watch=True)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(print_rows(options, look))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["NAME", "foo", "foo"]
