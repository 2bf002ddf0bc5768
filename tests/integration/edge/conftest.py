"""Pebble and its challenge server, and the controllers in the test's own loop against the real API server."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.edge.presenters import ServerPresenter
from tests.integration.edge.zones import servers, zone_ca, zoned
from tests.integration.pebbles import Start, answers, spec, start
from tests.integration.slow_controllers import World, world
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds
from tests.localmesh.pebble import ChallengeServer

__all__ = ["Start", "answers", "crds", "here", "presenter", "servers", "spec", "start", "zone_ca", "zoned"]


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    """Our CRDs are there."""
    install_crds(cluster)


@pytest.fixture
def presenter(answers: ChallengeServer) -> ServerPresenter:
    """Presents at the challenge server."""
    return ServerPresenter(answers)


@pytest.fixture
async def here(cluster: Cluster, namespace: str, presenter: ServerPresenter) -> AsyncIterator[World]:
    """The controllers, with those of ACME."""
    async with world(cluster, namespace, presenter=presenter) as found:
        yield found
