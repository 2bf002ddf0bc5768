"""A SignerPolicy's rate: what is over it waits, in order, and is issued in the end."""

import asyncio
from datetime import timedelta

from msgspec.structs import replace

from signer.tenancy.world import Policy, Rate
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, FOO_SIGNER, workload
from tests.unit.tenancy.worlds import recorded, world

POLICY = Policy("team", frozenset({FOO}), namespaces=frozenset({"foo", "bar"}), rate=Rate(6, timedelta(minutes=1)))


@virtual_time
async def test_over_the_rate() -> None:
    """Six at once and then one in ten seconds; nobody is refused, all are issued, the first come first."""
    async with running(world=world(policies=(POLICY,))) as scene:
        scene.put_many(10)
        await asyncio.sleep(1)
        assert scene.names == [f"r{n}" for n in range(6)]
        assert scene.metric("waiting_requests", reason="RateLimited") == 4
        assert scene.metric("rate_limited_total", signer=FOO_SIGNER, namespace="foo") == 4
        await asyncio.sleep(10)
        assert scene.names[6:] == ["r6"]
        await asyncio.sleep(40)
        assert sorted(scene.names) == sorted(f"r{n}" for n in range(10))
        assert not any(write.answer.refused for write in scene.writer.writes)
        assert scene.metric("waiting_requests", reason="RateLimited") == 0
        assert scene.metric("rate_limited_total", signer=FOO_SIGNER, namespace="foo") == 4
        assert scene.recorder.reasons.count("RateLimited") == 4


@virtual_time
async def test_each_namespace_has_its_own() -> None:
    """One namespace's storm does not use up another one's rate."""
    async with running(world=world(policies=(POLICY,))) as scene:
        scene.put_many(20)
        await asyncio.sleep(1)
        scene.put(name="bar", uid="bar", request=workload("bar"))
        await scene.until(lambda: "bar" in scene.names, 1)


@virtual_time
async def test_deleted_while_it_waits() -> None:
    """A request that goes away while it waits takes nothing from those behind it."""
    async with running(world=world(policies=(POLICY,))) as scene:
        scene.put_many(9)
        await asyncio.sleep(1)
        scene.reflector.delete("r6")
        scene.reflector.delete("r7")
        await asyncio.sleep(10)
        assert scene.names[6:] == ["r8"]


@virtual_time
async def test_the_rate_goes_away() -> None:
    """When the policy has no rate any more, what waited for it is issued, after half a minute at the latest."""
    slow = replace(POLICY, rate=Rate(1, timedelta(hours=10)))
    async with running(world=world(policies=(slow,))) as scene:
        assert scene.mesh is not None
        scene.put_many(50)
        await asyncio.sleep(5)
        assert len(scene.names) == 1
        scene.mesh.world.policies[FOO] = (recorded(replace(POLICY, rate=None)),)
        await scene.until(lambda: len(scene.names) == 50, 31)


@virtual_time
async def test_a_write_that_is_tried_again_is_counted_once() -> None:
    """An answer that has to be decided again takes no second token."""
    async with running(world=world(policies=(replace(POLICY, rate=Rate(1, timedelta(hours=1))),))) as scene:
        scene.put()
        await asyncio.sleep(0.001)
        scene.put(version="8")
        await asyncio.sleep(5)
        assert scene.metric("issued_total", signer=FOO_SIGNER, namespace="foo") == 1
