"""Two parties that undo each other write less and less, and are named; who is alone, or refused, waits for nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.pacing import LONGEST_PAUSE
from signer.observe.undone import UNDONE, Undone, said

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = ("shop", "leaf")


class Scene:
    """One object that we keep as `wish`; what others do to it, and whether the API server takes our writes."""

    def __init__(self) -> None:
        self.undone = Undone[tuple[str, str]]()
        self.now = NOW
        self.stored: object = None
        self.writes: list[datetime] = []

    def reconcile(self, wish: object, *, refused: bool = False) -> None:
        """As every user of it does."""
        if self.stored == wish or self.undone.left(KEY, wish, self.now):
            return
        if not refused:
            self.writes.append(self.now)
            self.undone.wrote(KEY, wish, self.now)
            self.stored = wish


@pytest.mark.parametrize("seconds", [0.05, 1, 30, 600, 1700])
def test_who_undoes_each_write(seconds: float) -> None:
    """However soon the other one comes, some dozen writes in two hours, and about one an hour after them."""
    scene = Scene()
    while scene.now < NOW + timedelta(hours=26):
        scene.reconcile("ours")
        scene.stored = "theirs"
        scene.now += timedelta(seconds=max(seconds, 5.0))
    first = [moment for moment in scene.writes if moment < NOW + timedelta(hours=2)]
    assert len(first) <= 15
    assert len(scene.writes) - len(first) <= 30


@pytest.mark.parametrize("seconds", [1.0, 7.0])
def test_two_of_us_against_each_other(seconds: float) -> None:
    """Where both parties are paced, both slow down: neither makes the other write."""
    ours, theirs = Scene(), Scene()
    moment = NOW
    while moment < NOW + timedelta(hours=6):
        for one, other, wish in ((ours, theirs, "ours"), (theirs, ours, "theirs")):
            one.now = moment
            one.reconcile(wish)
            other.stored = one.stored
        moment += timedelta(seconds=seconds)
    assert len(ours.writes) <= 25
    assert len(theirs.writes) <= 25


@given(st.lists(st.sampled_from(["ours", "news"]), max_size=60), st.integers(0, 59))
def test_what_was_refused_was_not_undone(wishes: list[str], taken: int) -> None:
    """However often a write is refused, the next one waits for nothing: nobody undid anything."""
    scene = Scene()
    for number, wish in enumerate(wishes):
        scene.stored = None
        scene.reconcile(wish, refused=number != taken)
        scene.now += timedelta(milliseconds=100)
        assert not scene.undone.left(KEY, wish, scene.now)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=100))
def test_what_is_new_waits_for_nothing(numbers: list[int]) -> None:
    """A wish that differs from the last one is written at once, however contested the last one was."""
    scene = Scene()
    for _ in range(100):
        scene.stored = "theirs"
        scene.reconcile("ours")
        scene.now += timedelta(seconds=1)
    last: object = "ours"
    for number in numbers:
        scene.stored = "theirs"
        if number != last:
            before = len(scene.writes)
            scene.reconcile(number)
            assert len(scene.writes) == before + 1
        last = number


@given(st.integers(1, 500), st.integers(-(10**6), 10**6))
def test_bounded(times: int, ahead: int) -> None:
    """No pause is longer than an hour, wherever the clock jumps."""
    undone = Undone[int]()
    for _ in range(times):
        undone.wrote(1, "ours", NOW)
    assert timedelta(0) <= undone.left(1, "ours", NOW + timedelta(seconds=ahead)) <= LONGEST_PAUSE


def test_said_once_for_each_contest() -> None:
    """It is news once, and again when something else was written in between, or for an object that was made anew."""
    undone = Undone[int]()
    for _ in range(5):
        undone.wrote(1, "ours", NOW)
    assert [undone.is_news(1), undone.is_news(1)] == [True, False]
    undone.wrote(1, "ours", NOW)
    assert not undone.is_news(1)
    undone.wrote(1, "news", NOW)
    assert undone.is_news(1)
    undone.forget(1)
    assert undone.is_news(1)
    assert not undone.left(1, "ours", NOW)


def test_what_is_said() -> None:
    """Who else writes is named, in bounded words that hide nothing; and where nobody is, what to look for."""
    text = said("ca.crt", ["sync\n", "b", "c", "d" * 500], NOW)
    assert "ca.crt is put back, and undone each time; written by 'sync\\n', 'b', 'c' too." in text
    assert text.endswith("The next write is after 2026-06-01T12:00:00Z")
    assert "does a cert-manager work here too" in said("ca.crt", (), NOW)
    assert UNDONE == "UndoneByAnother"
