"""The node of these tests, with mesh-signer installed as docs/install.md says. One node, and the tests leave it as they find it."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.realnode.installation import Installation
from tests.realnode.inventory import inventory
from tests.realnode.node import Node

_NODE = pytest.StashKey[Node]()


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """The node, ready, with nothing of ours on it."""
    if "MESH_SIGNER_NODE_GROUP" not in os.environ:
        pytest.skip("runs in namespaces of its own: make test-node")
    node = Node(Path(os.environ["MESH_SIGNER_NODE_WORK"]), os.environ["MESH_SIGNER_NODE_GROUP"])
    request.config.stash[_NODE] = node
    try:
        yield node.start()
    finally:
        node.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what the cluster says at that moment: the node is gone before anybody can look."""
    report = yield
    node = item.config.stash.get(_NODE, None)
    if report.failed and node is not None:
        report.sections.append(("the node", node.told()))
    return report


@pytest.fixture(scope="session")
def bare(node: Node) -> set[tuple[str, str, str]]:
    """All objects of the cluster before anything of ours is there."""
    return inventory(node.cluster)


@pytest.fixture(scope="session")
def installed(node: Node, bare: set[tuple[str, str, str]]) -> Installation:  # noqa: ARG001 - looked at first
    """mesh-signer from the shipped manifests, with a tenant."""
    installation = Installation(node)
    installation.by_kustomize()
    installation.tenant()
    return installation
