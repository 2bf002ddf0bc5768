"""The signer itself ends in the middle of a burst: killed, or told to."""

import os
import random
import signal

from tests.faults.burst import Burst, check_audit, conclude, exit_status
from tests.faults.conftest import Start
from tests.integration.hot_path import settle
from tests.localmesh import LocalCluster
from tests.localmesh.watcher import Watcher


def test_killed_at_random_points(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, dice: random.Random
) -> None:
    """Killed and restarted at random points of a burst of 500: each request is issued once or refused, and in the audit log."""
    process = start()
    burst = Burst(breakable, issuer, 500).start()
    for low in (20, 140, 260, 380):
        burst.answered(watcher, dice.randrange(low, low + 110))
        process.kill()
        process.start(wait=False)
    conclude(burst, watcher, [process], crashed=True)


def test_told_to_end(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """SIGTERM in a burst: what was taken is answered and told of, the exit status is 0, and a later start does the rest."""
    process = start()
    burst = Burst(breakable, issuer, 400).start()
    burst.reach(200)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    assert exit_status(process) == 0
    burst.join()
    own = {one.uid: one for one in watcher.snapshot().values() if burst.mine(one)}
    answered = {uid: one for uid, one in own.items() if one.ended}
    assert answered
    check_audit(answered, [process], crashed=False)
    lines = [line for line in process.audit() if line["uid"] in own]
    intents, outcomes = ({line["uid"] for line in lines if line["audit"] == kind} for kind in ("intent", "outcome"))
    assert intents == outcomes
    process.start()
    conclude(burst, watcher, [process])


def test_ends_while_nobody_answers(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """SIGTERM with the API server away: it ends with status 0 all the same, after its time to drain."""
    process = start("--drain-seconds=1")
    burst = Burst(breakable, issuer, 60).start()
    burst.reach(40)
    breakable.api.kill()
    try:
        settle(lambda: process.metric("mesh_signer_api_errors_total", code="unreachable") > 0, "an unanswered call")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        assert exit_status(process) == 0
    finally:
        breakable.api.start()
    process.start()
    conclude(burst, watcher, [process], crashed=True)
