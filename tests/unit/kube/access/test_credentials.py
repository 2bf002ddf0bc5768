"""Credentials whose source hangs: requests go on with what is there, and no thread is started beside the one that hangs."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from signer.kube.access import credentials
from signer.kube.access.config import ConnectionConfig
from signer.kube.access.credentials import CREDENTIALS_AGE, FIRST_PAUSE, Credentials
from signer.kube.errors import NotSent


class Source:
    """Gives tokens 1, 2 and so on; waits while `open` is cleared."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.config = ConnectionConfig(host="http://127.0.0.1:1", authorization=self.authorization)
        self.config = replace(self.config, reload=self.reload)

    def authorization(self) -> str:
        self.asked += 1
        token = f"Bearer {self.asked}"
        self.entered.set()
        assert self.open.wait(60)
        return token

    def reload(self) -> ConnectionConfig:
        return self.config

    async def loaded(self) -> Credentials:
        found = Credentials(self.config, lambda: self.now)
        await found.load()
        return found


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source; its thread is let go at the end, whatever happens."""
    monkeypatch.setattr(credentials, "SOURCE_TIMEOUT", 60.0)
    made = Source()
    yield made
    made.open.set()


async def token(used: Credentials) -> str | None:
    headers: dict[str, str] = {}
    await used.authorize(headers)
    return headers.get("Authorization")


async def ended(used: Credentials) -> None:
    assert used._reading is not None
    await asyncio.wait((used._reading,))


async def test_refresh_hangs(source: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former token is used on while its source hangs, which is not asked again before it has ended."""
    used = await source.loaded()
    source.open.clear()
    monkeypatch.setattr(credentials, "SOURCE_TIMEOUT", 0.05)
    try:
        source.now += CREDENTIALS_AGE
        assert [await token(used), await token(used)] == ["Bearer 1", "Bearer 1"]
        assert "keeping the former credentials: nothing was read within 0.05 s" in caplog.text
        source.now += CREDENTIALS_AGE
        assert await token(used) == "Bearer 1"
        assert "an earlier reading of the credentials has not ended yet" in caplog.text
    finally:
        source.open.set()
    await ended(used)
    assert source.asked == 2
    monkeypatch.setattr(credentials, "SOURCE_TIMEOUT", 60.0)
    assert await token(used) == "Bearer 1"
    source.now += CREDENTIALS_AGE
    assert await token(used) == "Bearer 3"


async def test_reload_hangs(source: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 401 a source that hangs makes the 401 the answer, for all who wait; later a reload succeeds again."""
    used = await source.loaded()
    generation = await used.authorize({})
    source.open.clear()
    monkeypatch.setattr(credentials, "SOURCE_TIMEOUT", 0.05)
    try:
        assert await asyncio.gather(*(used.reload(generation) for _ in range(5))) == [False] * 5
        assert "(401), and cannot be read again: nothing was read within 0.05 s" in caplog.text
        with pytest.raises(NotSent):
            await token(used)
    finally:
        source.open.set()
    await ended(used)
    assert source.asked == 2
    monkeypatch.setattr(credentials, "SOURCE_TIMEOUT", 60.0)
    source.now += FIRST_PAUSE
    assert await used.authorize({}) == generation
    assert await used.reload(generation)
    assert await token(used) == "Bearer 3"


async def test_cancelled_request(source: Source) -> None:
    """A request that is cancelled while it refreshes does not keep the next one from fresh credentials, nor do two read at once."""
    used = await source.loaded()
    source.open.clear()
    source.entered.clear()
    source.now += CREDENTIALS_AGE
    first = asyncio.create_task(token(used))
    try:
        assert await asyncio.to_thread(source.entered.wait, 60)
        first.cancel()
        await asyncio.wait((first,))
        second = asyncio.create_task(token(used))
        await asyncio.sleep(0.05)
        assert source.asked == 2
    finally:
        source.open.set()
    assert first.cancelled()
    assert await second == "Bearer 3"
