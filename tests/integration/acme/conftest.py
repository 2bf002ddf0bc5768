"""A challenge server for all, a CA and sessions for each test."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from issuers.acme.account import AccountKey
from issuers.acme.client import Session
from tests.fakes.acme_faults import FaultyCA
from tests.integration.acme.driving import KEY, Start, server, utc_now
from tests.localmesh.pebble import ChallengeServer, Pebble


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChallengeServer]:
    """One challenge server; tokens and names do not clash, as every test has names of its own."""
    started = ChallengeServer(tmp_path_factory.mktemp("challenges"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def start(answers: ChallengeServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a CA of the test's own, in a tenth of a second."""
    started: list[Pebble] = []

    def make(**how: object) -> Pebble:
        ca = Pebble(tmp_path, answers, name=f"pebble-{len(started)}", **how)  # type: ignore[arg-type]  # passed through
        started.append(ca)
        ca.start()
        return ca

    yield make
    for ca in started:
        ca.stop()


@pytest.fixture
def talk() -> Iterator[Callable[..., Session]]:
    """Opens sessions, and closes them at the end."""
    opened: list[Session] = []

    def make(ca: Pebble | FaultyCA, key: AccountKey = KEY, **changed: object) -> Session:
        where = replace(server(ca.directory, ca.authority.certificate), **changed)  # type: ignore[arg-type]
        opened.append(Session(where, key, utc_now))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
