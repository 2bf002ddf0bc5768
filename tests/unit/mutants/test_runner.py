"""The runner of planted faults tells a fault that was noticed from one that was not."""

from pathlib import Path

import pytest

from tests.mutants import runner
from tests.mutants.mutant import Mutant
from tests.mutants.runner import judge, judge_all

CODE = "def double(n):\n    return n * 2\n\n\ndef unused():\n    return 1\n"
TEST = "from code_under_test import double\n\n\ndef test_double():\n    assert double(3) == 6\n"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one module and one test, which needs no plugins but the one of the runner's options."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "_hypothesis_pytestplugin")
    (tmp_path / "tests").mkdir()
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "tests" / "test_it.py").write_text(TEST)
    return tmp_path


def mutant(old: str, new: str, tests: str = "tests/test_it.py") -> Mutant:
    return Mutant(f"{old} {new} {tests}", "code_under_test.py", old, new, (tests,))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("planted", "verdict", "note"),
    [
        (mutant("n * 2", "n * 3"), "caught", "tests/test_it.py::test_double"),
        (mutant("def double", "def treble"), "caught", "tests/test_it.py"),
        (mutant("return 1", "return 2"), "survived", "all of tests/test_it.py pass"),
        (mutant("return 7", "return 2"), "stale", "stands there 0 times"),
        (mutant("return n", "return ("), "stale", "was never closed"),
        (mutant("n * 2", "n * 3", "tests/test_gone.py"), "broken", "pytest ended with 4"),
    ],
    ids=["caught", "caught on import", "survived", "stale", "no Python", "no such test"],
)
def test_verdicts(copy: Path, planted: Mutant, verdict: str, note: str) -> None:
    """Only a test that fails counts as noticing; a fault without a place or a run without tests proves nothing."""
    result = judge(copy, planted)
    assert (result.verdict, note in result.note) == (verdict, True), result.note
    assert (copy / "code_under_test.py").read_text() == CODE


def test_each_is_judged_once_and_in_order(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault has one result, in the catalogue's order, and each is told as it comes."""

    def run(copy: Path, _tests: object) -> tuple[int, str]:
        right = (copy / "code_under_test.py").read_text() == CODE
        return (0, "") if right else (1, "FAILED tests/test_it.py::test_double")

    monkeypatch.setattr(runner, "run_tests", run)  # what pytest says of a fault is above
    told: list[int] = []
    planted = [mutant("n * 2", f"n * {n}") for n in (3, 2, 4)]
    results = judge_all([copy], planted, lambda number, _: told.append(number))
    assert [result.verdict for result in results] == ["caught", "survived", "caught"]
    assert [result.mutant for result in results] == planted
    assert told == [1, 2, 3]
