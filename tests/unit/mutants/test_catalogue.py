"""The planted faults of `make mutants` fit the code as it is."""

from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, Stale
from tests.mutants.runner import ROOT


@pytest.mark.heavy
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_can_be_planted(mutant: Mutant) -> None:
    """Each fault still has its place in the code, exactly once, is Python afterwards, and names tests that exist."""
    planted = mutant.plant((ROOT / mutant.file).read_text(encoding="utf-8"))
    if mutant.file.endswith(".py"):
        compile(planted, mutant.file, "exec")
    assert mutant.tests
    assert [path for path in mutant.tests if not (ROOT / path).exists()] == []


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
