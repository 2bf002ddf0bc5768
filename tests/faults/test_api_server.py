"""The API server goes away, and its history is lost: each request still ends issued once, or refused with its reason."""

import random
import time
from pathlib import Path

from tests.faults.burst import Burst, conclude
from tests.faults.conftest import Start
from tests.faults.proxy import Action, Drop, Proxy, pass_on
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.watcher import Watcher

SECONDS_AWAY = 20


def test_stopped_and_restarted(
    breakable: LocalCluster, place: Place, issuer: str, watcher: Watcher, start: Start
) -> None:
    """Stopped for 20 s in the middle of a burst: all is answered after the restart, and the signer stayed alive and itself."""
    signer = start()
    pid = signer.pid
    burst = Burst(breakable, issuer, 300).start()
    burst.reach(100)
    breakable.api.stop()
    time.sleep(SECONDS_AWAY)
    assert signer.alive() == (True, "[+] watch: ok\n")
    breakable.api.start()
    conclude(burst, watcher, [signer])
    assert signer.pid == pid
    place.api.close()  # its connection went with the former API server
    place.issue(issuer)


def test_killed_and_restarted(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, dice: random.Random
) -> None:
    """Killed at random points of a burst, twice: writes whose outcome nobody knew are settled, none is made twice."""
    signer = start()
    burst = Burst(breakable, issuer, 300).start()
    for low, high in ((30, 130), (160, 270)):
        burst.reach(dice.randrange(low, high))
        breakable.api.kill()
        breakable.api.start()
    conclude(burst, watcher, [signer])


def test_history_compacted(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, proxy: Proxy, account: Path
) -> None:
    """The watch is cut, requests are made meanwhile, etcd is compacted: after 410 the signer lists and forgets none."""
    signer = start(kubeconfig=proxy.kubeconfig(account))

    def no_watch(method: str, path: str) -> Action:
        del method
        return Drop() if "watch=" in path else None

    breakable.wait_for(lambda: proxy.watches >= 3, "the signer's watches")
    proxy.rule = no_watch
    assert proxy.cut_watches() >= 3
    burst = Burst(breakable, issuer, 100).start().join()
    breakable.etcd.compact()
    breakable.api.kill()  # its watch cache would still reach back
    breakable.api.start()
    proxy.rule = pass_on
    conclude(burst, watcher, [signer])
    assert "the server's history no longer reaches back" in signer.log


def test_watches_cut(
    breakable: LocalCluster,
    issuer: str,
    watcher: Watcher,
    start: Start,
    proxy: Proxy,
    account: Path,
    dice: random.Random,
) -> None:
    """Watches that break again and again during a burst lose no request."""
    signer = start(kubeconfig=proxy.kubeconfig(account))
    burst = Burst(breakable, issuer, 300).start()
    cut = 0
    for number in sorted(dice.sample(range(10, 300), 8)):
        burst.reach(number)
        cut += proxy.cut_watches()
    conclude(burst, watcher, [signer])
    assert cut > 0
    assert signer.wait_for_metric("mesh_signer_watch_restarts_total", 1) > 0
