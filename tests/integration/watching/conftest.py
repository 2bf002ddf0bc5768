"""A Prometheus with the shipped rules in a hurry, processes that it watches, and tenants."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.tenants import Tenants, meshed
from tests.integration.watching.prometheus import SILENCE, Prometheus, Start
from tests.integration.watching.rules import hurried
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

FACTOR = 600


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Watches nothing yet."""
    rules = hurried(FACTOR)
    (stale,) = [
        rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == "MeshSignerMeshStale"
    ]
    stale["expr"] = stale["expr"].replace("> 300", f"> {SILENCE}")
    assert str(SILENCE) in stale["expr"]
    with Prometheus(tmp_path_factory.mktemp("prometheus"), rules) as started:
        yield started


@pytest.fixture
def start(installed: Cluster, prometheus: Prometheus) -> Iterator[Start]:
    """Starts a process that is watched until the test ends."""
    with contextlib.ExitStack() as stack:

        def one(*options: str, wait: bool = True, **more: Any) -> SignerProcess:
            process = SignerProcess(installed, *options, **({"tenancy": "enforce"} | more))
            stack.callback(process.stop)
            process.start(wait=wait)
            prometheus.watch(process)
            stack.callback(prometheus.forget, process)
            return process

        yield one


@pytest.fixture
def tenants(installed: Cluster) -> Iterator[Tenants]:
    with meshed(installed) as made:
        made.add("foo", "bar")
        yield made
