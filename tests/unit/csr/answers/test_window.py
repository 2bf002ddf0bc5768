"""The window of writes: halves when the API server has too much, grows back slowly."""

import pytest

from signer.csr.answers.window import Window


def test_starts_open() -> None:
    """Nothing is known against the API server at first."""
    assert Window(64).size == 64


def test_halves_once_for_one_burst() -> None:
    """Many 429s within a quarter of a second are one piece of news."""
    window = Window(64)
    for now in (10.0, 10.1, 10.2):
        window.throttled(now)
    assert window.size == 32
    window.throttled(10.25)
    assert window.size == 16


@pytest.mark.parametrize(("largest", "least"), [(64, 4), (5, 4), (4, 4), (3, 3), (1, 1), (0, 1)])
def test_never_closes(largest: int, least: int) -> None:
    """However often it halves, some writes remain, but never more than the operator allows."""
    window = Window(largest)
    for now in range(100):
        window.throttled(float(now))
    assert window.size == least


def test_grows_by_one_for_each_full_window() -> None:
    """It takes a window's worth of good writes to grow by one, up to the largest and no further."""
    window = Window(8)
    window.throttled(0.0)
    assert window.size == 4
    for _ in range(3):
        window.succeeded()
    assert window.size == 4
    window.succeeded()
    assert window.size == 5
    for _ in range(1000):
        window.succeeded()
    assert window.size == 8


def test_a_429_undoes_the_progress() -> None:
    """Good writes before a 429 do not count for the growth after it."""
    window = Window(8)
    window.throttled(0.0)
    for _ in range(3):
        window.succeeded()
    window.throttled(0.1)
    window.succeeded()
    assert window.size == 4
