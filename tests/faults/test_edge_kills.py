"""An issuance by ACME, broken off in each of its states: the same order goes on, and the CA has seen one.

Broken off: the controllers' process is killed (SIGKILL), or the API server is gone for a while.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.acme_faults import Reply, edit, times
from tests.faults.edge import ACME, ISTIO, EdgePlace
from tests.faults.proxy import Action, Drop, Proxy
from tests.integration.edge.gateway_world import install
from tests.integration.hot_path import settle
from tests.localmesh import LocalCluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

PATHS = ("order-plz", "authZ", "chalZ", "my-order", "finalize", "certZ")
"""Pebble's: newOrder, authorization, challenge, order, finalize, certificate."""


@pytest.fixture(scope="module")
def edge(breakable: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgePlace]:
    """The edge of all tests here."""
    install(breakable)
    with EdgePlace(breakable, tmp_path_factory.mktemp("edge")) as found:
        yield found


@pytest.fixture
def controllers(breakable: LocalCluster, edge: EdgePlace, proxy: Proxy) -> Iterator[SignerProcess]:
    """The controllers as they are shipped, whose way to the API server leads through the proxy."""
    through = proxy.kubeconfig(breakable.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT))
    process = SignerProcess(breakable, *edge.options(), f"--kubeconfig={through}", account=None)
    process.start()
    yield process
    process.kill()
    assert "Traceback" not in process.log, process.log


class Killer:
    """Kills at each point once, and has the test start the process again."""

    def __init__(self, edge: EdgePlace, process: SignerProcess) -> None:
        self.points: list[str] = []
        self.killed = threading.Event()
        self._edge = edge
        self._process = process
        self._lock = threading.Lock()

    def state(self) -> str:
        """What is stored of the Order and its Challenge."""
        api = self._edge.connect()
        try:
            orders = self._edge.list(ACME, "orders", api)
            challenges = self._edge.list(ACME, "challenges", api)
        finally:
            api.close()
        order = orders[0].get("status", {}) if orders else {}
        said = "order " + (order.get("state") or ("asked" if order.get("url") else "made"))
        for one in challenges:
            status = one.get("status", {})
            steps = ("processing", "presented", "state")
            said += ", challenge " + " ".join(f"{step}={status.get(step) or '-'}" for step in steps)
        return said

    def at(self, point: str) -> bool:
        """Kill the process, unless it was killed here before; whether it was killed now."""
        with self._lock:
            if self.killed.is_set():
                return True
            if point in self.points:
                return False
            self.points.append(point)
            self._process.kill()
            self.killed.set()
            return True


def test_killed_in_each_state(edge: EdgePlace, controllers: SignerProcess, proxy: Proxy) -> None:
    """Killed before and after each request to the CA, before a Challenge's turn, and before the Secret: one order, and nothing stays."""
    killer = Killer(edge, controllers)
    slow = [2]

    def works_on_it(order: Any) -> None:
        if order["status"] == "valid" and slow[0]:
            slow[0] -= 1
            order["status"] = "processing"
            del order["certificate"]

    slowly = edit(works_on_it)

    def ca(method: str, path: str) -> Reply | Callable[[Reply], Reply] | None:
        kind = next((one for one in PATHS if one in path), None)
        if method != "POST" or kind is None:
            return None
        point = f"{kind}: {killer.state()}"
        gone = Reply(503, (), b"")
        if killer.at(f"before {point}"):
            return gone
        if kind in ("order-plz", "authZ", "my-order"):
            # Reading changes nothing. What dies between the answer to newOrder and the write of its URL orders again:
            # the one limit that the protocol has.
            return slowly if kind == "my-order" else None

        def after(reply: Reply) -> Reply:
            return gone if killer.at(f"after {point}") else reply

        return after

    def api(method: str, path: str) -> Action:
        if method == "PATCH" and "/challenges/" in path and killer.at("before the first write of a Challenge's status"):
            return Drop()
        if method in ("PUT", "PATCH") and f"{edge.namespace}/secrets/killed" in path and killer.at("before the Secret"):
            return Drop()
        return None

    edge.ca.rule, proxy.rule = ca, api
    edge.gateway("killed", "killed.example.com")
    orders = edge.pebble.orders()
    while not edge.ready("killed"):
        settle(lambda: killer.killed.is_set() or edge.ready("killed"), f"the next state; so far {killer.points}")
        if killer.killed.is_set():
            killer.killed.clear()
            controllers.start()
    assert edge.pebble.orders() == orders + 1
    assert len(edge.list(ACME, "orders")) == 1
    settle(lambda: not edge.list(ACME, "challenges"), "the end of its Challenge")
    assert not edge.list(ISTIO, "virtualservices")
    passed = {point.split(", challenge")[0] for point in killer.points}
    assert passed >= {
        "before order-plz: order made",
        "before authZ: order pending",
        "before the first write of a Challenge's status",
        "before chalZ: order pending",
        "after chalZ: order pending",
        "before finalize: order ready",
        "after finalize: order ready",
        "before my-order: order processing",
        "before certZ: order valid",
        "after certZ: order valid",
        "before the Secret",
    }, killer.points


@pytest.mark.parametrize("kind", ["order-plz", "chalZ", "finalize", "certZ"])
def test_the_api_server_restarts(
    breakable: LocalCluster, edge: EdgePlace, controllers: SignerProcess, proxy: Proxy, kind: str
) -> None:
    """An API server that is away when the CA has answered loses nothing: what it said is written when that is back."""
    pid, orders = controllers.pid, edge.pebble.orders()
    answered: list[int] = []

    def gone(reply: Reply) -> Reply:
        breakable.api.kill()
        answered.append(len(proxy.seen))
        return reply

    def tried() -> bool:
        return bool(answered) and any(m == "PATCH" and ACME in path for m, path in proxy.seen[answered[0] :])

    edge.ca.rule = times(1, kind, gone)
    name = f"api-{kind.lower()}"
    edge.gateway(name, f"{name}.example.com")
    try:
        settle(tried, f"the write of the CA's answer to {kind}")
    finally:
        breakable.api.start()
    settle(lambda: edge.ready(name), f"{name} Ready")
    assert edge.pebble.orders() == orders + 1
    assert controllers.pid == pid
