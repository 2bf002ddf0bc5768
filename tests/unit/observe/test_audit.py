"""The audit log loses nothing: lines of one turn go out together, and a full disk only delays them."""

import asyncio
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from signer.observe.audit import AuditLine, AuditLog
from tests.fakes.virtual_time import virtual_time


def line(uid: str = "u1", **more: Any) -> AuditLine:
    values: dict[str, Any] = {"audit": "intent", "verdict": "issue", **more}
    return AuditLine(time="2026-11-22T12:00:00.000Z", uid=uid, name="n", **values)


class Disk(io.BytesIO):
    """A stream that counts its writes, and is full for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.full = False
        self.takes: int | None = None  # so many bytes, and then it is full

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        self.writes += 1
        if self.takes is not None:
            data, self.full, self.takes = data[: self.takes], True, None
        return super().write(data)

    def uids(self) -> list[str]:
        return [json.loads(text)["uid"] for text in self.getvalue().splitlines()]


async def test_one_write_for_a_turn() -> None:
    """Lines of one turn of the loop are one write, in order, before the next turn's tasks run."""
    disk = Disk()
    log = AuditLog(disk)
    for n in range(100):
        log.write(line(f"u{n}"))
    assert disk.writes == 0
    await asyncio.sleep(0)
    assert disk.writes == 1
    assert disk.uids() == [f"u{n}" for n in range(100)]
    log.write(line("later"))
    await asyncio.sleep(0)
    assert disk.uids()[-1] == "later"


async def test_before_tasks_that_were_started_after_it() -> None:
    """A task that is started right after a line was taken finds it written."""
    disk = Disk()
    log = AuditLog(disk)
    found: list[int] = []

    async def look() -> None:
        found.append(disk.writes)

    log.write(line())
    await asyncio.create_task(look())
    assert found == [1]


async def test_the_line() -> None:
    """A line is one JSON object with camelCase names; what is not set is left out, and a line break stays inside."""
    disk = Disk()
    log = AuditLog(disk)
    log.write(line(ca_key="abc", message="two\nlines", lifetime=5))
    log.flush()
    assert disk.getvalue().count(b"\n") == 1
    assert json.loads(disk.getvalue()) == {
        "time": "2026-11-22T12:00:00.000Z",
        "audit": "intent",
        "uid": "u1",
        "name": "n",
        "verdict": "issue",
        "caKey": "abc",
        "message": "two\nlines",
        "lifetime": 5,
    }


@virtual_time
async def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    """While the disk is full lines are kept; they are written in order as soon as it is not; the log says so once."""
    disk = Disk()
    log = AuditLog(disk)
    disk.full = True
    for n in range(3):
        log.write(line(f"u{n}"))
        await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "audit log: No space left on device; up to 100000 lines are kept until it can be written"
    ]
    assert log.trouble == "No space left on device"
    disk.full = False
    log.write(line("u3"))
    await asyncio.sleep(2)
    assert disk.uids() == ["u0", "u1", "u2", "u3"]
    assert log.trouble == ""
    disk.full = True
    log.write(line("u4"))
    await asyncio.sleep(0)
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 2
    disk.full = False
    log.close()
    assert disk.uids()[-1] == "u4"


@virtual_time
async def test_a_write_that_is_cut_short() -> None:
    """A line that was torn by a full disk goes on where it was torn: nothing is written twice, nothing is left out."""
    disk = Disk()
    log = AuditLog(disk)
    for n in range(5):
        log.write(line(f"u{n}"))
    disk.takes = 150
    await asyncio.sleep(0)
    assert log.trouble
    assert len(disk.getvalue()) == 150
    log.write(line("later"))
    disk.full = False
    await asyncio.sleep(2)
    assert disk.uids() == ["u0", "u1", "u2", "u3", "u4", "later"]


@virtual_time
async def test_stop() -> None:
    """With `stop` nothing may be issued while lines cannot be written, and who waits is told when they can."""
    disk = Disk()
    log = AuditLog(disk, stop=True)
    told: list[bool] = []
    log.subscribe(lambda: told.append(log.blocked))
    assert not log.blocked
    disk.full = True
    log.write(line())
    await asyncio.sleep(5)
    assert log.blocked
    assert told == []
    disk.full = False
    await asyncio.sleep(2)
    assert told == [False]
    assert disk.uids() == ["u1"]


@virtual_time
async def test_continue() -> None:
    """Without `stop` nothing waits for the disk."""
    disk = Disk()
    disk.full = True
    log = AuditLog(disk)
    log.write(line())
    await asyncio.sleep(1)
    assert log.trouble
    assert not log.blocked


