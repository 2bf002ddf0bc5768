"""Status writes that meet everything an API server can answer, and requests that change or vanish under the signer's hands."""

import random
import threading
import urllib.parse
from pathlib import Path

from tests import pki
from tests.faults.burst import Burst, conclude
from tests.faults.conftest import Start
from tests.faults.proxy import Action, Answer, Drop, First, Proxy, failure, pass_on
from tests.integration.hot_path import CSRS, DURATION, Place, settle
from tests.integration.plain_api import Api, Refused
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.watcher import Watcher

TOO_MANY = failure(429, "TooManyRequests")


def is_write(method: str, path: str) -> bool:
    """Whether this is the write of an answer."""
    return method == "PUT" and path.startswith(CSRS) and path.partition("?")[0].endswith("/status")


def named(path: str) -> str:
    """The request that a path speaks of."""
    return urllib.parse.unquote(path.removeprefix(CSRS + "/").partition("/")[0])


def test_changed_before_each_write(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, proxy: Proxy, account: Path
) -> None:
    """Each request is changed just before its answer is written: a 409, a new decision on what it says then, one certificate."""
    changed: set[str] = set()
    admin = threading.local()

    def change(name: str) -> None:
        if not hasattr(admin, "api"):
            admin.api = Api(kubeconfig.read(breakable.kubeconfig()))
        admin.api.patch(f"{CSRS}/{name}", {"metadata": {"annotations": {DURATION: "11m"}}})
        admin.api.close()

    def rule(method: str, path: str) -> Action:
        if not is_write(method, path) or (name := named(path)) in changed:
            return None
        changed.add(name)
        return First(lambda: change(name))

    signer = start(kubeconfig=proxy.kubeconfig(account))
    proxy.rule = rule
    place = Place.of(breakable)
    names = [place.ask(issuer) for _ in range(60)]
    for name in names:
        assert place.issued(name).seconds == 660  # what the request said in the end, not what was decided first
    place.api.close()
    assert changed >= set(names)
    assert signer.wait_for_metric("mesh_signer_requests_total", len(names), outcome="conflict") == len(names)
    assert signer.wait_for_metric("mesh_signer_requests_total", len(names), outcome="issued") == len(names)
    assert watcher.count(lambda one: one.name in names).issued_twice == 0


def test_updater_at_work(breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start) -> None:
    """Somebody keeps changing annotations of approved requests: every one is answered all the same."""

    def annotate(api: Api, name: str) -> None:
        for number in range(3):
            api.patch(f"{CSRS}/{name}", {"metadata": {"annotations": {"example.com/seen": str(number)}}})

    signer = start()
    burst = Burst(breakable, issuer, 200, after=annotate).start()
    conclude(burst, watcher, [signer])


def test_deleted_early(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, dice: random.Random
) -> None:
    """Requests that are deleted while they are worked on are let go, quietly; the others are answered."""
    lock = threading.Lock()
    deleted: set[str] = set()

    def delete(api: Api, name: str) -> None:
        with lock:
            chosen = dice.random() < 0.5
        if chosen:
            deleted.add(name)
            api.delete(f"{CSRS}/{name}")

    signer = start()
    burst = Burst(breakable, issuer, 300, after=delete).start().join()
    kept = burst.count - len(deleted)
    watcher.wait_for(
        lambda seen: sum(one.ended for one in seen.values() if burst.mine(one) and one.name not in deleted) == kept,
        "answers to what was kept",
    )
    count = watcher.count(burst.mine)
    assert (count.open, count.both, count.issued_twice) == (0, 0, 0)
    gauges = ("mesh_signer_queue_length", "mesh_signer_in_flight_writes", "mesh_signer_waiting_requests")
    settle(lambda: [signer.metric(gauge) for gauge in gauges] == [0, 0, 0], "all gauges to fall to 0")
    assert "ERROR" not in signer.log


