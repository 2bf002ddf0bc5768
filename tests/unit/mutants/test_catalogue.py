"""The planted faults of `make mutants` fit the code as it is."""

from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, Stale
from tests.mutants.runner import ROOT


def wrong(mutant: Mutant) -> str:
    """Why a fault cannot be planted; "" where it can."""
    try:
        planted = mutant.plant((ROOT / mutant.file).read_text(encoding="utf-8"))
        if mutant.file.endswith(".py"):
            compile(planted, mutant.file, "exec")
    except (OSError, Stale, SyntaxError) as error:
        return str(error)
    missing = [path for path in mutant.tests if not (ROOT / path).exists()]
    return f"no such tests: {missing}" if missing or not mutant.tests else ""


@pytest.mark.heavy
def test_can_be_planted() -> None:
    """Each fault still has its place in the code, exactly once, is Python afterwards, and names tests that exist."""
    assert {mutant.fault: told for mutant in MUTANTS if (told := wrong(mutant))} == {}


@pytest.mark.parametrize(
    ("mutant", "told"),
    [
        (Mutant("f", "signer/no_such.py", "a", "b", ("tests",)), "No such file"),
        (Mutant("f", "signer/cli.py", "no such text", "b", ("tests",)), "stands there 0 times"),
        (Mutant("f", "signer/cli.py", '"""The ', "(", ("tests",)), "cli.py"),
        (Mutant("f", "README.md", "# mesh-signer", "b", ("tests/no_such.py",)), "no_such.py"),
        (Mutant("f", "README.md", "# mesh-signer", "b", ()), "no such tests"),
    ],
)
def test_what_cannot_be_planted(mutant: Mutant, told: str) -> None:
    """Each way in which a fault has become stale is told."""
    assert told in wrong(mutant)


def test_enough_and_different() -> None:
    """There are at least forty, and no two are the same."""
    assert len(MUTANTS) >= 40
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


def test_a_stale_fault_is_told() -> None:
    """A fault whose place is gone, or appears twice, is an error and not passed over."""
    mutant = Mutant("f", "x.py", "a", "b", ("t",))
    assert mutant.plant("-a-") == "-b-"
    for source in ("", "a a"):
        with pytest.raises(Stale, match=r"x\.py: 'a' stands there [02] times, not once"):
            mutant.plant(source)


def test_the_working_tree_is_what_is_copied() -> None:
    """The copies are made from this repository."""
    assert (ROOT / "signer").is_dir()
    assert Path(__file__).is_relative_to(ROOT)
