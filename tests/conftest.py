"""Fixtures for every test: one real cluster per session, started when the first test asks for it.

Tests in tests/unit ask for none and so need no server.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.localmesh import Cluster, ExistingCluster, LocalCluster

pytest_plugins = ["tests.left_open"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="run against this existing cluster (cluster-admin rights) instead of a local one; fault tests are skipped",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--kubeconfig") is None:
        return
    skip = pytest.mark.skip(reason="stops and restarts servers, which a cluster given by --kubeconfig does not allow")
    for item in items:
        if item.get_closest_marker("fault"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of this session: shared, so tests use namespaces and names of their own."""
    given: Path | None = request.config.getoption("--kubeconfig")
    chosen: Cluster = LocalCluster() if given is None else ExistingCluster(given)
    # Building the servers can take minutes the first time: its progress must be seen.
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        chosen.__enter__()
    try:
        yield chosen
    finally:
        chosen.close()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the shared cluster; deleted afterwards, without waiting for it."""
    cluster.check()
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def private_cluster() -> Iterator[Callable[..., LocalCluster]]:
    """Starts clusters that a test may break: `private_cluster(api_flags=[...])`, arguments as LocalCluster's."""
    started: list[LocalCluster] = []

    def start(**arguments: Any) -> LocalCluster:
        cluster = LocalCluster(**arguments)
        started.append(cluster)
        return cluster.start()

    yield start
    for cluster in started:
        cluster.close()