@virtual_time
async def test_memory_is_bounded() -> None:
    """A disk that stays full does not take the memory; what found no room is counted; issues have room of their own."""
    disk = Disk()
    disk.full = True
    counted: list[str] = []
    lost: list[int] = []
    log = AuditLog(disk, on_line=counted.append, on_lost=lambda: lost.append(1), keep=10)
    for n in range(50):
        log.write(line(f"r{n}", verdict="refuse"))
    for n in range(50):
        log.write(line(f"u{n}"))
    disk.full = False
    log.flush()
    assert disk.uids() == [f"r{n}" for n in range(5)] + [f"u{n}" for n in range(5)]
    assert counted == ["intent"] * 100
    assert len(lost) == 90


@virtual_time
async def test_the_device_that_is_always_full(caplog: pytest.LogCaptureFixture) -> None:
    """A real device without room is such a disk."""
    log = AuditLog.to("/dev/full", stop=True)
    log.write(line())
    await asyncio.sleep(0)
    assert log.blocked
    assert (
        "audit log /dev/full (--audit-log): No space left on device; nothing is issued until it can be written"
        in caplog.text
    )
    log.close()


@virtual_time
async def test_a_closed_pipe() -> None:
    """A reader that went away is trouble, not the end."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        log = AuditLog(pipe, stop=True)
        log.write(line())
        await asyncio.sleep(0)
        assert log.trouble == "Broken pipe"
        assert log.blocked


@virtual_time
async def test_a_pipe_that_nobody_reads() -> None:
    """A pipe that takes nothing more just now does not hold up the loop: the rest is written when it is read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "wb", buffering=0) as pipe, os.fdopen(reader, "rb", buffering=0) as other:
        log = AuditLog(pipe)
        for n in range(2000):
            log.write(line(f"u{n}"))
        await asyncio.sleep(0)
        assert log.trouble
        text = b""
        while text.count(b"\n") < 2000:
            text += other.read(1 << 20)
            await asyncio.sleep(1)
        assert [json.loads(one)["uid"] for one in text.splitlines()] == [f"u{n}" for n in range(2000)]
        assert not log.trouble


async def test_close_writes_what_is_left(tmp_path: Path) -> None:
    """The last lines are not lost when the process stops; a file is appended to, not begun anew."""
    path = tmp_path / "audit.log"
    for uid in ("u1", "u2"):
        log = AuditLog.to(str(path))
        log.write(line(uid))
        log.close()
    await asyncio.sleep(0)
    assert [json.loads(text)["uid"] for text in path.read_text().splitlines()] == ["u1", "u2"]


async def test_a_torn_line_stays_alone(tmp_path: Path) -> None:
    """What a process that was killed left of a line is not joined with the first line of the next."""
    path = tmp_path / "audit.log"
    path.write_text('{"audit":"intent","uid":"u0"}\n{"audit":"int')
    log = AuditLog.to(str(path))
    log.write(line("u1"))
    log.close()
    await asyncio.sleep(0)
    whole, torn, own = path.read_text().splitlines()
    assert (json.loads(whole)["uid"], torn, json.loads(own)["uid"]) == ("u0", '{"audit":"int', "u1")


@virtual_time
async def test_what_is_lost_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Lines that still find no place when the process ends are told with their number, and counted."""
    lost: list[None] = []
    log = AuditLog.to("/dev/full", on_lost=lambda: lost.append(None))
    for n in range(96):
        log.write(line(f"u{n}"))
    await asyncio.sleep(0)
    log.close()
    assert len(lost) == 96
    assert "audit log /dev/full (--audit-log): 96 lines are lost: No space left on device" in caplog.text


@pytest.mark.parametrize(
    "hostile", ["\u202e", "\u2028", "\u2029", "\x7f", "\x85", "\u200b", "\U000e0001", "\x1b[2J", "\n"]
)
async def test_nothing_looks_like_something_else(tmp_path: Path, hostile: str) -> None:
    """What a stranger wrote reads back as it was, and the file holds only what is printable; other scripts stay."""
    path = tmp_path / "audit.log"
    log = AuditLog.to(str(path))
    log.write(AuditLine(time="t", audit="intent", verdict="refuse", requester=f"a{hostile}bü€𝄞"))
    log.close()
    await asyncio.sleep(0)
    text = path.read_text()
    assert text.removesuffix("\n").isprintable()
    assert "ü€𝄞" in text
    assert json.loads(text)["requester"] == f"a{hostile}bü€𝄞"


async def test_nowhere() -> None:
    """With "none" nothing is written and nothing counted."""
    counted: list[str] = []
    log = AuditLog.to("none", on_line=counted.append)
    log.write(line())
    log.close()
    assert counted == []


async def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With "-" lines go to standard output, which stays open."""
    log = AuditLog.to("-")
    log.write(line())
    log.close()
    log.write(line("u2"))
    log.close()
    await asyncio.sleep(0)
    assert [json.loads(text)["uid"] for text in capfdbinary.readouterr().out.splitlines()] == ["u1", "u2"]
