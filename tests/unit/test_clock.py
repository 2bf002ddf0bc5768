"""No test mixes a fixed time with the clock: it would pass for some weeks only.

`make test-clock` looks at the same from the other side: it runs these tests as if it were another year.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pki

HERE = Path(__file__).parent
CLOCKS = {"datetime.now", "dt.datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}


def faults(source: str) -> Iterator[str]:
    """Where a module reads the clock, or makes a CA by it, as `line: what`."""
    if not any(word in source for word in ("CA(", *CLOCKS)):
        return  # most have neither, and parsing takes its time
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif ast.unparse(node.func) in {"CA", "pki.CA"}:
            given = {keyword.arg for keyword in node.keywords}
            if not given & {"now", "parent"}:
                yield f"{node.lineno}: {ast.unparse(node)} without now"


@pytest.mark.heavy
def test_no_unit_test_reads_the_clock() -> None:
    """Times in tests/unit are fixed, and each CA says which of them it is made at."""
    files = sorted(HERE.rglob("*.py"))
    assert len(files) > 300
    assert [f"{path.relative_to(HERE)}:{one}" for path in files for one in faults(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("source", ["datetime.now(UTC)", "clock=time.time", 'pki.CA("x")', "CA(private=key)"])
def test_faults(source: str) -> None:
    """Both are found, however they are written."""
    assert len(list(faults(f"f({source})"))) == 1


@pytest.mark.heavy
def test_one_clock_on_a_server() -> None:
    """A test that puts its clock ahead means CAs, too: whoever makes a Registry on a real server says which clock it has."""
    without = [
        f"{path.relative_to(HERE.parent)}:{node.lineno}"
        for folder in ("integration", "faults", "e2e")
        for path in (HERE.parent / folder).rglob("*.py")
        if "Registry(" in (source := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Registry"
        if "clock" not in {keyword.arg for keyword in node.keywords}
    ]
    assert without == []


def test_below_a_ca() -> None:
    """A CA below another is made at the same time."""
    root = pki.CA("root", now=pki.ANY_TIME)
    for below in (root.intermediate("below"), pki.CA("below", parent=root)):
        assert below.certificate.not_valid_before_utc == root.certificate.not_valid_before_utc
        assert below.certificate.not_valid_after_utc == root.certificate.not_valid_after_utc
