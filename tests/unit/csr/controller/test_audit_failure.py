"""What cannot be written down: with --audit-failure=stop it is not issued, with continue it is."""

import asyncio

import pytest

from signer.csr.answers.writer import Written
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import running


@pytest.mark.heavy
@virtual_time
async def test_stop() -> None:
    """While the log cannot be written nothing is sent, not even what was signed already; then all is, each once."""
    async with running(audit_stop=True) as scene:
        scene.put(name="before", uid="before")
        await scene.until(lambda: scene.writer.writes)
        await asyncio.sleep(1)
        scene.disk.full = True
        scene.put_many(100)
        await asyncio.sleep(60)
        assert scene.names == ["before"]
        assert scene.metric("audit_failing") == 1
        assert scene.metric("waiting_requests", reason="AuditLog") == 1
        assert scene.metric("queue_length") == 99
        scene.disk.full = False
        await scene.until(lambda: len(scene.names) == 101, 5)
        await asyncio.sleep(60)
        assert sorted(scene.names) == sorted(["before", *(f"r{n}" for n in range(100))])
        assert scene.metric("audit_failing") == 0
        assert len({write.answer.serial for write in scene.writer.writes}) == 101
        for write in scene.writer.writes:
            assert f"{write.answer.serial:x}" in {line["serial"] for line in scene.audit[: write.audited]}


@virtual_time
async def test_stop_and_the_request_goes_away() -> None:
    """A request that is deleted while its answer waits for the log is not answered, and its line has an end."""
    async with running(audit_stop=True) as scene:
        scene.disk.full = True
        scene.put()
        await asyncio.sleep(5)
        scene.writer.settled.append(Written("gone"))
        scene.reflector.delete("request-1")
        scene.disk.full = False
        await asyncio.sleep(60)
        assert scene.writer.writes == []
        assert [(line["audit"], line.get("outcome")) for line in scene.audit] == [("intent", None), ("outcome", "gone")]


@virtual_time
async def test_continue() -> None:
    """Without `stop` a full disk holds nothing up, and the lines come when it has room."""
    async with running() as scene:
        scene.disk.full = True
        scene.put_many(50)
        await scene.until(lambda: len(scene.names) == 50, 5)
        assert scene.audit == []
        scene.disk.full = False
        await asyncio.sleep(2)
        assert len(scene.audit) == 100
