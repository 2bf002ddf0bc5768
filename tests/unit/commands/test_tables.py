"""Tables for people: aligned, and harmless on a terminal."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signer.commands.tables import ago, clean, coloured, table
from tests.unit.csr.crafted import NOW


def test_table() -> None:
    """Columns are as wide as their widest cell, empty cells are shown, no line ends in spaces."""
    text = table(("NAME", "WHY"), [("foo", "x"), ("longer-one", "")])
    assert text == "NAME        WHY\nfoo         x\nlonger-one  -"


@given(st.text(max_size=40))
def test_clean(text: str) -> None:
    """Whatever a tenant writes, a terminal gets one line of printable characters."""
    found = clean(text)
    assert found.isprintable()
    assert "\n" not in found


def test_escape_sequence() -> None:
    """An escape sequence in a name is shown, not obeyed; so is what turns the direction of writing."""
    assert clean("a\x1b[2Jb\u202ec") == "a\\u001b[2Jb\\u202ec"


def test_ago() -> None:
    """Times are told by their distance, in one unit."""
    assert ago(None, NOW) == ""
    assert ago(NOW - timedelta(seconds=5), NOW) == "5s ago"
    assert ago(NOW - timedelta(minutes=90), NOW) == "90m ago"
    assert ago(NOW + timedelta(days=89, hours=5), NOW) == "in 89d"


def test_colour() -> None:
    """Colour is for terminals only."""
    assert coloured("x", "red", terminal=False) == "x"
    assert coloured("x", "red", terminal=True) == "\x1b[31mx\x1b[0m"
    assert coloured("x", "", terminal=True) == "x"
