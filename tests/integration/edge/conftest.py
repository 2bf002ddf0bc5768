"""Pebble and its challenge server, and the controllers in the test's own loop against the real API server."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World, install_crds, world
from tests.localmesh import Cluster
from tests.localmesh.pebble import ChallengeServer, Pebble

Start = Callable[..., Pebble]


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    """Our CRDs are there."""
    install_crds(cluster)
    names = ("crd/orders.acme.cert-manager.io", "crd/challenges.acme.cert-manager.io")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChallengeServer]:
    """One challenge server for the module; tokens and names do not clash."""
    started = ChallengeServer(tmp_path_factory.mktemp("challenges"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def start(answers: ChallengeServer, tmp_path: Path) -> Iterator[Start]:
    """Starts CAs of the test's own."""
    started: list[Pebble] = []

    def make(**how: Any) -> Pebble:
        ca = Pebble(tmp_path, answers, name=f"pebble-{len(started)}", **how)
        started.append(ca)
        ca.start()
        return ca

    yield make
    for ca in started:
        ca.stop()


@pytest.fixture
def presenter(answers: ChallengeServer) -> ServerPresenter:
    """Presents at the challenge server."""
    return ServerPresenter(answers)


@pytest.fixture
async def here(cluster: Cluster, namespace: str, presenter: ServerPresenter) -> AsyncIterator[World]:
    """The controllers, with those of ACME."""
    async with world(cluster, namespace, presenter=presenter) as found:
        yield found


def spec(ca: Pebble, **fields: Any) -> Json:
    """An ACME issuer's spec for this CA; fields that are None are left out."""
    acme = {
        "server": ca.directory,
        "email": "admin@example.com",
        "privateKeySecretRef": {"name": "account"},
        "caBundle": base64.b64encode(ca.authority.certificate).decode(),
        "solvers": [{"http01": {"ingress": {"class": "istio"}}}],
    } | fields
    return {"acme": {name: value for name, value in acme.items() if value is not None}}
