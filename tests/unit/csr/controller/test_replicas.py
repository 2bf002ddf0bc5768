"""Several replicas: each request is one's, and another's when that one is silent."""

import asyncio

import pytest

from signer.csr.answers.writer import Written
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import Scene, running
from tests.unit.csr.crafted import encoded, request


def uid_of(scene: Scene, owner: str, start: int = 0) -> str:
    return next(f"u{n}" for n in range(start, 10_000) if scene.sharing.place(f"u{n}").owner == owner)


@virtual_time
async def test_ours_at_once() -> None:
    """What is ours is answered at once."""
    async with running(members=("a", "b")) as scene:
        scene.put(uid=uid_of(scene, "a"))
        await asyncio.sleep(0.01)
        assert len(scene.writer.writes) == 1


@virtual_time
async def test_the_owners_silence() -> None:
    """What is another's is taken over when its owner has answered nothing for a second."""
    async with running(members=("a", "b")) as scene:
        scene.put(uid=uid_of(scene, "b"))
        await asyncio.sleep(0.9)
        assert scene.writer.writes == []
        await asyncio.sleep(0.2)
        assert len(scene.writer.writes) == 1


@virtual_time
async def test_the_owner_is_at_work() -> None:
    """As long as its owner answers requests, what is another's is left to it."""
    async with running(members=("a", "b")) as scene:
        late = uid_of(scene, "b", 5000)
        scene.put(name="late", uid=late)
        for n in range(10):
            other = uid_of(scene, "b", n * 100)
            scene.put(name=f"o{n}", uid=other)
            await asyncio.sleep(0.5)
            scene.reflector.delete(f"o{n}")
        assert scene.writer.writes == []
        await asyncio.sleep(1.1)
        assert scene.names == ["late"]


@virtual_time
async def test_answered_by_its_owner() -> None:
    """What its owner answered is not answered by us."""
    async with running(members=("a", "b")) as scene:
        scene.put(uid=uid_of(scene, "b"))
        await asyncio.sleep(0.5)
        scene.reflector.delete("request-1")
        await asyncio.sleep(60)
        assert scene.writer.writes == []


@virtual_time
async def test_a_replica_that_died() -> None:
    """When its owner is no longer a member, a request that waited for it is ours when its second is over."""
    async with running(members=("a", "b")) as scene:
        scene.put(uid=uid_of(scene, "b"))
        scene.members = ("a",)
        await asyncio.sleep(1.1)
        assert len(scene.writer.writes) == 1


@virtual_time
async def test_taken_over_and_lost() -> None:
    """Who comes second gets a conflict, and that is the end of it: nothing is signed a third time."""
    async with running(members=("a", "b")) as scene:
        uid = uid_of(scene, "b")
        scene.writer.script += [Written("conflict", "m", request(uid=uid, version="8", certificate=b"x"))]
        scene.put(uid=uid)
        await asyncio.sleep(60)
        assert len(scene.writer.writes) == 1


@virtual_time
async def test_what_is_not_read() -> None:
    """Of another's requests only the approval is read; of ours all, but for our own certificate when it comes back."""
    async with running(members=("a", "b")) as scene:
        read = scene.intake.read
        for uid, ours in ((uid_of(scene, "a"), True), (uid_of(scene, "b"), False)):
            assert (read(encoded(uid=uid, conditions=())) is not None) == ours
            assert read(encoded(uid=uid)) is not None
        seen: list[str] = []
        scene.intake.subscribe(lambda csr: seen.append(csr.uid))
        mine = uid_of(scene, "a")
        scene.writer.takes = 1.0
        scene.put(uid=mine)
        await asyncio.sleep(0.1)
        (write,) = scene.writer.writes
        for certificate in (write.answer.pem, b"somebody else's", write.answer.pem[1:]):
            assert read(encoded(uid=mine, certificate=certificate)) is None
        assert seen == [mine, mine]
        assert read(encoded(uid=uid_of(scene, "b"), certificate=b"x")) is None
        assert seen == [mine, mine]


@pytest.mark.heavy
@virtual_time
async def test_many_of_a_dead_owner() -> None:
    """A thousand requests of an owner that died are all answered within three seconds, each once."""
    async with running(members=("a", "b", "c")) as scene:
        scene.put_many(1000)
        await asyncio.sleep(3)
        assert sorted(scene.names) == sorted(f"r{n}" for n in range(1000))
