"""What a Challenge says of its host comes onto the host's claim: once, after a minute, and is taken back by a valid one."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from signer.api.challenge import Challenge
from signer.api.hostclaim import HostClaim
from signer.edge.challenges.proving import HostsProven, Seen, shows
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.proven import unproven
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from tests.unit.edge.issuance import challenge

NOW = datetime(2026, 6, 1, 12, 5, tzinfo=UTC)
PRESENTED = "2026-06-01T12:04:30Z"
WAITING = {
    "processing": True,
    "presented": True,
    "presentedAt": PRESENTED,
    "reason": "no such host",
    "state": "pending",
}
TEXT = "Challenge istio-system/c: no such host"


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        (WAITING, Seen(TEXT, datetime(2026, 6, 1, 12, 4, 30, tzinfo=UTC))),
        ({**WAITING, "presentedAt": None}, Seen(TEXT, datetime(2026, 6, 1, 12, tzinfo=UTC))),
        ({**WAITING, "processing": False}, None),
        ({**WAITING, "reason": ""}, None),
        ({}, None),
        ({"state": "valid", "reason": "Successfully authorized domain"}, Seen("")),
        ({"state": "invalid", "reason": "403 from 192.0.2.1"}, Seen("Challenge istio-system/c: 403 from 192.0.2.1")),
        ({"state": "expired"}, Seen("Challenge istio-system/c: it is expired")),
    ],
    ids=["waits", "waits for a gateway", "has no turn", "nothing to say", "new", "valid", "invalid", "no reason"],
)
def test_what_it_shows(status: dict[str, Any], seen: Seen | None) -> None:
    """Only what is worked on, or is over, says anything."""
    assert shows(challenge(status=status)) == seen


class World:
    """One claim, and Challenges that come and change."""

    def __init__(self) -> None:
        self.now = NOW
        self.written = 0
        self.claim = msgspec.convert({"metadata": {"name": "a.example.com", "uid": "u"}, "spec": {}}, HostClaim)
        self.hosts: Any = type("Hosts", (), {"store": {("", "a.example.com"): self.claim}})()
        self.tell: Any = None
        self.queue = WorkQueue[str]()
        source = cast("Reflector[Challenge]", type("Source", (), {"subscribe": self._subscribe})())
        self.proven = HostsProven(source, lambda: cast("Claims", self), self.queue, clock=lambda: self.now)

    def _subscribe(self, tell: Any) -> None:
        self.tell = tell

    async def write_status(self, claim: HostClaim, status: dict[str, Any]) -> None:
        self.written += 1
        self.claim = msgspec.convert(
            {"metadata": {"name": "a.example.com", "uid": claim.metadata.uid}, "status": status}, HostClaim
        )
        self.hosts.store["", "a.example.com"] = self.claim

    def change(self, old: Challenge | None, new: Challenge | None) -> Challenge | None:
        self.tell(Change("changed" if new else "deleted", ("istio-system", "c"), old, new))  # type: ignore[arg-type]  # the kind's word is not read
        return new

    async def look(self, after: timedelta = timedelta(0)) -> str:
        self.now += after
        await self.proven.reconcile("a.example.com")
        said = unproven(self.claim.status.conditions)
        return said.message if said is not None else ""


def test_waiting_failing_and_valid() -> None:
    """A minute of waiting is no news; then it is told, with each change of words, until a Challenge is valid."""

    async def story() -> None:
        world = World()
        waiting = world.change(None, challenge(status=WAITING))
        assert await world.look() == ""
        assert await world.look(timedelta(minutes=1)) == TEXT
        world.change(waiting, waiting)
        assert await world.look() == TEXT
        assert world.written == 1
        failed = world.change(waiting, challenge(status={"state": "invalid", "reason": "it says 404"}))
        assert "it says 404" in await world.look()
        world.change(failed, None)
        assert "it says 404" in await world.look()
        world.change(None, challenge(status={"state": "valid"}))
        assert await world.look() == ""
        assert world.written == 3

    asyncio.run(story())


def test_given_up_while_it_waits() -> None:
    """A Challenge that goes within its first minute shows nothing; a host that nobody has a claim on is not told of."""

    async def story() -> None:
        world = World()
        world.change(world.change(None, challenge(status=WAITING)), None)
        assert await world.look(timedelta(hours=1)) == ""
        world.hosts.store.clear()
        world.change(None, challenge(status={"state": "invalid"}))
        assert await world.look() == ""
        assert world.written == 0

    asyncio.run(story())
