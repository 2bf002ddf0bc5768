"""A challenge server for all, a CA and sessions for each test."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from issuers.acme.account import AccountKey
from issuers.acme.client import Session
from tests.fakes.acme_faults import FaultyCA
from tests.integration.acme.driving import KEY, server, utc_now
from tests.integration.pebbles import answers, start
from tests.localmesh.pebble import Pebble

__all__ = ["answers", "start", "talk"]


@pytest.fixture
async def talk() -> AsyncIterator[Callable[..., Session]]:
    """Opens sessions, and closes them at the end."""
    opened: list[Session] = []

    def make(ca: Pebble | FaultyCA, key: AccountKey = KEY, **changed: object) -> Session:
        where = replace(server(ca.directory, ca.authority.certificate), **changed)  # type: ignore[arg-type]
        opened.append(Session(where, key, utc_now))
        return opened[-1]

    yield make
    for one in opened:
        await one.close()
