"""Two signers share the work: nothing is issued twice, and one takes over when the other is gone."""

import functools
import random

from tests.faults.burst import Burst, conclude
from tests.faults.conftest import Start
from tests.integration.hot_path import Place, settle
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess
from tests.localmesh.watcher import Watcher


def know_each_other(*signers: SignerProcess) -> None:
    """Wait until each sees exactly these (Leases of killed ones must run out first)."""
    for signer in signers:
        signer_sees = functools.partial(signer.metric, "mesh_signer_replicas")
        settle(lambda: signer_sees() == len(signers), f"{signer.name} to see {len(signers)} replicas")  # noqa: B023 - called at once


def test_both_work(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """Both answer their part of a burst, and a request that both tried is the exception."""
    first, second = start(), start()
    know_each_other(first, second)
    burst = Burst(breakable, issuer, 400).start()
    conclude(burst, watcher, [first, second])
    issued = [signer.metric("mesh_signer_requests_total", outcome="issued") for signer in (first, second)]
    conflicts = sum(signer.metric("mesh_signer_requests_total", outcome="conflict") for signer in (first, second))
    assert sum(issued) == burst.count - burst.bad
    assert min(issued) > burst.count / 10
    assert conflicts < burst.count / 4


def test_one_is_killed(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, dice: random.Random
) -> None:
    """One is killed in the middle of a burst: the other answers all that is left, the dead one's part too."""
    first, second = start(), start()
    know_each_other(first, second)
    burst = Burst(breakable, issuer, 400).start()
    burst.reach(dice.randrange(50, 350))
    first.kill()
    conclude(burst, watcher, [second, first], crashed=True)


def test_what_nobody_approves(place: Place, issuer: str, start: Start) -> None:
    """One is killed before it has told of requests that nobody approves: the other tells of them all, the dead one's too."""
    first, second = start(), start()
    know_each_other(first, second)
    names = [place.create(issuer)["metadata"]["name"] for _ in range(12)]
    first.kill()
    for name in names:
        assert place.event(name, "WaitingApproval")["type"] == "Warning"
    know_each_other(second)


def test_one_leaves(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """One is told to end in the middle of a burst, as in an upgrade: no request is lost, and the other sees that it is alone."""
    first, second = start(), start()
    know_each_other(first, second)
    burst = Burst(breakable, issuer, 300).start()
    burst.reach(100)
    first.stop()
    conclude(burst, watcher, [first, second])
    know_each_other(second)


def test_one_cannot_write_its_audit_log(
    breakable: LocalCluster, place: Place, issuer: str, watcher: Watcher, start: Start
) -> None:
    """A replica that may issue nothing, as its disk is full, says so and leaves its part to the other: nothing is lost."""
    full = start("--audit-log=/dev/full", "--audit-failure=stop")
    other = start()
    know_each_other(full, other)
    while full.ready()[0]:  # until it has met a request of its own
        place.issued(place.ask(issuer))
    assert "cannot be written down" in full.ready()[1]
    know_each_other(other)
    conclude(Burst(breakable, issuer, 100).start(), watcher, [other])
    assert full.metric("mesh_signer_requests_total", outcome="issued") == 0


def test_two_of_one_name(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """Two processes that are called the same share the work as two, and one of them says what it is called now."""
    first, second = start("--identity=twin"), start("--identity=twin")
    settle(lambda: "another process is called twin too" in first.log + second.log, "a line in the log")
    know_each_other(first, second)
    conclude(Burst(breakable, issuer, 100).start(), watcher, [first, second])
    issued = [signer.metric("mesh_signer_requests_total", outcome="issued") for signer in (first, second)]
    assert min(issued) > 0
