"""What somebody else wrote, in a message."""

import pytest

from signer.api.text import capped, shown


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("shop", "'shop'"),
        ("a\nb\x1b[2J\u202e", r"'a\nb\x1b[2J\u202e'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 80}'... (81 characters)"),
    ],
)
def test_shown(value: str, found: str) -> None:
    """A text is quoted on one line without control characters, and cut with its length told."""
    assert shown(value) == found


def test_capped() -> None:
    """Of many problems the first ten are told, and how many more there are."""
    many = [str(number) for number in range(12)]
    assert capped(many[:10]) == tuple(many[:10])
    assert capped(many) == (*many[:10], "and 2 more")
