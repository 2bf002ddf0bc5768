"""How much of a namespace is kept: the oldest objects, whatever order they come in, and nobody else's room is touched."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from signer.kube import room as module
from signer.kube.encoding.codec import Key
from signer.kube.room import BUDGET, FIRST, FLOOR, LAST, SPARE, STUB, USUAL, Part, Room, allowed
from signer.kube.weight import MOST

MIB = 1024 * 1024


@dataclass
class Watch:
    """What one watch would have in its store: each key with whether it is kept in full."""

    room: Room
    kept: dict[Key, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.part: Part = self.room.part(self._withhold)

    def _withhold(self, key: Key, _why: str) -> None:
        assert self.kept[key], f"{key} is withheld twice"
        self.kept[key] = False

    def take(self, name: str, weight: int, created: int, rank: int = USUAL, namespace: str = "ns") -> str:
        key = (namespace, name)
        self.kept.setdefault(key, False)
        why = self.part.take(key, weight, f"{created:06}", rank)
        self.kept[key] = not why
        return why

    def drop(self, name: str, namespace: str = "ns") -> None:
        self.part.give_back((namespace, name))
        del self.kept[namespace, name]

    def read_again(self) -> None:
        for key in list(self.part.regained):
            self.kept[key] = True
        self.part.regained.clear()


Object = tuple[int, int, str, int]
"""Rank, created, name, weight."""


def wanted(objects: Iterable[Object], budget: int) -> set[str]:
    """The rule, as slowly as it is said: as many as there is room for, in order, the stubs of the others counted."""
    ordered: list[Object] = sorted(
        (rank, -created if rank == SPARE else created, name, weight) for rank, created, name, weight in objects
    )
    for count in range(len(ordered), -1, -1):
        used = sum(max(weight, STUB) for *_, weight in ordered[:count])
        if used <= allowed(budget, sum(rank != SPARE for rank, *_ in ordered[count:])):
            return {name for _, _, name, _ in ordered[:count]}
    return set()


WEIGHTS = st.one_of(st.integers(1, 3 * STUB), st.integers(1, MOST), st.just(MOST))
OBJECTS = st.lists(
    st.tuples(
        st.sampled_from((FIRST, USUAL, LAST, SPARE)),
        st.integers(0, 5),
        st.sampled_from([f"n{n}" for n in range(12)]),
        WEIGHTS,
    ),
    max_size=40,
)


class TestTheRule:
    @given(OBJECTS, st.integers(0, 6), st.lists(st.integers(0, 11), max_size=8))
    def test_any_changes(self, changes: list[Object], mib: int, gone: list[int]) -> None:
        """Whatever comes, changes and goes, what is kept follows from what there is, and from nothing that was before."""
        watch = Watch(Room(mib * MIB))
        there: dict[str, Object] = {}
        for rank, created, name, weight in changes:
            watch.take(name, weight, created, rank)
            there[name] = (rank, created, name, weight)
        for number in gone:
            if there.pop(f"n{number}", None):
                watch.drop(f"n{number}")
        watch.read_again()
        assert {key[1] for key, kept in watch.kept.items() if kept} == wanted(there.values(), mib * MIB)

    @given(OBJECTS, st.randoms(use_true_random=False))
    def test_a_restart(self, objects: list[Object], order: random.Random) -> None:
        """Read again in another order, by another process, the same objects are kept."""
        there = {one[2]: one for one in objects}
        found = []
        for _ in range(2):
            watch = Watch(Room(3 * MIB))
            listed = list(there.values())
            order.shuffle(listed)
            for rank, created, name, weight in listed:
                watch.take(name, weight, created, rank)
            watch.read_again()
            found.append({key for key, kept in watch.kept.items() if kept})
        assert found[0] == found[1]

    @given(OBJECTS)
    def test_others(self, objects: list[Object]) -> None:
        """Another namespace's objects are kept, whatever one writes; so are those that no namespace has."""
        watch = Watch(Room(MIB))
        assert watch.take("theirs", MIB, 9, namespace="honest") == ""
        for rank, created, name, weight in objects:
            watch.take(name, weight, created, rank)
            assert watch.take("config", MOST, 0, namespace="") == ""
        assert watch.kept["honest", "theirs"]


class TestTogether:
    def test_all_kinds(self) -> None:
        """Several watches share a namespace's room: an older object of one pushes out a younger one of another."""
        room = Room(2 * MIB)
        first, second = Watch(room), Watch(room)
        assert first.take("young", MIB, 5) == second.take("other", MIB // 2, 3) == ""
        assert second.take("old", MIB, 1) == ""
        assert first.kept["ns", "young"] is False

    def test_a_watch_that_ends(self) -> None:
        """What a watch had is others' from then on: another replica leads."""
        room = Room(2 * MIB)
        first, second = Watch(room), Watch(room)
        first.take("a", MIB, 1)
        assert second.take("b", MIB + MIB // 2, 2)
        first.part.leave()
        assert second.part.regained == {("ns", "b")}

    def test_too_large_for_anybody(self) -> None:
        """One object that is larger than any may be is withheld for itself, and takes no room of others."""
        watch = Watch(Room(3 * MIB))
        assert "make it smaller" in watch.take("huge", MOST + 1, 0)
        assert watch.take("a", MOST, 1) == ""

    def test_what_is_said(self) -> None:
        """The reason names the namespace, the bound and the remedy."""
        watch = Watch(Room(MIB))
        why = watch.take("a", MIB + 1, 1)
        assert "namespace ns" in why
        assert "1 MiB" in why
        assert "remove some, or make them smaller" in why


def test_a_usual_namespace_fits() -> None:
    """A thousand Certificates as people write them fit, with requests under way; requests of what was issued give way to them."""
    watch = Watch(Room())
    for number in range(1000):
        watch.take(f"r{number}", 8_200, number, SPARE)
        assert watch.take(f"c{number}", 5_600, number) == ""
    for number in range(50):
        assert watch.take(f"n{number}", 8_200, 2000 + number, FIRST) == ""
    assert all(kept for (_, name), kept in watch.kept.items() if not name.startswith("r"))
    assert watch.kept["ns", "r999"]
    assert not watch.kept["ns", "r0"]
    assert FLOOR < BUDGET
    assert module.allowed(BUDGET, 100_000) == FLOOR
