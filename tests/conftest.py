"""Fixtures for every test: one real cluster per session, started when the first test asks for it.

Tests in tests/unit ask for none and so need no server.
"""

import gc
import os
import secrets
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import examples  # noqa: F401 - it sets hypothesis' profiles
from tests.explained import close_idle, contradictions
from tests.localmesh import Cluster, ExistingCluster, LocalCluster
from tests.stored import at_teardown, watching

pytest_plugins = ["tests.left_open"]

# For the servers and kubectl, which are Go programs: they collect garbage a quarter as often, which takes a fifth off their
# CPU for 200 MB more in each API server. Benchmarks and demos run them as they are.
os.environ.setdefault("GOGC", "300")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="run against this existing cluster (cluster-admin rights) instead of a local one; fault tests are skipped",
    )
    parser.addoption(
        "--part",
        metavar="N/M",
        help="only the Nth of M parts of the test files, so that M processes run all of them side by side",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    part: str | None = config.getoption("--part")
    if part is None or not collection_path.name.startswith("test_") or not collection_path.is_file():
        return None
    number, parts = map(int, part.split("/"))
    # By name, so that it is the same in each process, and no process reads the files of another.
    name = collection_path.relative_to(config.rootpath).as_posix()
    return True if zlib.crc32(name.encode()) % parts != number - 1 else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected, and all that it imports, lives to the end: the garbage collector need not go through it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--kubeconfig") is None:
        return
    skip = pytest.mark.skip(reason="stops and restarts servers, which a cluster given by --kubeconfig does not allow")
    for item in items:
        if item.get_closest_marker("fault"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    contradicted = contradictions(item)  # before anything is cleaned up
    try:
        return (yield from at_teardown(item))
    finally:
        close_idle()
        if contradicted:
            raise AssertionError("explain contradicts the signer: " + "; ".join(contradicted))


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
        with watching(chosen):
            yield chosen
    finally:
        chosen.close()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the shared cluster; deleted afterwards, without waiting for it."""
    cluster.check()
    name = f"test-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


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
