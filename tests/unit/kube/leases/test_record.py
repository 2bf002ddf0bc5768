"""Leases as values, and whose a key is."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.leases.record import (
    LONGEST_DURATION,
    Json,
    Sighting,
    heirs,
    held,
    lease_name,
    micro_time,
    released,
    sight,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, 0, tzinfo=UTC)
THREE = ("replica-a", "replica-b", "replica-c")


class TestTimes:
    def test_micro_time(self) -> None:
        """UTC with six digits, also when they are zero and when the clock is elsewhere."""
        assert micro_time(NOON) == "2026-11-22T12:00:00.000000Z"
        tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
        assert micro_time(tokyo + timedelta(microseconds=7)) == "2026-11-22T12:00:00.000007Z"


class TestHeld:
    def test_new(self) -> None:
        """The first holder of a Lease is not a transition."""
        spec = held({"metadata": {"name": "l"}}, "a", 14.2, NOON)["spec"]
        assert spec == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "leaseTransitions": 0,
            "acquireTime": micro_time(NOON),
            "renewTime": micro_time(NOON),
        }

    def test_renewal(self) -> None:
        """A renewal moves renewTime alone, and keeps what others put into the Lease."""
        lease = {"metadata": {"resourceVersion": "7", "labels": {"x": "y"}}, "spec": {"strategy": "s"}}
        first = held(lease, "a", 15, NOON)
        second = held(first, "a", 15, NOON + timedelta(seconds=2))
        assert second["metadata"] == lease["metadata"]
        assert second["spec"] == {**first["spec"], "renewTime": micro_time(NOON + timedelta(seconds=2))}
        assert second["spec"]["strategy"] == "s"

    def test_takeover(self) -> None:
        """Another holder is a transition with a new acquireTime; nonsense in the counter does not stop it."""
        lease: Json = {
            "metadata": {"resourceVersion": "7"},
            "spec": {"holderIdentity": "b", "leaseTransitions": 4, "acquireTime": "x"},
        }
        spec = held(lease, "a", 15, NOON)["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"], spec["acquireTime"]) == ("a", 5, micro_time(NOON))
        lease["spec"]["leaseTransitions"] = None
        assert held(lease, "a", 15, NOON)["spec"]["leaseTransitions"] == 1

    def test_released(self) -> None:
        """A released Lease has no holder and keeps its resourceVersion, so that a stale release cannot be stored."""
        lease: Json = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "b", "leaseTransitions": 4}}
        found = released(lease, NOON)
        assert "holderIdentity" not in found["spec"]
        assert (found["spec"]["leaseTransitions"], found["metadata"]) == (4, {"resourceVersion": "7"})
        assert lease["spec"]["holderIdentity"] == "b"


class TestSight:
    LEASE: ClassVar[Json] = {
        "metadata": {"resourceVersion": "7"},
        "spec": {"holderIdentity": "b", "leaseDurationSeconds": 10, "renewTime": "1999"},
    }

    def test_times_in_it_do_not_count(self) -> None:
        """A Lease is fresh from when we first saw it so, whatever its times say."""
        found = sight(self.LEASE, None, 1000.0, 15.0)
        assert found == Sighting("b", 10.0, "7", 1000.0)
        assert not found.expired(1010.0)
        assert found.expired(1010.1)

    def test_unchanged(self) -> None:
        """Seeing the same state again does not make it fresher; a change does."""
        first = sight(self.LEASE, None, 1000.0, 15.0)
        assert sight(self.LEASE, first, 1009.0, 15.0) is first
        changed = {**self.LEASE, "metadata": {"resourceVersion": "8"}}
        assert sight(changed, first, 1009.0, 15.0).seen_at == 1009.0

    def test_without_holder(self) -> None:
        """A Lease without a holder is free at once."""
        assert sight({"metadata": {}, "spec": {"leaseDurationSeconds": 10}}, None, 1000.0, 15.0).expired(1000.0)

    @pytest.mark.parametrize(
        ("seconds", "duration"), [(None, 15.0), (0, 15.0), (-5, 15.0), ("9", 15.0), (10**9, LONGEST_DURATION), (3, 3.0)]
    )
    def test_durations(self, seconds: object, duration: float) -> None:
        """The holder's own duration counts, unless it is nonsense or for ever."""
        lease = {"metadata": {}, "spec": {"holderIdentity": "b", "leaseDurationSeconds": seconds}}
        assert sight(lease, None, 0.0, 15.0).duration == duration

    def test_empty(self) -> None:
        """A Lease without anything in it can be read."""
        assert sight({}, None, 0.0, 15.0).holder == ""


class TestOwner:
    def test_known(self) -> None:
        """The choice is fixed for ever: replicas of different versions must agree on it."""
        assert [heirs(f"uid-{n}", THREE)[0][-1] for n in range(16)] == list("accccacbabcbccca")

    @given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=6, unique=True))
    def test_any(self, uid: str, members: list[str]) -> None:
        """The owner is a member, whatever the order in which members are known."""
        found = heirs(uid, members)[0]
        assert found in members
        assert heirs(uid, members[::-1])[0] == found

    def test_leaving(self) -> None:
        """When a member goes, only its own keys change owner, and both others get a share of them."""
        uids = [f"uid-{n}" for n in range(600)]
        before = {uid: heirs(uid, THREE)[0] for uid in uids}
        after = {uid: heirs(uid, THREE[:2])[0] for uid in uids}
        moved = {uid for uid in uids if before[uid] != after[uid]}
        assert moved == {uid for uid in uids if before[uid] == "replica-c"}
        assert {after[uid] for uid in moved} == set(THREE[:2])

    def test_even(self) -> None:
        """Keys are spread evenly."""
        counts = Counter(heirs(f"uid-{n}", THREE)[0] for n in range(3000))
        assert all(850 < counts[member] < 1150 for member in THREE)

    def test_nobody(self) -> None:
        """Without members there is no owner."""
        assert heirs("uid", ()) == []


@given(st.text(min_size=1, max_size=300) | st.text("ab.-", min_size=1, max_size=10))
def test_lease_names(identity: str) -> None:
    """Whatever a replica is called, its Lease has a name that the API server takes."""
    name = lease_name("signers", identity)
    assert len(name) <= 253
    for label in name.split("."):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", label)


def test_plain_lease_name() -> None:
    """A Pod's name is kept readable; other identities stay different from each other."""
    assert lease_name("signers", "signer-6d5f-x2x") == "signers-signer-6d5f-x2x"
    assert lease_name("signers", "A") != lease_name("signers", "a")
