"""What is seen around a bridge counts at once; what a watch that lags shows makes nothing that cannot be taken back."""

import asyncio

import pytest

from signer.api.meta import find_condition
from tests.fakes.virtual_time import virtual_time
from tests.unit.bridges.stored import RULE, Scene

SOON = 5.0
"""Seconds of virtual time: a look that time alone brings comes after 300."""


def working(scene: Scene) -> str:
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, "Working")
    return found.message if found is not None else ""


@pytest.mark.parametrize("host", ["a.foo.svc.cluster.local", "*.foo.svc.cluster.local"])
@virtual_time
async def test_a_rule_in_front(host: str) -> None:
    """Somebody's rule that hides the bridge's is told as soon as it is seen, and that it is gone; one that hides nothing never is."""
    scene = Scene()
    at_work = asyncio.create_task(scene.live(100))
    await asyncio.sleep(60)
    place = (RULE, "istio-system", "theirs")
    scene.api.put(place, {"spec": {"host": host}})
    await asyncio.sleep(SOON)
    hides = not host.startswith("*")
    assert ("DestinationRule theirs" in working(scene)) == hides
    scene.api.remove(place)
    await asyncio.sleep(SOON)
    assert "DestinationRule theirs" not in working(scene)
    await at_work
