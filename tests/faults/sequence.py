"""Three replicas at work, each behind a proxy of its own, and what may befall them: one fault after another.

A fault breaks something for a while and mends it again. What it draws (whom, for how long) comes from the dice that it is
given, so one number repeats a whole sequence. Which faults there are is a table; a new one is a function in it.

Concurrency: faults run one at a time, in the test's thread; proxies call their rules in theirs.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests import pki
from tests.clock.__main__ import shifted
from tests.faults.conftest import Start
from tests.faults.proxy import Action, Answer, Drop, First, Proxy, failure, pass_on
from tests.faults.test_replicas import know_each_other
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.debian import find_library
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.signer import SignerProcess

JSON = {"Content-Type": "application/json"}
REPLICAS = 3


class Trio:
    """The replicas, their proxies, the cluster and its CA. Closed by the stack that it is given."""

    def __init__(self, cluster: LocalCluster, place: Place, start: Start, account: Path, stack: ExitStack) -> None:
        self.cluster = cluster
        self.place = place
        self.ca_name = "sequence"
        self.ca = pki.CA(self.ca_name)
        self.issuer = place.ca_issuer(self.ca_name, self.ca)
        self.begin = start
        self.account = account
        self.proxies = [stack.enter_context(Proxy(cluster)) for _ in range(REPLICAS)]
        self.configs = [proxy.kubeconfig(account) for proxy in self.proxies]
        self.replicas = [start(kubeconfig=config) for config in self.configs]
        self.all = list(self.replicas)
        """Every process that there ever was: each has a part of the audit log."""
        know_each_other(*self.replicas)

    def answers(self, which: int, rule: Callable[[str, str], Action], seconds: float) -> None:
        """What reaches one replica's proxy is treated by a rule, for a while."""
        self.proxies[which].rule = rule
        time.sleep(seconds)
        self.proxies[which].rule = pass_on


Fault = Callable[[Trio, random.Random], None]


def is_answer(method: str, path: str) -> bool:
    """Whether a call writes a request's status."""
    return method in {"PUT", "PATCH"} and "certificatesigningrequests" in path


def killed(trio: Trio, dice: random.Random) -> None:
    """SIGKILL, and a start after a while."""
    victim = dice.choice(trio.replicas)
    victim.kill()
    time.sleep(dice.uniform(0, 4))
    victim.start()


def all_killed(trio: Trio, dice: random.Random) -> None:
    """SIGKILL of all, and a start."""
    del dice
    for each in trio.replicas:
        each.kill()
    for each in trio.replicas:
        each.start(wait=False)
    for each in trio.replicas:
        each.wait_ready()


def frozen(trio: Trio, dice: random.Random) -> None:
    """An owner sleeps, shorter or longer than its Lease lives, and wakes up with what it had taken."""
    victim = dice.choice(trio.replicas)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        time.sleep(dice.choice([0.5, 3, 12]))
    finally:
        os.kill(victim.pid, signal.SIGCONT)


def left(trio: Trio, dice: random.Random) -> None:
    """A rolling update: each is told to end, and another comes in its place."""
    del dice
    for each in trio.replicas:
        each.stop()
        each.start()


def scaled(trio: Trio, dice: random.Random) -> None:
    """Down to one, up to five, back to three."""
    stays = dice.randrange(REPLICAS)
    for number, each in enumerate(trio.replicas):
        if number != stays:
            each.stop()
    time.sleep(1)
    for number, each in enumerate(trio.replicas):
        if number != stays:
            each.start()
    further = [trio.begin(kubeconfig=trio.account) for _ in range(2)]
    trio.all += further
    time.sleep(2)
    for each in further:
        each.stop()


def partitioned(trio: Trio, dice: random.Random) -> None:
    """One replica is cut off: every connection breaks."""
    which = dice.randrange(REPLICAS)
    trio.proxies[which].cut_watches()
    trio.answers(which, lambda _method, _path: Drop(), dice.choice([2, 12]))


def half_open(trio: Trio, dice: random.Random) -> None:
    """One replica's calls are taken, and never answered until the end."""
    which, over = dice.randrange(REPLICAS), threading.Event()
    trio.proxies[which].cut_watches()
    try:
        trio.answers(which, lambda _method, _path: First(lambda: over.wait(20)), dice.choice([2, 8]))
    finally:
        over.set()


def slow(trio: Trio, dice: random.Random) -> None:
    """One replica's calls take a while each."""
    trio.answers(dice.randrange(REPLICAS), lambda _method, _path: First(lambda: time.sleep(0.2)), 4)


def watches_cut(trio: Trio, dice: random.Random) -> None:
    """All watches break, again and again."""
    for _ in range(4):
        for proxy in trio.proxies:
            proxy.cut_watches()
        time.sleep(dice.uniform(0.1, 1))


