"""One cluster for all fault tests, whose servers they stop and start, and the signer's processes on it."""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.burst import ca_issuer
from tests.faults.proxy import Proxy
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.install import install
from tests.localmesh.signer import NAMESPACE, SIGNER_ACCOUNT, SignerProcess
from tests.localmesh.watcher import Watcher


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder is a fault test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.fault)


@pytest.fixture(scope="session")
def breakable(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A cluster with our manifests. Each test leaves it running, with its rights as they were."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    cluster = LocalCluster(controller_manager=False)
    with capture.global_and_fixture_disabled():
        cluster.start()
    try:
        install(cluster)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def account(breakable: LocalCluster) -> Path:
    """The signer's own kubeconfig, made while the API server is there."""
    return breakable.service_account_kubeconfig(NAMESPACE, SIGNER_ACCOUNT)


@pytest.fixture
def place(breakable: LocalCluster) -> Iterator[Place]:
    """The cluster and a connection to it."""
    found = Place.of(breakable)
    yield found
    found.api.close()


@pytest.fixture
def issuer(place: Place) -> str:
    """A ClusterIssuer's signer name, with a CA of its own."""
    return ca_issuer(place, f"ca-{secrets.token_hex(4)}")


@pytest.fixture
def watcher(breakable: LocalCluster) -> Iterator[Watcher]:
    """The independent witness."""
    with Watcher(breakable.kubeconfig()) as found:
        yield found


Start = Callable[..., SignerProcess]


@pytest.fixture
def start(breakable: LocalCluster, account: Path) -> Iterator[Start]:
    """Starts signers under the shipped ServiceAccount: `start("--option", kubeconfig=...)`; ended after the test."""
    started: list[SignerProcess] = []

    def begin(*options: str, kubeconfig: Path = account, wait: bool = True) -> SignerProcess:
        process = SignerProcess(breakable, "--controllers=csr", *options, f"--kubeconfig={kubeconfig}", account=None)
        started.append(process)
        return process.start(wait=wait)

    yield begin
    for process in started:
        process.kill()
    for process in started:
        assert "Traceback" not in process.log, process.log


@pytest.fixture
def proxy(breakable: LocalCluster) -> Iterator[Proxy]:
    """The scripted proxy."""
    with Proxy(breakable) as found:
        yield found


@pytest.fixture
def dice() -> random.Random:
    """Chance with a seed that a failure shows; MESH_SIGNER_TEST_SEED repeats it."""
    seed = int(os.environ.get("MESH_SIGNER_TEST_SEED") or secrets.randbelow(1 << 32))
    print(f"MESH_SIGNER_TEST_SEED={seed}")
    return random.Random(seed)
