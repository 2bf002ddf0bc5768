"""What is said again and again is one line a minute with a count, and what is new is said at once."""

import itertools
import logging

from hypothesis import given
from hypothesis import strategies as st

from signer.observe.storms import MINUTE, OF_A_KIND, Storms


def record(template: str, *args: object, level: int = logging.WARNING, name: str = "signer.x") -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", 1, template, args, None)


def texts(records: list[logging.LogRecord]) -> list[str]:
    return [one.getMessage() for one in records]


def test_the_same() -> None:
    """Of a thousand equal lines one is written, and one with the count when its minute is over; then it is news again."""
    storms = Storms()
    assert texts(storms.take(record("no %s", "room"), 100.0)) == ["no room"]
    for number in range(999):
        assert storms.take(record("no %s", "room"), 100.0 + number / 100) == []
    assert storms.ended(100.0 + MINUTE - 0.1) == []
    assert texts(storms.ended(100.0 + MINUTE)) == ["999 more of the same within a minute, the last: no room"]
    assert texts(storms.take(record("no %s", "room"), 200.0)) == ["no room"]


def test_numbers_do_not_count() -> None:
    """A quota that counts, a port and a time make no other text; a name does."""
    storms = Storms()
    assert storms.take(record("used 5 of 10"), 0.0)
    assert not storms.take(record("used 17 of 10"), 1.0)
    assert storms.take(record("used 5 of ten"), 1.0)


def test_many_of_a_kind() -> None:
    """The same words about ever new objects: twenty a minute, and how many more."""
    storms = Storms()
    names = [f"issuer-{'x' * number}" for number in range(50)]
    written = [text for name in names for text in texts(storms.take(record("%s: cannot sign", name), 0.0))]
    assert written == [f"{name}: cannot sign" for name in names[:OF_A_KIND]]
    (summary,) = texts(storms.ended(MINUTE))
    assert summary == f"{50 - OF_A_KIND} more of others like it within a minute, the last: {names[-1]}: cannot sign"


def test_what_is_no_warning() -> None:
    """Lines of lower levels are never held back."""
    storms = Storms()
    assert [len(storms.take(record("a", level=logging.INFO), 0.0)) for _ in range(5)] == [1] * 5


def test_at_the_end() -> None:
    """What was counted is told when the process ends."""
    storms = Storms()
    for _ in range(3):
        storms.take(record("a % b"), 0.0)
    assert texts(storms.close()) == ["2 more of the same within a minute, the last: a % b"]
    assert storms.close() == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c %s"]), st.integers(0, 400)), max_size=60))
def test_nothing_is_lost(said: list[tuple[str, int]]) -> None:
    """However lines come, those that are written and those that are counted are all of them; each text at most once a minute."""
    storms, written, counted = Storms(), [], 0
    when = 0.0
    for text, tenths in said:
        when += tenths / 10
        found = texts(storms.take(record(text), when))
        counted += sum(int(one.split()[0]) for one in found if " more of " in one)
        written += [(one, when) for one in found if " more of " not in one]
    counted += sum(int(one.split()[0]) for one in texts(storms.close()))
    assert len(written) + counted == len(said)
    for text in ("a", "b", "c %s"):
        times = [at for one, at in written if one == text]
        assert all(later - earlier >= MINUTE for earlier, later in itertools.pairwise(times))