def too_many(trio: Trio, dice: random.Random) -> None:
    """429 with Retry-After for the answers of one."""
    answer = Answer(429, {"Retry-After": "1", **JSON}, failure(429, "TooManyRequests"))
    trio.answers(
        dice.randrange(REPLICAS), lambda method, path: answer if is_answer(method, path) else None, dice.uniform(2, 4)
    )


def errors(trio: Trio, dice: random.Random) -> None:
    """500 for whatever one asks."""
    answer = Answer(500, JSON, failure(500, "InternalError"))
    trio.answers(dice.randrange(REPLICAS), lambda _method, _path: answer, dice.uniform(2, 4))


def answers_lost(trio: Trio, dice: random.Random) -> None:
    """Writes are done, and their answers lost: nobody can know what became of them but by looking."""
    turns = random.Random(dice.random())

    def rule(method: str, path: str) -> Action:
        return Drop(done=turns.random() < 0.5) if is_answer(method, path) and turns.random() < 0.7 else None

    trio.answers(dice.randrange(REPLICAS), rule, 4)


def token_refused(trio: Trio, dice: random.Random) -> None:
    """401: one replica's token is refused for a while."""
    answer = Answer(401, JSON, failure(401, "Unauthorized"))
    which = dice.randrange(REPLICAS)
    trio.proxies[which].cut_watches()
    trio.answers(which, lambda _method, _path: answer, dice.choice([2, 6]))


def server_killed(trio: Trio, dice: random.Random) -> None:
    """The API server dies, and is started after a while."""
    trio.cluster.api.kill()
    time.sleep(dice.choice([0, 5]))
    trio.cluster.api.start()
    trio.place.api.close()  # its connection went with the former one


def etcd_killed(trio: Trio, dice: random.Random) -> None:
    """Etcd dies below a live API server, and comes back with its data."""
    trio.cluster.etcd.kill()
    time.sleep(dice.choice([0, 3]))
    trio.cluster.etcd.start()
    trio.cluster.wait_for(trio.cluster.api.ready, "the API server, after etcd", timeout=120)


def compacted(trio: Trio, dice: random.Random) -> None:
    """The history goes while watches are cut, and the API server's cache with it."""
    for proxy in trio.proxies:
        proxy.rule = lambda _method, path: Drop() if "watch=" in path else None
        proxy.cut_watches()
    time.sleep(dice.uniform(0.5, 2))
    trio.cluster.etcd.compact()
    trio.cluster.api.kill()
    trio.cluster.api.start()
    trio.place.api.close()
    for proxy in trio.proxies:
        proxy.rule = pass_on


def ca_renewed(trio: Trio, dice: random.Random) -> None:
    """The CA gets a new certificate for its key; now and then its Secret is away in between."""
    renewed = pki.CA(trio.ca_name, private=trio.ca.private)
    if dice.random() < 0.5:
        trio.place.delete_secret(trio.ca_name)
        time.sleep(dice.uniform(0.2, 2))
    trio.place.secret(trio.ca_name, renewed.secret())
    trio.ca = renewed


def disk_full(trio: Trio, dice: random.Random) -> None:
    """A further replica that can write down nothing, and so may issue nothing, takes its part and gives it up."""
    broken = trio.begin("--audit-log=/dev/full", "--audit-failure=stop", kubeconfig=trio.account, wait=False)
    time.sleep(dice.uniform(1, 4))
    broken.kill()


def clock_off(trio: Trio, dice: random.Random) -> None:
    """One replica comes back with a clock that is ten minutes off, and later with the right one."""
    which = dice.randrange(REPLICAS)
    library = find_library("faketime/libfaketimeMT.so.1", "libfaketime")
    trio.replicas[which].stop()
    odd = SignerProcess(
        trio.cluster,
        "--controllers=csr",
        f"--kubeconfig={trio.configs[which]}",
        account=None,
        env=shifted(library, dice.choice(["+600s", "-600s"])),
    )
    trio.all.append(odd)
    odd.start()
    try:
        time.sleep(3)
    finally:
        odd.stop()
    trio.replicas[which].start()


FAULTS: tuple[Fault, ...] = (
    killed,
    all_killed,
    frozen,
    left,
    scaled,
    partitioned,
    half_open,
    slow,
    watches_cut,
    too_many,
    errors,
    answers_lost,
    token_refused,
    server_killed,
    etcd_killed,
    compacted,
    ca_renewed,
    disk_full,
    clock_off,
)


def possible() -> tuple[Fault, ...]:
    """The faults that can be had here; a shifted clock needs a library, and it is said where there is none."""
    try:
        find_library("faketime/libfaketimeMT.so.1", "libfaketime")
    except LocalMeshError as error:
        print(f"without clock_off: {error}")
        return tuple(one for one in FAULTS if one is not clock_off)
    return FAULTS
