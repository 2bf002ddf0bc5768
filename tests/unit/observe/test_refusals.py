"""Of each kind the first refusal in a minute is told, the others are counted, and none is forgotten."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from signer.observe.refusals import WINDOW, Kind, Refusals
from tests.unit.csr.crafted import FOO

KINDS = [Kind(namespace, FOO, "TenantMismatch") for namespace in ("a", "b", "c")]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 40)), max_size=80))
def test_none_is_forgotten(steps: list[tuple[Kind, float]]) -> None:
    """What was told and what was summed up is together all that there was; a kind is told once a minute at most."""
    refusals = Refusals()
    now = 0.0
    told: Counter[Kind] = Counter()
    summed: Counter[Kind] = Counter()
    last: dict[Kind, float] = {}
    for kind, pause in steps:
        now += pause
        for ended, count in refusals.ended(now):
            summed[ended] += count
        if refusals.first(kind, now):
            assert now - last.get(kind, -WINDOW) >= WINDOW
            last[kind] = now
            told[kind] += 1
    for ended, count in refusals.close():
        summed[ended] += count
    assert told + summed == Counter(kind for kind, _ in steps)


def test_a_minute_without_more_is_no_news() -> None:
    """One refusal alone has no summary."""
    refusals = Refusals()
    assert refusals.first(KINDS[0], 0.0)
    assert refusals.ended(WINDOW) == []
    assert refusals.first(KINDS[0], WINDOW)


def test_memory_is_bounded() -> None:
    """Thousands of kinds within a minute end up in one that names none of them."""
    refusals = Refusals()
    first = [refusals.first(Kind(f"n{n}", FOO, "TenantMismatch"), 0.0) for n in range(10_000)]
    assert sum(first) == 4097
    assert refusals.close() == [(Kind("", None, "TenantMismatch"), 10_000 - 4097)]
