"""Replicas share requests without talking: each knows whose a request is, and none is left lying."""

from hypothesis import given
from hypothesis import strategies as st

from signer.csr.queue.replica import PATIENCE, Sharing
from signer.kube.leases.record import heirs

MEMBERS = ("a", "b", "c")


class Replica:
    def __init__(self, identity: str, members: tuple[str, ...] = MEMBERS) -> None:
        self.now = 100.0
        self.members = members
        self.sharing = Sharing(lambda: identity, lambda: self.members, lambda: self.now)

    def another(self, owner: str, start: int = 0) -> str:
        """Find a uid that belongs to this replica."""
        return next(f"u{n}" for n in range(start, 10_000) if self.sharing.place(f"u{n}").owner == owner)

    def after(self, *before: str, start: int = 0) -> str:
        """Find a uid that is for these first, in this order."""
        uids = (f"u{n}" for n in range(start, 10_000))
        return next(uid for uid in uids if heirs(uid, self.members)[: len(before)] == list(before))


@given(st.text(max_size=36))
def test_all_agree(uid: str) -> None:
    """Every replica that sees the same members names the same owner; he takes a request at once, the others one after the other."""
    replicas = [Replica(name) for name in MEMBERS]
    (owner,) = {replica.sharing.place(uid).owner for replica in replicas}
    waits = {name: replica.sharing.delay(uid, 0.0) for name, replica in zip(MEMBERS, replicas, strict=True)}
    assert waits[owner] == 0.0
    assert [waits[name] for name in heirs(uid, MEMBERS)] == [0.0, PATIENCE, 2 * PATIENCE]


def test_alone_everything_is_ours() -> None:
    """One replica, or one that knows of none, leaves nothing to others."""
    for members in (("a",), ()):
        replica = Replica("a", members)
        assert [replica.sharing.delay(f"u{n}", 0.0) for n in range(50)] == [0.0] * 50


def test_not_announced_yet() -> None:
    """A replica that is not among the live ones leaves everything to those who are, for their seconds."""
    replica = Replica("a", ("b", "c"))
    assert [replica.sharing.delay(f"u{n}", 0.0) for n in range(50)] == [2 * PATIENCE] * 50
    assert replica.sharing.delay("u0", 2.0) == 0.0


def test_leaving() -> None:
    """A replica that leaves answers what it has itself."""
    replica = Replica("a")
    uid = replica.another("b")
    replica.sharing.leave()
    assert replica.sharing.delay(uid, 0.0) == 0.0


def test_patience_with_a_silent_owner() -> None:
    """A request is its owner's for one second from when we saw it approved, then the next one's, after two anybody's."""
    replica = Replica("a")
    uid = replica.after("b", "a")
    assert replica.sharing.delay(uid, 0.0) == PATIENCE
    assert replica.sharing.delay(uid, 0.4) == PATIENCE - 0.4
    assert replica.sharing.delay(uid, 1.0) == 0.0
    assert replica.sharing.delay(uid, 50.0) == 0.0
    last = replica.after("b", "c", "a")
    assert replica.sharing.delay(last, 0.0) == 2 * PATIENCE
    assert replica.sharing.delay(last, 2.0) == 0.0


def test_many_silent_replicas() -> None:
    """However many are silent, nobody waits longer than two seconds for them."""
    members = tuple("abcdefghij")
    waits = {Replica(name, members).sharing.delay("u", 0.0) for name in members}
    assert waits == {0.0, PATIENCE, 2 * PATIENCE}


def test_a_takeover_is_no_sign_of_life() -> None:
    """What was answered late, and may have been by another, does not make a dead owner look alive."""
    replica = Replica("a")
    replica.sharing.answered(replica.after("b", "c"), 1.0)
    assert replica.sharing.delay(replica.after("b", "a"), 1.0) == 0.0


def test_late_answers_of_a_busy_owner() -> None:
    """Where we would have been the next, a late answer is the owner's own: one that is behind keeps what it has."""
    replica = Replica("a")
    uid = replica.after("b", "a")
    replica.sharing.answered(uid, 30.0)
    assert replica.sharing.delay(replica.after("b", "a", start=1000), 30.0) == PATIENCE


def test_a_busy_owner_is_not_silent() -> None:
    """An owner that answers other requests keeps its own, however long they wait; one second later they are ours."""
    replica = Replica("a")
    first, second = replica.after("b", "a"), replica.after("b", "a", start=1000)
    replica.sharing.answered(first, 0.1)
    assert replica.sharing.delay(second, 50.0) == PATIENCE
    replica.now += 0.75
    assert replica.sharing.delay(second, 50.0) == 0.25
    replica.now += 0.25
    assert replica.sharing.delay(second, 50.0) == 0.0


def test_one_owners_life_is_not_anothers() -> None:
    """What b answers says nothing about c."""
    replica = Replica("a")
    replica.sharing.answered(replica.another("b"), 0.1)
    assert replica.sharing.delay(replica.after("c", "a"), 5.0) == 0.0


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
        replica.sharing.answered(replica.another(f"pod-{n}"), 0.1)
    assert len(replica.sharing._last_answer) <= 8
