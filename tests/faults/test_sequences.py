"""Faults in an order that nobody chose, under a steady load on three replicas: each request is issued once, or refused."""

import contextlib
import os
import random
from collections import Counter
from pathlib import Path

from tests.faults.burst import Burst, conclude
from tests.faults.conftest import Start
from tests.faults.sequence import Trio, possible
from tests.faults.test_listeners import resident
from tests.faults.test_replicas import know_each_other
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess
from tests.localmesh.watcher import Watcher

FAULTS = int(os.environ.get("MESH_SIGNER_TEST_FAULTS") or 6)
"""How many in a row; `make soak` has more."""
PAUSE = 0.3
"""Seconds between two requests of each of four threads: about ten requests in a second."""


MEMORY = 20_000_000
"""Bytes by which a process may grow, however long it goes on."""
FILES = 64
"""Descriptors likewise: connections that are kept for the next call."""


def descriptors(process: SignerProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def twice_signed(trio: Trio, watcher: Watcher, burst: Burst) -> int:
    """How many requests have more than one intent to issue in the audit logs."""
    uids = {one.uid for one in watcher.snapshot().values() if burst.mine(one)}
    signed = Counter(
        line["uid"] for one in trio.all for line in one.audit() if line["audit"] == "intent" and line["uid"] in uids
    )
    return sum(count > 1 for count in signed.values())


def test_any_order(
    breakable: LocalCluster,
    place: Place,
    watcher: Watcher,
    start: Start,
    account: Path,
    dice: random.Random,
) -> None:
    """Whatever comes after what: no request is lost, none has two answers, and nothing piles up in a process."""
    with contextlib.ExitStack() as stack:
        trio = Trio(breakable, place, start, account, stack)
        before = [(resident(one), descriptors(one)) for one in trio.replicas]
        burst = Burst(breakable, trio.issuer, 1 << 30, pause=PAUSE).start()
        table = possible()
        turns = [fault for _ in range(FAULTS // len(table) + 1) for fault in dice.sample(table, len(table))][:FAULTS]
        for fault in turns:
            began = burst.approved
            print(f"{began:5} approved: {fault.__name__}")
            fault(trio, dice)
            burst.reach(began + 10)  # the load goes on, whatever there is
        conclude(burst.enough(), watcher, trio.all, crashed=True, lost=True)
        know_each_other(*trio.replicas)
        after = [(resident(one), descriptors(one)) for one in trio.replicas]
        twice = twice_signed(trio, watcher, burst)
        print(f"{burst.count} requests, {twice} signed more than once; memory, descriptors: {before} -> {after}")
        for (memory, files), (memory_then, files_then) in zip(before, after, strict=True):
            assert memory_then - memory < MEMORY
            assert files_then - files < FILES
