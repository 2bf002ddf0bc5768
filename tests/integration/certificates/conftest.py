"""The slow controllers in the test's own loop, against the real API server with our CRDs."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.slow_controllers import World, world
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    install_crds(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    async with world(cluster, namespace) as found:
        yield found


@pytest.fixture
async def manual(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    """The controllers with automatic approval switched off."""
    async with world(cluster, namespace, auto_approve=False) as found:
        yield found
