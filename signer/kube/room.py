"""How much of one namespace's objects is kept, of all kinds together, for all that one process watches.

Anybody may write as many objects as a quota lets, and what takes 15 KB in etcd may take 150 KB once it is read. So what is
kept of a namespace is weighed (signer/kube/weight.py) and has a budget. The oldest objects are kept, as long as the budget
lasts, and of all younger ones a stub that says why: what worked goes on working, whoever writes more, and a restart comes to
the same answer, in whatever order lists come. Before the others comes what an issuance under way needs, which is as young as the
renewal of the oldest Certificate is; after them what others do without, or read again when they need it.

Pure, and used on the loop only; one for each process (`ApiClient.room`).
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple

from signer.kube.encoding.codec import Key
from signer.kube.weight import MOST

BUDGET = 6 * 1024 * 1024
"""Bytes of memory for one namespace's objects in one process: 1,000 Certificates as people write them, and what is under way
for some of them. The stubs of what is withheld count, too."""
FLOOR = 3 * 1024 * 1024
"""So much is for what is kept however many stubs there are: how many objects there are is for a ResourceQuota to limit."""
STUB = 1024
"""Bytes of a stub, and what any object weighs at least."""


FIRST, USUAL, LAST, SPARE = 0, 1, 2, 3
"""Ranks: what work under way needs; what most objects are; what is hardly ever needed; what others do without or read again, so
that no stub is in its place, and of which the youngest are kept."""
_BACKWARDS = str.maketrans("0123456789", "9876543210")


class Place(NamedTuple):
    """Where an object stands: by rank, of one rank the oldest first. The API server sets `created`."""

    rank: int
    created: str
    name: str
    part: int
    weight: int


def allowed(budget: int, stubs: int) -> int:
    """Bytes for what is kept where there are so many stubs. Pure."""
    return max(min(FLOOR, budget), budget - STUB * stubs)


class _Namespace:
    """The places of one namespace in order: all that are kept come before all that are withheld."""

    __slots__ = ("kept", "used", "withheld")

    def __init__(self) -> None:
        self.kept: list[Place] = []
        self.withheld: list[Place] = []
        self.used = 0

    def put(self, place: Place) -> None:
        if self.withheld and place > self.withheld[0]:
            insort(self.withheld, place)
        else:
            insort(self.kept, place)
            self.used += place.weight

    def drop(self, place: Place) -> None:
        if self.keeps(place):
            del self.kept[bisect_left(self.kept, place)]
            self.used -= place.weight
        else:
            del self.withheld[bisect_left(self.withheld, place)]

    def keeps(self, place: Place) -> bool:
        return not self.withheld or place < self.withheld[0]

    def settle(self, budget: int) -> tuple[list[Place], list[Place]]:
        """Keep as many as there is room for; which are withheld from now on, and which no longer are."""
        out: list[Place] = []
        back: list[Place] = []
        while self.used > allowed(budget, self._stubs()):
            last = self.kept.pop()
            self.used -= last.weight
            self.withheld.insert(0, last)
            out.append(last)
        while self.withheld and self.used + self.withheld[0].weight <= allowed(budget, max(0, self._stubs() - 1)):
            first = self.withheld.pop(0)
            self.used += first.weight
            self.kept.append(first)
            back.append(first)
        return out, back

    def _stubs(self) -> int:
        """Spare objects come last, and have none."""
        return bisect_left(self.withheld, (SPARE,))


class Room:
    """The budget of each namespace; those without one (cluster-scoped objects are written by administrators) have no bound."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._namespaces: dict[str, _Namespace] = {}
        self._parts: dict[int, Part] = {}
        self._made = 0

    def part(self, withhold: Callable[[Key, str], None]) -> "Part":
        """The part of one watch; `withhold` is called with what it keeps and must no longer keep, and why."""
        self._made += 1
        part = self._parts[self._made] = Part(self, self._made, withhold)
        return part

    def replace(self, namespace: str, old: Place | None, new: Place | None) -> bool:
        """Put one place where another was; whether the new one is kept."""
        found = self._namespaces.setdefault(namespace, _Namespace())
        if old is not None:
            found.drop(old)
        if new is not None:
            found.put(new)
        out, back = found.settle(self.budget)
        if not found.kept and not found.withheld:
            del self._namespaces[namespace]
        for place in back:
            if place != new and (part := self._parts.get(place.part)) is not None:
                part.regained.add((namespace, place.name))
        for place in out:
            if place != new and (part := self._parts.get(place.part)) is not None:
                part.lose((namespace, place.name), self.why(namespace))
        return new is not None and found.keeps(new)

    def keeps(self, namespace: str, place: Place) -> bool:
        """Whether this one, which has a place, is kept."""
        return self._namespaces[namespace].keeps(place)

    def why(self, namespace: str) -> str:
        """Say why something is withheld, for people."""
        return (
            f"namespace {namespace} has more objects of the kinds that are watched than fit into the {self.budget >> 20} MiB "
            "that are kept of one namespace, and this is among the newest of them: remove some, or make them smaller"
        )

    def leave(self, number: int) -> None:
        """A watch ended."""
        self._parts.pop(number, None)


class Part:
    """What one watch keeps. `regained`: what was withheld and may be read again."""

    def __init__(self, room: Room, number: int, withhold: Callable[[Key, str], None]) -> None:
        self._room = room
        self._number = number
        self._withhold = withhold
        self._places: dict[Key, Place] = {}
        self.regained: set[Key] = set()

    def take(self, key: Key, weight: int, created: str, rank: int = USUAL) -> str:
        """Make room for an object of this weight; "" or why there is none, for people. Without a weight it needs none."""
        self.regained.discard(key)
        if not weight or not key[0] or weight > MOST:
            self.give_back(key)
            return (
                f"it takes {weight} bytes of memory, and at most {MOST} are kept; make it smaller"
                if weight > MOST
                else ""
            )
        old = self._places.get(key)
        if rank == SPARE:
            created = created.translate(_BACKWARDS)
        new = Place(rank, created, key[1], self._number, max(weight, STUB))
        if new == old:
            return "" if self._room.keeps(key[0], new) else self._room.why(key[0])
        self._places[key] = new
        return "" if self._room.replace(key[0], old, new) else self._room.why(key[0])

    def give_back(self, key: Key) -> None:
        """An object went."""
        self.regained.discard(key)
        old = self._places.pop(key, None)
        if old is not None:
            self._room.replace(key[0], old, None)

    def known(self) -> list[Key]:
        """All objects that have a place, kept or not."""
        return list(self._places)

    def lose(self, key: Key, why: str) -> None:
        """Somebody older needs the room. What was not read again since it was withheld is as it was."""
        if key in self.regained:
            self.regained.discard(key)
        else:
            self._withhold(key, why)

    def leave(self) -> None:
        """Give back all of it: the watch ended. What others regain by it they hear of."""
        self._room.leave(self._number)
        for key in self.known():
            self.give_back(key)
