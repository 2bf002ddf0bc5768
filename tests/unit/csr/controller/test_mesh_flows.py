"""With a wall one tenant's flood holds up no other, and the wall's mode is shown."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.mesh_scene import BAR_SIGNER, OWNED
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO_SIGNER, NOW, ready, workload
from tests.unit.tenancy.worlds import BAR, world


@pytest.mark.heavy
@virtual_time
async def test_a_flood_does_not_delay_another_tenant() -> None:
    """While one tenant's thousand workloads restart, another tenant's request is written in the next round."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.registry.set(ready(BAR))
        scene.writer.takes = 0.1
        scene.put_many(1000)
        await asyncio.sleep(0.35)
        done = len(scene.names)
        scene.put(name="bar", uid="bar", request=workload("bar"), signer=BAR_SIGNER)
        await scene.until(lambda: "bar" in scene.names)
        assert scene.names.index("bar") <= done + 64 + 1
        assert scene.metric("issued_total", signer=FOO_SIGNER, namespace="foo") is not None


@pytest.mark.heavy
@virtual_time
async def test_one_tenant_has_a_part_of_the_window() -> None:
    """One tenant alone has an eighth of the window at most, so that another's write finds room at once.

    From then on both have one place, and up to an eighth again as long as writes get no slower.
    """
    async with running(world=world(bindings=OWNED)) as scene:
        scene.registry.set(ready(BAR))
        scene.writer.takes = 10.0
        scene.put_many(200)
        await asyncio.sleep(1)
        assert len(scene.writer.writes) == 8
        for n in range(20):
            scene.put(name=f"b{n}", uid=f"b{n}", request=workload("bar"), signer=BAR_SIGNER)
        await asyncio.sleep(1)
        assert scene.names[8:] == ["b0"]
        await asyncio.sleep(10)
        assert {name[0] for name in scene.names[9:]} == {"b", scene.names[0][0]}
        assert len(scene.names) <= 9 + 2 * 2
        await scene.until(lambda: len(scene.writer.writes) == 220, 2000)
        assert 8 < scene.writer.most_under_way <= 16


@virtual_time
async def test_without_a_wall_the_window_is_whole() -> None:
    """Where all requests look alike, all of the window is theirs."""
    async with running() as scene:
        scene.writer.takes = 10.0
        scene.put_many(200)
        await asyncio.sleep(1)
        assert len(scene.writer.writes) == 64


@virtual_time
async def test_the_mode_is_shown() -> None:
    """The metric tells which mode is in force, and when audit mode has ended."""
    audit = replace(world().settings, mode="audit", audit_until=NOW.replace(minute=1))
    async with running(world=world(bindings=OWNED, settings=audit)) as scene:
        await asyncio.sleep(5)
        assert scene.metric("tenancy_mode", mode="audit") == 1
        await asyncio.sleep(60)
        assert scene.metric("tenancy_mode", mode="audit") == 0
        assert scene.metric("tenancy_mode", mode="enforce") == 1
    async with running() as scene:
        await asyncio.sleep(2)
        assert scene.metric("tenancy_mode", mode="off") == 1
