"""Nothing that a tenant writes keeps a bridge from its end, or from its next certificate; and an end touches nobody else's."""

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import find_condition
from signer.bridges import writer
from signer.kube.objects import Json
from tests.fakes.virtual_time import virtual_time
from tests.unit.bridges.stored import BRIDGE, RULE, SECRET, Place, Scene

LABEL = "mesh-signer.dev/bridge-uid"
FINALIZERS = ("foregroundDeletion", "orphan", "a.example/hold")
SETTLES = 120.0


def placed(scene: Scene, kind: str) -> Place:
    (place,) = [
        one for one in scene.api.objects if one[0] == kind and one[2].startswith("mesh-signer-bridge-foo.ingress")
    ]
    return place


def change(scene: Scene, place: Place, meta: Json, **more: Any) -> None:
    """Somebody changes an object's metadata, and what else is said."""
    there = copy.deepcopy(scene.api.objects[place])
    scene.api.put(place, {**there, **more, "metadata": {**there["metadata"], **meta}})


def left(scene: Scene) -> list[str]:
    return sorted({*scene.api.named(SECRET), *scene.api.named(RULE)})


def ready(scene: Scene) -> str:
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, "Ready")
    return found.reason if found is not None else ""


@given(st.integers(0, 1 << 32))
def test_what_is_held(seed: int) -> None:
    """Finalizers on what a bridge made, deleted by others or not, hold neither its end nor what is made in its place."""
    drawn = random.Random(seed)

    @virtual_time
    async def story() -> None:
        scene = Scene()
        await scene.live(SETTLES)
        for kind in drawn.sample((SECRET, RULE), drawn.randint(1, 2)):
            change(scene, placed(scene, kind), {"finalizers": [drawn.choice(FINALIZERS)]})
            if drawn.random() < 2 / 3:
                scene.api.remove(placed(scene, kind))
            await scene.live(drawn.choice((0.0, 0.001, SETTLES)))
        if drawn.random() < 1 / 3:
            await scene.live(SETTLES)
            assert ready(scene) == "Built"
            objects = [scene.api.objects[placed(scene, kind)] for kind in (SECRET, RULE)]
            assert not [one for one in objects if "deletionTimestamp" in one["metadata"]]
        if drawn.random() < 1 / 2:
            scene.policy(there=False)
        else:
            scene.api.remove(scene.place)
        await scene.live(SETTLES)
        assert left(scene) == []
        assert scene.stored is None or ready(scene) == "NotAllowed"
        assert scene.unforeseen == []

    story()


@virtual_time
async def test_immutable() -> None:
    """A Secret that somebody made immutable has a new one in its place when its certificate is to be renewed."""
    scene = Scene()
    await scene.live(SETTLES)
    before = scene.api.objects[placed(scene, SECRET)]
    change(scene, placed(scene, SECRET), {}, immutable=True)
    await scene.live(3000)
    now = scene.api.objects[placed(scene, SECRET)]
    assert now["metadata"]["uid"] != before["metadata"]["uid"]
    assert now["data"] != before["data"]
    assert ready(scene) == "Built"
    obj = scene.stored
    assert obj is not None
    assert obj.status.secret_uid == now["metadata"]["uid"]


@pytest.mark.parametrize("hand", ["tenant", "admin"])
@virtual_time
async def test_what_nobody_can_read(monkeypatch: pytest.MonkeyPatch, hand: str) -> None:
    """A Secret that trips up whatever reads it is told on the bridge, and keeps neither hand from ending it."""
    scene = Scene()
    await scene.live(SETTLES)

    def choke(_: object) -> None:
        raise TypeError("a part that no library reads")

    monkeypatch.setattr(writer, "read_credential", choke)
    change(scene, placed(scene, SECRET), {"annotations": {"a": "b"}})
    await scene.live(SETTLES)
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, "Working")
    assert found is not None
    assert (found.status, found.reason) == ("False", "Failed")
    assert "TypeError" in found.message
    if hand == "admin":
        scene.policy(there=False)
    else:
        scene.api.remove(scene.place)
    await scene.live(SETTLES)
    assert left(scene) == []


@virtual_time
async def test_rules_go_first() -> None:
    """A rule that cannot be deleted keeps no other rule from its end; the Secret goes after all of them."""
    scene = Scene()
    scene.bridge("a", "b", "c")
    await scene.live(SETTLES)
    first = len(scene.api.writes)
    scene.api.fails = lambda number: "refused" if number == first else None
    scene.policy(there=False)
    await scene.live(0.05)
    # Each of the three once, and the one that failed once more, as the others' end is seen.
    assert scene.api.writes[first : first + 5] == [("DELETE", RULE)] * 4 + [("DELETE", SECRET)]
    await scene.live(SETTLES)
    assert left(scene) == []


@pytest.mark.parametrize("again", [False, True])
@virtual_time
async def test_strays(*, again: bool) -> None:
    """What is left of a bridge whose finalizer somebody took goes after a while, and one made anew then stands."""
    scene = Scene()
    await scene.live(SETTLES)
    theirs = (SECRET, "istio-system", "mesh-signer-bridge-foo.other")
    scene.api.put(theirs, {"data": {}})
    change(scene, scene.place, {"finalizers": []})
    scene.api.remove(scene.place)
    if again:
        scene.bridge("a")
    await scene.live(30)
    assert len(left(scene)) == 3, "a watch that lags would show the same"
    await scene.live(900)
    if again:
        assert ready(scene) == "Built"
        obj = scene.stored
        assert obj is not None
        assert {one["metadata"]["labels"][LABEL] for one in scene.api.named(RULE).values()} == {obj.metadata.uid}
    else:
        assert left(scene) == [theirs[2]]
    assert scene.unforeseen == []


@virtual_time
async def test_a_forged_status() -> None:
    """Who may write a bridge's status alone has no other bridge's rule deleted by it, and hides none from its end."""
    scene = Scene()
    await scene.live(SETTLES)
    rule = copy.deepcopy(scene.api.objects[placed(scene, RULE)])
    name = rule["metadata"]["name"].replace("ingress", "other")
    rule["metadata"] = {"name": name, "labels": {LABEL: "another"}, "uid": "theirs"}
    scene.api.put((BRIDGE, "foo", "other"), {"metadata": {"uid": "another"}, "spec": {}})
    scene.api.put((RULE, "istio-system", name), rule)
    there = copy.deepcopy(scene.api.objects[scene.place])
    ours = placed(scene, RULE)[2]
    there["status"]["rules"] = {name: "theirs", ours: "not this one"}
    scene.api.put(scene.place, there)
    scene.policy(there=False)
    await scene.live(SETTLES)
    assert left(scene) == [name]
