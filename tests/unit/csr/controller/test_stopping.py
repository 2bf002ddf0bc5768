"""SIGTERM: what is there is worked off, what comes is another replica's."""

import asyncio

import pytest

from signer.csr.controller import Options
from signer.tenancy.verdict import Limits
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import running


@virtual_time
async def test_works_off_what_is_ready() -> None:
    """Draining ends when all that was ready is written, and no sooner."""
    async with running() as scene:
        scene.writer.takes = 0.5
        scene.put_many(200)
        await scene.controller.drain()
        assert len(scene.writer.writes) == 200
        assert scene.writer.under_way == 0
        assert scene.at < 5


@virtual_time
async def test_takes_nothing_new() -> None:
    """What comes while draining is left to others."""
    async with running() as scene:
        scene.writer.takes = 1.0
        scene.put_many(2)
        draining = asyncio.create_task(scene.controller.drain())
        await asyncio.sleep(0.5)
        scene.put(name="late", uid="late")
        await draining
        assert scene.names == ["r0", "r1"]


@virtual_time
async def test_waits_for_nobody() -> None:
    """What waits for an issuer or a pause does not hold the end up."""
    async with running(issuer=False) as scene:
        scene.put_many(5)
        await asyncio.sleep(1)
        await scene.controller.drain()
        assert scene.at < 1.1


@virtual_time
async def test_an_end_to_patience(caplog: pytest.LogCaptureFixture) -> None:
    """After drain_seconds the rest is given up, and the log says how many."""
    async with running(options=Options("cert-manager", Limits(), write_window=2, drain_seconds=5.0)) as scene:
        scene.writer.takes = 100.0
        scene.put_many(7)
        await scene.controller.drain()
        assert 5.0 <= scene.at < 5.1
    assert "stopping with 7 requests unanswered" in caplog.text


@virtual_time
async def test_writes_under_way_are_cut_at_the_very_end() -> None:
    """When the controller is cancelled nothing of it goes on."""
    async with running() as scene:
        scene.writer.takes = 50.0
        scene.put_many(3)
        await asyncio.sleep(1)
        assert scene.writer.under_way == 3
    await asyncio.sleep(0)
    assert scene.writer.under_way == 0


@virtual_time
async def test_nothing_under_way_when_idle() -> None:
    """Draining an idle controller takes no time."""
    async with running() as scene:
        await scene.controller.drain()
        assert scene.at == 0
