"""Replicas share requests without talking: each knows whose a request is, and none is left lying."""

from hypothesis import given
from hypothesis import strategies as st

from signer.csr.queue.replica import PATIENCE, Sharing

MEMBERS = ("a", "b", "c")


class Replica:
    def __init__(self, identity: str, members: tuple[str, ...] = MEMBERS) -> None:
        self.now = 100.0
        self.members = members
        self.sharing = Sharing(identity, lambda: self.members, lambda: self.now)

    def another(self, owner: str, start: int = 0) -> str:
        """Find a uid that belongs to this replica."""
        return next(f"u{n}" for n in range(start, 10_000) if self.sharing.owner_of(f"u{n}") == owner)


@given(st.text(max_size=36))
def test_all_agree(uid: str) -> None:
    """Every replica that sees the same members names the same owner, and only that one takes the request at once."""
    replicas = [Replica(name) for name in MEMBERS]
    (owner,) = {replica.sharing.owner_of(uid) for replica in replicas}
    waits = {name: replica.sharing.delay(uid, 0.0) for name, replica in zip(MEMBERS, replicas, strict=True)}
    assert waits == {name: 0.0 if name == owner else PATIENCE for name in MEMBERS}


def test_alone_everything_is_ours() -> None:
    """One replica, or one that knows of none, leaves nothing to others."""
    for members in (("a",), ()):
        replica = Replica("a", members)
        assert [replica.sharing.delay(f"u{n}", 0.0) for n in range(50)] == [0.0] * 50


def test_not_announced_yet() -> None:
    """A replica that is not among the live ones leaves everything to those who are, for their second."""
    replica = Replica("a", ("b", "c"))
    assert [replica.sharing.delay(f"u{n}", 0.0) for n in range(50)] == [PATIENCE] * 50
    assert replica.sharing.delay("u0", 1.0) == 0.0


def test_leaving() -> None:
    """A replica that leaves answers what it has itself."""
    replica = Replica("a")
    uid = replica.another("b")
    replica.sharing.leave()
    assert replica.sharing.delay(uid, 0.0) == 0.0


def test_patience_with_a_silent_owner() -> None:
    """A request is its owner's for one second from when we saw it approved, then anybody's."""
    replica = Replica("a")
    uid = replica.another("b")
    assert replica.sharing.delay(uid, 0.0) == PATIENCE
    assert replica.sharing.delay(uid, 0.4) == PATIENCE - 0.4
    assert replica.sharing.delay(uid, 1.0) == 0.0
    assert replica.sharing.delay(uid, 50.0) == 0.0


def test_a_busy_owner_is_not_silent() -> None:
    """An owner that answers other requests keeps its own, however long they wait; one second later they are ours."""
    replica = Replica("a")
    first, second = replica.another("b"), replica.another("b", 1000)
    replica.sharing.answered(first)
    assert replica.sharing.delay(second, 50.0) == PATIENCE
    replica.now += 0.75
    assert replica.sharing.delay(second, 50.0) == 0.25
    replica.now += 0.25
    assert replica.sharing.delay(second, 50.0) == 0.0


def test_one_owners_life_is_not_anothers() -> None:
    """What b answers says nothing about c."""
    replica = Replica("a")
    replica.sharing.answered(replica.another("b"))
    assert replica.sharing.delay(replica.another("c"), 5.0) == 0.0


def test_a_member_that_left() -> None:
    """Requests of a replica that is gone belong to those who stay, at once."""
    replica = Replica("a", ("a", "b"))
    uid = replica.another("b")
    replica.members = ("a",)
    assert replica.sharing.delay(uid, 0.0) == 0.0


def test_replicas_that_came_and_went_are_forgotten() -> None:
    """A thousand Pod names in a year do not stay in memory."""
    replica = Replica("a")
    for n in range(1000):
        replica.members = ("a", f"pod-{n}")
        replica.sharing.answered(replica.another(f"pod-{n}"))
    assert len(replica.sharing._last_answer) <= 8
