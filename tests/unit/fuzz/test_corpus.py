"""The corpora of `make fuzz`, replayed without atheris: what was found once stays mended, and the targets stay in order."""

import warnings
from collections.abc import Iterator

import pytest

from tests.fuzz import peer
from tests.fuzz.targets import CORPUS, TARGETS, guarded, load

LARGEST = 100_000
GO = ("csr", "pem")


@pytest.fixture(scope="module", autouse=True)
def go_side() -> Iterator[None]:
    """Go reads along where its program is built; `make test` builds it, `make test-fast` does not."""
    peer.start(build=False)
    yield
    peer.stop()


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_breaks_no_promise(target: str) -> None:
    """Each input of a target's corpus passes."""
    run = guarded(load(target).run)
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for file in inputs:
        try:
            run(file.read_bytes())
        except Exception as error:
            raise AssertionError(f"tests/fuzz/corpus/{target}/{file.name}") from error


@pytest.mark.parametrize("target", GO)
def test_go_read_along(target: str) -> None:
    """Says so where the Go side was left out of the replay."""
    if peer.go is None:
        pytest.skip(f"{target}: replayed without Go's reading, since its program is not built (`make test` builds it)")


def test_the_corpora_are_small_and_belong_to_targets() -> None:
    """All of them together stay below 100 kB, and none is left over."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < LARGEST


def test_a_warning_is_a_finding() -> None:
    """A target that warns fails, as one does that raises."""

    def warn(_data: bytes) -> None:
        warnings.warn("odd", UserWarning, stacklevel=1)

    with pytest.raises(UserWarning, match="odd"):
        guarded(warn)(b"")
