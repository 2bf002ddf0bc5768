"""What all tests of gateways start with: the definitions, and the edge at work in a namespace of the test's own."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.edge.gateway_world import EdgeWorld, edge_world, install
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    install_crds(cluster)
    install(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[EdgeWorld]:
    async with edge_world(cluster, namespace) as found:
        yield found
