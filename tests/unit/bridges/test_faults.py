"""Whatever becomes of any write of a bridge's, it comes to what both hands say, with one certificate, and tells the truth."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.meta import find_condition, to_rfc3339
from signer.api.secret import read_secret
from signer.bridges.credential import fingerprint, read_credential
from tests.examples import examples
from tests.fakes.virtual_time import virtual_time
from tests.unit.bridges.stored import RULE, SECRET, WAYS, Scene, Way

SETTLES = 240.0
QUIET = 240.0
FEW = 6
"""Looks of a bridge that stands, in QUIET seconds: nothing makes it spin."""


async def settle(scene: Scene) -> None:
    """Work until nothing is left to do; then nothing is written, and hardly anything looked at."""
    await scene.live(SETTLES)
    before, looks = len(scene.api.writes), scene.looks
    await scene.live(QUIET)
    assert scene.api.writes[before:] == []
    assert scene.looks - looks <= FEW
    assert scene.unforeseen == []


def stands(scene: Scene, *hosts: str) -> None:
    """It stands, and its status says what is there."""
    obj = scene.stored
    assert obj is not None
    ready = find_condition(obj.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "Built")
    secret, rules = scene.api.named(SECRET), scene.api.named(RULE)
    (made,) = secret.values()
    held = read_credential(read_secret(made))
    assert held is not None
    assert obj.status.secret_uid == made["metadata"]["uid"]
    assert obj.status.not_after == to_rfc3339(held.not_after)
    assert obj.status.root == fingerprint(held.roots[0])
    assert obj.status.rules == {name: one["metadata"]["uid"] for name, one in rules.items()}
    assert {one["spec"]["host"].split(".")[0] for one in rules.values()} == set(hosts)


def ended(scene: Scene, reason: str) -> None:
    """Nothing is left of it, and it says why."""
    assert scene.api.named(SECRET) == {}
    assert scene.api.named(RULE) == {}
    obj = scene.stored
    assert obj is not None
    ready = find_condition(obj.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", reason)
    assert (obj.status.secret_uid, obj.status.rules, obj.metadata.finalizers) == ("", {}, ())


def certificates(scene: Scene) -> int:
    """How many were made."""
    return sum(line["audit"] == "intent" for line in scene.lines)


def failing(scene: Scene, index: int, way: Way) -> None:
    """Have one write fail, from now on counted."""
    first = len(scene.api.writes)
    scene.api.fails = lambda number: way if number - first == index else None


def stored_twice(way: Way) -> bool:
    """Whether a Secret may have been signed for and not stored: then one more is right."""
    return way in {"conflict", "refused", "lost", "killed before"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("index", range(7))
class TestOneWrite:
    """Each write of each part of a bridge's life, in each way."""

    @virtual_time
    async def test_built(self, index: int, way: Way) -> None:
        """While it is built."""
        scene = Scene()
        failing(scene, index, way)
        await settle(scene)
        stands(scene, "a")
        kinds = [kind for _, kind in scene.api.writes]
        failed_secret = index < len(kinds) and kinds[index] == SECRET and stored_twice(way)
        assert certificates(scene) == 1 + failed_secret

    @virtual_time
    async def test_changed(self, index: int, way: Way) -> None:
        """While its hosts are changed."""
        scene = Scene()
        await settle(scene)
        scene.bridge("b", "c")
        failing(scene, index, way)
        await settle(scene)
        stands(scene, "b", "c")
        assert certificates(scene) == 1

    @pytest.mark.parametrize("what", [SECRET, RULE])
    @virtual_time
    async def test_mended(self, index: int, way: Way, what: str) -> None:
        """While what somebody deleted is made again: it is ours, and nothing is in its own way."""
        scene = Scene()
        await settle(scene)
        (place,) = [one for one in scene.api.objects if one[0] == what]
        scene.api.remove(place)
        failing(scene, index, way)
        await settle(scene)
        stands(scene, "a")
        assert not [one for one in scene.reasons if one == "InTheWay"]

    @virtual_time
    async def test_ended(self, index: int, way: Way) -> None:
        """While it is taken away, and built anew."""
        scene = Scene()
        await settle(scene)
        scene.policy(there=False)
        failing(scene, index, way)
        await settle(scene)
        ended(scene, "NotAllowed")
        scene.policy(there=True)
        await settle(scene)
        stands(scene, "a")

    @virtual_time
    async def test_deleted(self, index: int, way: Way) -> None:
        """While it is deleted."""
        scene = Scene()
        await settle(scene)
        scene.api.remove(scene.place)
        failing(scene, index, way)
        await settle(scene)
        assert scene.stored is None
        assert (scene.api.named(SECRET), scene.api.named(RULE)) == ({}, {})


@virtual_time
async def test_written_down_first() -> None:
    """When the Secret is sent the intent is in the audit log."""
    scene = Scene()
    logged: list[list[str]] = []

    def look(number: int) -> Way | None:
        if scene.api.writes[number][1] == SECRET:
            logged.append([line["audit"] for line in scene.lines])
        return None

    scene.api.fails = look
    await settle(scene)
    assert logged == [["intent"]]
    assert [line["audit"] for line in scene.lines] == ["intent", "outcome"]


@pytest.mark.heavy
@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 1 << 32))
def test_many(seed: int) -> None:
    """Faults drawn from a seed, a third of all writes, while hands and others do what they like: it comes to what is said last."""
    drawn = random.Random(seed)

    @virtual_time
    async def story() -> None:
        scene = Scene()
        scene.api.fails = lambda _: drawn.choice(WAYS) if drawn.random() < 1 / 3 else None
        hosts, there = ["a"], True
        for _ in range(6):
            await scene.live(drawn.choice((0.005, 0.02, 0.1, 1, 30)))
            what = drawn.choice(("hosts", "policy", "Secret", "rule"))
            if what == "hosts":
                hosts = drawn.sample("abcd", drawn.randint(1, 3))
                scene.bridge(*hosts)
            elif what == "policy":
                there = not there
                scene.policy(there=there)
            else:
                for place in [one for one in scene.api.objects if one[0] == (SECRET if what == "Secret" else RULE)][:1]:
                    scene.api.remove(place)
        scene.api.fails = lambda _: None
        await settle(scene)
        if there:
            stands(scene, *hosts)
        else:
            ended(scene, "NotAllowed")

    story()
