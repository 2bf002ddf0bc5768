"""Whether somebody else's program is at work is told by what it does to its Lease, not by what stands in it."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.leases.leader import Leadership
from signer.kube.leases.others import OthersLeases
from signer.slow_controllers import alone
from tests.fakes.leases import LeaseClient, LeaseServer
from tests.fakes.virtual_time import virtual_time

NAME = "cert-manager-controller"
# cert-manager's own times (cmd/controller: 60 s, 40 s, 15 s).
DURATION, RENEW, RETRY = 60.0, 40.0, 15.0


class Peer:
    """A cert-manager's leader election, which may be killed or told to stop."""

    def __init__(self, server: LeaseServer, name: str = "peer") -> None:
        self.client = LeaseClient(server)
        leadership = Leadership(self.client, "kube-system", NAME, name, duration=DURATION, renew=RENEW, retry=RETRY)
        self.task = asyncio.create_task(leadership.run(self._work))

    async def _work(self) -> None:
        await asyncio.sleep(10**6)

    async def killed(self) -> None:
        """It leaves its Lease as it is."""
        self.client.fault = "unreachable"
        self.task.cancel()
        await asyncio.wait([self.task])


def looking(server: LeaseServer) -> OthersLeases:
    loop = asyncio.get_running_loop()
    return OthersLeases(LeaseClient(server), [("kube-system", NAME)], clock=loop.time)  # type: ignore[arg-type]


@virtual_time
async def test_nobody() -> None:
    """Without a Lease there is nobody, and that is known at once."""
    before = asyncio.get_running_loop().time()
    assert await looking(LeaseServer()).holder() == ""
    assert asyncio.get_running_loop().time() - before < 1


@virtual_time
async def test_the_wait_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A start that waits beside an old Lease says so once, with the Lease and how long at most; without one nothing is said."""
    server = LeaseServer()
    peer = Peer(server)
    await asyncio.sleep(5)
    await peer.killed()
    caplog.set_level(logging.INFO, "signer.kube.leases.others")
    assert await looking(server).holder() == ""
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"kube-system/{NAME}" in line
    assert "60 seconds at most" in line
    caplog.clear()
    assert await looking(LeaseServer()).holder() == ""
    assert caplog.records == []


@virtual_time
async def test_who_lives() -> None:
    """One that renews its Lease is known by the next renewal, whatever the clocks say, and is named."""
    server = LeaseServer()
    peer = Peer(server)
    await asyncio.sleep(5)
    assert await looking(server).holder() == f"Lease kube-system/{NAME}, held by peer"
    await peer.killed()


@virtual_time
async def test_who_left_his_lease_behind() -> None:
    """A Lease that nobody renews for its own duration is nobody's, however it looks."""
    server = LeaseServer()
    peer = Peer(server)
    await asyncio.sleep(100)
    await peer.killed()
    found = looking(server)
    began = asyncio.get_running_loop().time()
    assert await found.holder() == ""
    assert DURATION <= asyncio.get_running_loop().time() - began < DURATION + 5


@given(st.lists(st.tuples(st.sampled_from(("start", "kill", "wait")), st.integers(1, 300)), max_size=12))
def test_never_both_for_long(steps: list[tuple[str, int]]) -> None:
    """Whenever the other comes and goes, we stop soon after it begins and work again soon after it ends."""
    virtual_time(_run)(steps)


async def _run(steps: list[tuple[str, int]]) -> None:
    server, working = LeaseServer(), asyncio.Event()

    async def work() -> None:
        working.set()
        try:
            await asyncio.sleep(10**6)
        finally:
            working.clear()

    peer: Peer | None = None
    ours = asyncio.create_task(alone(looking(server), work))
    for what, seconds in steps:
        if what == "start" and peer is None:
            peer = Peer(server, f"peer-{seconds}")
        elif what == "kill" and peer is not None:
            await peer.killed()
            peer = None
        await asyncio.sleep(seconds)
    # What the killed one had is over after 60 s, then a new one takes it; each side needs a renewal and a look.
    await asyncio.sleep(DURATION * 2 + 40)
    assert working.is_set() == (peer is None)
    if peer is not None:
        await peer.killed()
    ours.cancel()
    await asyncio.wait([ours])