def test_too_many_requests(
    breakable: LocalCluster, issuer: str, watcher: Watcher, start: Start, proxy: Proxy, account: Path
) -> None:
    """429 with Retry-After: the signer writes less at a time, sends the same answers again, and comes to an end."""
    refused: dict[str, int] = {}

    def rule(method: str, path: str) -> Action:
        if is_write(method, path) and refused.setdefault(named(path), 0) < 2:
            refused[named(path)] += 1
            return Answer(429, {"Retry-After": "1", "Content-Type": "application/json"}, TOO_MANY)
        return None

    signer = start(kubeconfig=proxy.kubeconfig(account))
    full = signer.metric("mesh_signer_write_window")
    proxy.rule = rule
    burst = Burst(breakable, issuer, 200).start()
    conclude(burst, watcher, [signer])
    assert signer.metric("mesh_signer_write_window") < full
    assert signer.wait_for_metric("mesh_signer_api_errors_total", 400, code="429") == 400
    intents = [line["uid"] for line in signer.audit() if line["audit"] == "intent"]
    assert len(intents) == len(set(intents))  # sent again, not signed again


def test_storm(
    breakable: LocalCluster,
    issuer: str,
    watcher: Watcher,
    start: Start,
    proxy: Proxy,
    account: Path,
    dice: random.Random,
) -> None:
    """500s, 503s, broken connections and lost answers at random, on reads as well: all is answered once in the end."""
    storms: dict[str, int] = {"500": 0, "503": 0, "dropped": 0, "lost": 0}

    def rule(method: str, path: str) -> Action:
        if not path.startswith(CSRS) or "watch=" in path or dice.random() > 0.5:
            return None
        kind = dice.choice(list(storms) if method == "PUT" else ["500", "503", "dropped"])
        storms[kind] += 1
        if kind == "500":
            return Answer(500, {"Content-Type": "text/html"}, b"<html>no gateway</html>")
        if kind == "503":
            return Answer(503, {"Content-Type": "application/json"}, b'{"kind":"Status","code":503}')
        return Drop(done=kind == "lost")

    signer = start(kubeconfig=proxy.kubeconfig(account))
    proxy.rule = rule
    burst = Burst(breakable, issuer, 250).start()
    conclude(burst, watcher, [signer])
    assert all(storms.values()), storms


def test_refused_for_good(place: Place, issuer: str, start: Start, proxy: Proxy, account: Path) -> None:
    """An answer that the API server will not take does not stop the others, is told of by an Event, and will be retried."""
    victim = place.create(issuer)
    name = victim["metadata"]["name"]

    def rule(method: str, path: str) -> Action:
        if is_write(method, path) and named(path) == name:
            return Answer(
                422,
                {"Content-Type": "application/json"},
                b'{"kind":"Status","code":422,"message":"an admission says no"}',
            )
        return None

    start(kubeconfig=proxy.kubeconfig(account))
    proxy.rule = rule
    place.approve(victim)
    assert "an admission says no" in place.event(name, "ErrorUpdate")["message"]
    place.issue(issuer)
    proxy.rule = pass_on
    place.issued(name)


def test_slow_writes_do_not_stop_the_watch(
    place: Place, issuer: str, start: Start, proxy: Proxy, account: Path
) -> None:
    """Writes that hang fill the window only: what comes meanwhile is seen, and answered when they let go."""
    gate = threading.Event()

    def rule(method: str, path: str) -> Action:
        return First(lambda: gate.wait(60)) if is_write(method, path) else None

    signer = start("--write-window=4", kubeconfig=proxy.kubeconfig(account))
    proxy.rule = rule
    names = [place.ask(issuer) for _ in range(12)]
    settle(lambda: signer.metric("mesh_signer_in_flight_writes") == 4, "a full window")
    settle(lambda: signer.metric("mesh_signer_queue_length") == 8, "the others in the queue")
    assert signer.ready()[0]
    gate.set()
    for name in names:
        place.issued(name)


def test_no_such_request(place: Place, issuer: str, start: Start, proxy: Proxy, account: Path) -> None:
    """A request is deleted while its answer is on the way: the 404 is an outcome `gone`, and no trouble."""
    made = place.create(issuer)
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]

    def delete() -> None:
        api = Api(kubeconfig.read(place.cluster.kubeconfig()))
        try:
            api.delete(f"{CSRS}/{name}")
        except Refused:
            pass
        finally:
            api.close()

    def rule(method: str, path: str) -> Action:
        return First(delete) if is_write(method, path) and named(path) == name else None

    signer = start(kubeconfig=proxy.kubeconfig(account))
    proxy.rule = rule
    place.approve(made)
    settle(lambda: [line.get("outcome") for line in signer.audit() if line["uid"] == uid] == [None, "gone"], "gone")
    place.issue(issuer, pki.workload_csr("foo", "next"))
    assert "ERROR" not in signer.log
