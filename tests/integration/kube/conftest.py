"""A client of the cluster, and a cluster that may be broken."""

from collections.abc import AsyncIterator, Iterator

import pytest

from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from tests.localmesh import Cluster, LocalCluster


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[ApiClient]:
    async with ApiClient(load_config(str(cluster.kubeconfig()))) as opened:
        yield opened


@pytest.fixture(scope="module")
def breakable() -> Iterator[LocalCluster]:
    """A cluster without watch cache, as the API server would otherwise answer old watches from memory."""
    with LocalCluster(controller_manager=False, api_flags=["--watch-cache=false"]) as cluster:
        yield cluster
