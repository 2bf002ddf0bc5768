"""Every query of the dashboard gives data, and data that change with the load; all of them over one minute of it."""

import functools
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from manifests.generate.dashboard import ROWS
from tests.faults.proxy import Action, Answer, First, Proxy
from tests.integration.tenants import Tenants
from tests.integration.watching.prometheus import Prometheus, Start
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE

pytestmark = pytest.mark.integration
QUERIES = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]


def filled(query: str) -> str:
    """As Grafana asks it, with all tenants."""
    return query.replace("$__rate_interval", "8s").replace("$namespace", ".*")


def busy() -> Iterator[Action]:
    """An API server that is now quick and now slow, so that no median stays where it is, and sometimes fails."""
    drawn = random.Random(1)
    while True:
        yield from (First(functools.partial(time.sleep, drawn.choice((0.02, 0.2, 0.4)))) for _ in range(9))
        yield Answer(500, {"Content-Type": "application/json"}, b'{"kind":"Status","code":500,"message":"no"}')


@contextmanager
def load(tenants: Tenants) -> Iterator[None]:
    """Requests that are granted, refused, and left to wait; certificates of the slow controllers; until the block ends."""
    ended = Event()

    def ask() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            for _ in range(number % 4 + 1):
                tenants.ask("foo")
            tenants.ask("bar", "foo")
            if number % 5 == 0:
                tenants.ask("gone")
                certificate(tenants, f"web-{number}")
            time.sleep(0.3)

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def certificate(tenants: Tenants, name: str) -> None:
    """A Certificate, an issuer of its own, and one more issuer that cannot sign."""
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "spec": {"selfSigned": {}}}
    unready = issuer | {"spec": {"ca": {"secretName": "none"}}}
    spec = {"secretName": name, "commonName": name, "issuerRef": {"name": name, "kind": "Issuer"}}
    made = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": spec}
    for own, body in ((name, issuer), (f"{name}-unready", unready), (name, made)):
        meta = {"name": own, "namespace": tenants.name("foo")}
        tenants.place.cluster.apply(json.dumps(body | {"metadata": meta}))


def test_every_query_gives_changing_data(
    installed: Cluster, start: Start, prometheus: Prometheus, tenants: Tenants
) -> None:
    """No panel stays empty, and none shows a line that nothing moves."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    tenants.add("gone")
    with Proxy(installed) as proxy:
        config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        start("--controllers=csr", "--write-window=4", f"--kubeconfig={config}")
        start("--controllers=issuers,certificates,certificaterequests", account=CONTROLLERS_ACCOUNT)
        assert tenants.place.answered(tenants.ask("foo")).chain
        tenants.place.delete_secret(tenants.name("gone"))
        actions = busy()
        proxy.rule = lambda method, path: next(actions) if method == "PUT" and "/status" in path else None
        seen: dict[str, set[tuple[str, float]]] = {query: set() for query in QUERIES}
        with load(tenants):
            deadline = time.monotonic() + 120
            while any(len({value for _, value in one}) < 2 for one in seen.values()) and time.monotonic() < deadline:
                for query, values in seen.items():
                    values |= {(str(labels), value) for labels, value in prometheus.query(filled(query))}
                time.sleep(1)
    assert [query for query, values in seen.items() if not values] == []
    assert [query for query, values in seen.items() if len({value for _, value in values}) < 2] == []
