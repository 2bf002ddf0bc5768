"""Who tells of a request that nobody approves, while replicas come and go."""

from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificatesigningrequest import CertificateSigningRequest, read_object
from signer.csr.queue.replica import Sharing
from signer.csr.queue.unapproved import PATIENCE, Unapproved
from signer.csr.record import Record
from tests.unit.csr.crafted import encoded

REPLICAS = ("a", "b", "c")


@dataclass
class Told:
    """A record that notes who was told of; `room`: whether an Event finds room."""

    names: list[str] = field(default_factory=list)
    room: bool = True

    def waits_for_approval(self, csr: CertificateSigningRequest) -> bool:
        if self.room:
            self.names.append(csr.name)
        return self.room

    def waits_no_more(self, csr: CertificateSigningRequest) -> None:
        assert csr.name in self.names


class Replicas:
    """Three replicas that see the same events; those that are no members do nothing."""

    def __init__(self) -> None:
        self.now = 0.0
        self.members: tuple[str, ...] = REPLICAS
        self.told = {name: Told() for name in REPLICAS}
        self.each = {name: self._replica(name) for name in REPLICAS}

    def _replica(self, name: str) -> Unapproved:
        sharing = Sharing(lambda: name, lambda: self.members, lambda: self.now)
        return Unapproved(cast("Record", self.told[name]), sharing, lambda: self.now)

    def made(self, name: str) -> None:
        raw = encoded(name=name, uid=name, conditions=())
        for member in self.members:
            if not self.each[member].leave(name, raw):
                self.each[member].put(read_object(raw).without_bytes())

    def gone(self, name: str) -> None:
        for member in self.members:
            self.each[member].remove(name)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            for member in self.members:
                self.each[member].turn()

    def room(self, there: bool) -> None:
        for told in self.told.values():
            told.room = there

    def times_told(self, name: str) -> int:
        return sum(told.names.count(name) for told in self.told.values())


MADE = st.integers(0, 9).map(lambda number: f"r{number}")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("made"), MADE),
        st.tuples(st.just("gone"), MADE),
        st.tuples(st.just("lost"), st.sampled_from(REPLICAS)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.tuples(st.just("room"), st.booleans()),
    ),
    max_size=30,
)


def carry_out(replicas: Replicas, steps: list[tuple[str, Any]]) -> tuple[set[str], set[str]]:
    """Do these; returns the requests that were approved too soon to be told of, and those that nobody has approved."""
    made: dict[str, float] = {}
    soon: set[str] = set()
    gone: set[str] = set()
    for what, which in steps:
        if what == "made" and which not in made:
            made[which] = replicas.now
            replicas.made(which)
        elif what == "gone" and which in made.keys() - gone:
            gone.add(which)
            if replicas.now - made[which] < PATIENCE:
                soon.add(which)
            replicas.gone(which)
        elif what == "lost" and len(replicas.members) > 1:
            replicas.members = tuple(name for name in replicas.members if name != which)
        elif what == "wait":
            replicas.wait(which)
        elif what == "room":
            replicas.room(which)
    return soon, made.keys() - gone


@given(STEPS)
def test_each_is_told_of(steps: list[tuple[str, Any]]) -> None:
    """Whoever is lost and when: what waits is told of by those that are left, once if nobody was; what was approved is not."""
    replicas = Replicas()
    soon, waiting = carry_out(replicas, steps)
    replicas.room(True)
    replicas.wait(10)
    assert [name for name in soon if replicas.times_told(name)] == []
    times = {name: replicas.times_told(name) for name in waiting}
    assert all(times.values()), times
    if replicas.members == REPLICAS:
        assert set(times.values()) <= {1}


def test_at_most_so_many_are_kept() -> None:
    """Of very many, and of large ones, no more is kept than a bound; they are read here instead, or the oldest let go."""
    replicas = Replicas()
    unapproved = replicas.each["a"]
    others = [name for name in (f"r{n}" for n in range(9000)) if unapproved.leave(name, b"x" * 4096)]
    assert len(others) > 3000
    assert not unapproved.leave(others[0], b"x" * 4097)
    assert sum(len(raw) for raw, _ in unapproved._left.values()) <= 2048 * 4096


def test_an_owner_that_lives_tells() -> None:
    """What another has told of is not told of again when he is lost later."""
    replicas = Replicas()
    for number in range(30):
        replicas.made(f"r{number}")
    replicas.wait(61)
    replicas.members = ("a",)
    replicas.wait(61)
    assert all(replicas.times_told(f"r{number}") == 1 for number in range(30))
