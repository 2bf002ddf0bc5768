"""Fixtures for tests against Pebble: a challenge server for a module, CAs of each test's own. Imported by conftests."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.slow_controllers import Json
from tests.localmesh.pebble import ChallengeServer, Pebble

Start = Callable[..., Pebble]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChallengeServer]:
    """One challenge server for the module; tokens and names do not clash, as every test has names of its own."""
    started = ChallengeServer(tmp_path_factory.mktemp("challenges"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def start(answers: ChallengeServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a CA of the test's own, in a tenth of a second."""
    started: list[Pebble] = []

    def make(**how: Any) -> Pebble:
        ca = Pebble(tmp_path, answers, name=f"pebble-{len(started)}", **how)
        started.append(ca)
        ca.start()
        return ca

    yield make
    for ca in started:
        ca.stop()


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
