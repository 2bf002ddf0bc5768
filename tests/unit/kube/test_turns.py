"""Turns are fair: nothing is lost, order inside a flow is kept, and a flood of one flow delays another by one turn."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from signer.kube.turns import Turns

FLOWS = st.sampled_from("abcde")
# What happens to a queue: an item comes to a flow, an item is taken out, or the next one is taken.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), FLOWS),
        st.tuples(st.just("discard"), st.integers(0, 60)),
        st.tuples(st.just("take"), st.none()),
    ),
    max_size=120,
)


def drained(turns: Turns[tuple[str, int]]) -> list[tuple[str, int]]:
    found = []
    while (item := turns.take()) is not None:
        found.append(item)
    return found


@given(STEPS)
def test_nothing_is_lost_and_order_is_kept(steps: list[tuple[str, object]]) -> None:
    """Whatever comes and goes: each item is taken once, in its flow's order, and empty flows leave nothing behind."""
    turns: Turns[tuple[str, int]] = Turns()
    waiting: dict[int, str] = {}
    taken: list[tuple[str, int]] = []
    number = 0
    for step, what in steps:
        if step == "add":
            turns.add(what, str(number), (str(what), number))
            waiting[number] = str(what)
            number += 1
        elif step == "discard":
            flow = waiting.pop(what, "a") if isinstance(what, int) else ""
            turns.discard(flow, str(what))
        elif (item := turns.take()) is not None:
            taken.append(item)
            assert waiting.pop(item[1]) == item[0]
        else:
            assert not waiting
        assert len(turns) == len(waiting)
        assert len(turns._flows) == len(set(waiting.values()))
    rest = drained(turns)
    assert {item[1]: item[0] for item in rest} == waiting
    orders = defaultdict(list)
    for flow, place in taken + rest:
        orders[flow].append(place)
    assert all(order == sorted(order) for order in orders.values())


@given(st.integers(1, 300), st.lists(FLOWS, min_size=1, max_size=30), st.integers(0, 100))
def test_a_flood_costs_one_turn_a_round(flood: int, others: list[str], before: int) -> None:
    """However many one flow has, another one's n-th item waits for at most n rounds of the other flows' single items."""
    turns: Turns[tuple[str, int]] = Turns()
    for n in range(flood):
        turns.add("flood", f"f{n}", ("flood", n))
    for _ in range(before):
        turns.take()
    for n, flow in enumerate(others):
        turns.add(flow, f"o{n}", (flow, n))
    flows = len(turns._flows)
    seen: Counter[str] = Counter()
    for position, (flow, _) in enumerate(drained(turns), 1):
        seen[flow] += 1
        if flow != "flood":
            assert position <= seen[flow] * flows


@given(st.lists(FLOWS, max_size=40), st.lists(FLOWS, max_size=40), st.sets(FLOWS))
def test_held_flows_lose_nothing(before: list[str], after: list[str], held: set[str]) -> None:
    """A flow that is held back has no turn, loses nothing of what came before and since, and has its turn when it is let go."""
    turns: Turns[tuple[str, int]] = Turns()
    added = [(flow, n) for n, flow in enumerate(before + after)]
    for flow, n in added[: len(before)]:
        turns.add(flow, str(n), (flow, n))
    for flow in held:
        turns.hold(flow)
        turns.hold(flow)
    for flow, n in added[len(before) :]:
        turns.add(flow, str(n), (flow, n))
    assert len(turns) == len(added)
    first = drained(turns)
    assert {flow for flow, _ in first}.isdisjoint(held)
    for flow in held:
        turns.let_go(flow)
        turns.let_go(flow)
    rest = drained(turns)
    assert sorted(first + rest, key=lambda item: item[1]) == added
    assert {flow for flow, _ in rest} <= held
    for flow in held:
        assert [n for name, n in rest if name == flow] == [n for name, n in added if name == flow]


def test_taken_out_while_held() -> None:
    """What is taken out of a held flow is gone, and an empty flow that is let go has no turn."""
    turns: Turns[str] = Turns()
    turns.add("a", "1", "one")
    turns.hold("a")
    turns.discard("a", "1")
    turns.let_go("a")
    assert (len(turns), len(turns._flows), turns.take()) == (0, 0, None)


def test_the_same_again() -> None:
    """An item that is added twice is one, with its first place."""
    turns: Turns[str] = Turns()
    turns.add("a", "1", "one")
    turns.add("a", "2", "two")
    turns.add("a", "1", "one")
    assert [turns.take(), turns.take(), turns.take()] == ["one", "two", None]


def test_unknown() -> None:
    """Taking out what is not there is no fault."""
    turns: Turns[str] = Turns()
    turns.add("a", "1", "one")
    turns.discard("a", "2")
    turns.discard("b", "1")
    assert len(turns) == 1
