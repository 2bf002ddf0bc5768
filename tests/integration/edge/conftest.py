"""Pebble and its challenge server, and the controllers in the test's own loop against the real API server."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.edge.presenters import ServerPresenter
from tests.integration.pebbles import Start, answers, start
from tests.integration.slow_controllers import Json, World, install_crds, world
from tests.localmesh import Cluster
from tests.localmesh.pebble import ChallengeServer, Pebble

__all__ = ["Start", "answers", "crds", "here", "presenter", "spec", "start"]


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    """Our CRDs are there."""
    install_crds(cluster)
    names = ("crd/orders.acme.cert-manager.io", "crd/challenges.acme.cert-manager.io")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


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
