"""ProxyConfigs read live: exactly what is stored, of no namespace more than its share, and nothing twice."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.proxyconfig import PROXY_CONFIGS, ProxyConfig
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import LARGEST
from signer.kube.errors import Unreachable
from signer.mesh.proxy_configs import OTHERS, OWN, ProxyConfigReads
from signer.mesh.reading import PROXY_CONFIG_CODEC
from signer.tenancy.claims import read_claims
from tests.fakes.lists import StoredLists

DOMAIN = "clusterissuers.cert-manager.io"
LARGE = 1_400_000
Json = dict[str, Any]


def stored(namespace: str, name: str, signer: str = "", *, version: int = 1, size: int = 0, note: int = 0) -> Json:
    """A ProxyConfig as the API server has it, filled up in what it says, or in its metadata."""
    meta = {
        "namespace": namespace,
        "name": name,
        "uid": f"u-{namespace}-{name}",
        "resourceVersion": str(version),
        "labels": {"a": "x" * note},
    }
    variables = {"ISTIO_META_CERT_SIGNER": signer, "OTHER": "x" * size}
    # With a selector, all of a namespace's count.
    return {"metadata": meta, "spec": {"environmentVariables": variables, "selector": {"matchLabels": {"app": name}}}}


def shown(*objects: Json) -> dict[str, list[ProxyConfig]]:
    """What a watch makes of objects, by namespace."""
    found: dict[str, list[ProxyConfig]] = {}
    for one in PROXY_CONFIG_CODEC.decode_list(msgspec.json.encode({"items": objects, "metadata": {}})).whole()[0]:
        found.setdefault(one.metadata.namespace, []).append(one)
    return found


class World:
    """What is stored, what the watch has shown, and of whom it was said that there is too much of him."""

    def __init__(self, there: Collection[Json], known: Mapping[str, Collection[ProxyConfig]]) -> None:
        self.lists = StoredLists(there)
        self.known = dict(known)
        self.crowded: frozenset[str] = frozenset()
        self.reads = ProxyConfigReads(
            cast(ApiClient, self.lists), lambda space: self.known.get(space, ()), crowded=self._take
        )

    def _take(self, namespaces: Collection[str]) -> None:
        self.crowded = frozenset(namespaces)

    async def claims(self, *without: str) -> dict[str, set[str]]:
        """Who claims what elsewhere, as it was read."""
        found: dict[str, list[ProxyConfig]] = {}
        for obj in await self.reads.elsewhere(PROXY_CONFIGS, without):
            found.setdefault(obj.metadata.namespace, []).append(obj)
        return claims_of(found)


def claims_of(objects: Mapping[str, Collection[ProxyConfig]]) -> dict[str, set[str]]:
    return {
        space: named
        for space, found in objects.items()
        if (named := {signer.name for signer in read_claims(found, DOMAIN).signers})
    }


async def test_an_edit() -> None:
    """An object that is the same one in another version says what it says now."""
    world = World([stored("a", "one", "s", version=2)], shown(stored("a", "one", "t")))
    assert await world.claims() == {"a": {"s"}}


async def test_many_small_ones() -> None:
    """More objects than a share of objects has keep nobody waiting, and what the watch has shown of them counts."""
    evil = [stored("evil", f"{n:05}", "s") for n in range(OTHERS.listed.objects + 1)]
    world = World([stored("before", "a", "s"), *evil], shown(evil[7]))
    assert await world.claims() == {"before": {"s"}, "evil": {"s"}}
    assert world.crowded == {"evil"}
    assert world.lists.singles == ["a"]


names, signers = st.sampled_from("pqr"), st.sampled_from(("", "s", "t"))
moments = st.dictionaries(
    st.tuples(st.sampled_from("abc"), names),
    st.tuples(st.integers(1, 3), signers, st.sampled_from((0, 0, LARGEST))),
    max_size=7,
)


@given(moments, moments)
def test_what_is_stored_counts(before: dict[Any, Any], now: dict[Any, Any]) -> None:
    """Whatever the watch has shown, what is read is what is stored, and only what it has not shown is asked for."""
    # One version of an object says one thing.
    said = {(key, content[0]): content for part in (now, before) for key, content in part.items()}

    def objects(part: dict[Any, Any]) -> list[Json]:
        found = []
        for (space, name), (version, _, _) in part.items():
            _, signer, size = said[(space, name), version]
            found.append(stored(space, name, signer, version=version, size=size))
        return found

    world = World(objects(now), shown(*objects(before)))
    assert asyncio.run(world.claims()) == claims_of(shown(*objects(now)))
    changed = {key for key, (version, _, _) in now.items() if before.get(key, (0,))[0] != version}
    assert sorted(world.lists.singles) == sorted(name for _, name in changed)
    for space in "abc":
        found = asyncio.run(world.reads.of(PROXY_CONFIGS, space))
        assert claims_of({space: found}) == claims_of({space: shown(*objects(now)).get(space, ())})


@pytest.mark.heavy
@pytest.mark.parametrize("told", [True, False], ids=["shown by the watch", "not shown yet"])
@pytest.mark.parametrize("part", ["size", "note"])
async def test_one_that_fills_its_namespace(part: str, told: bool) -> None:
    """Objects of 1.4 MB, in the spec or in the metadata, cost little however many there are, and keep nobody from being read."""
    evil = [stored("evil", f"{n:03}", "s", **{part: LARGE}) for n in range(60)]
    world = World([stored("before", "a", "s"), stored("zero", "a", "t"), *evil], shown(*evil) if told else {})
    assert await world.claims() == {"before": {"s"}, "zero": {"t"}}
    assert world.lists.sent < 25_000_000
    over = part == "note" or not told
    assert world.crowded == ({"evil"} if over else frozenset())
    first = world.lists.sent
    assert await world.claims() == {"before": {"s"}, "zero": {"t"}}
    assert world.lists.sent - first < 25_000_000
    world.lists.objects = [*world.lists.objects[:2], stored("evil", "000", "u", version=2)]
    assert await world.claims() == {"before": {"s"}, "zero": {"t"}, "evil": {"u"}}
    assert not world.crowded


@pytest.mark.heavy
async def test_many_that_are_crowded() -> None:
    """Few of those that had too much are looked at again each time, in turn, so that none is passed over for ever."""
    filled = {f"e{n:02}": [stored(f"e{n:02}", f"{m:02}", note=200_000) for m in range(25)] for n in range(20)}
    world = World([stored("a", "one", "s"), *(one for found in filled.values() for one in found)], {})
    assert await world.claims() == {"a": {"s"}}
    assert world.crowded == set(filled)
    world.lists.objects = [stored("a", "one", "s"), *(stored(space, "one", "t") for space in filled)]
    left = set(filled)
    for most in (12, 4, 0):
        found = await world.claims()
        assert len(left := set(world.crowded)) == most
        assert set(found) == {"a", *filled} - left


@pytest.mark.heavy
async def test_cut_short() -> None:
    """A read that ends early has found out who had too much, so that the next one comes further, and one of them to the end."""
    filled = [stored(f"e{n:02}", f"{m:02}", note=200_000) for n in range(20) for m in range(25)]
    world = World([stored("zero", "one", "s"), *filled], {})
    asked = 0

    def patience(_query: Mapping[str, Any]) -> None:
        nonlocal asked
        asked += 1
        if asked > 100:
            raise Unreachable("no more time")

    world.lists.before = patience
    tries = 0
    while True:
        asked, tries = 0, tries + 1
        try:
            found = await world.claims()
        except Unreachable:
            assert tries < 5
        else:
            break
    assert tries > 1
    assert found == {"zero": {"s"}}


async def test_more_than_are_read_at_once() -> None:
    """Of many that the watch has not shown a share is read, of the others counts what it showed of them, and others' are all read."""
    evil = [stored("evil", f"{n:05}", "s" if n == 7 else "", version=2) for n in range(OTHERS.read.objects + 10)]
    old = [stored("evil", evil[-1]["metadata"]["name"], "t"), stored("evil", "gone", "u")]
    world = World([*evil, *(stored(f"n{n}", "a", "v") for n in range(20))], shown(*old))
    assert await world.claims() == {"evil": {"s", "t"}} | {f"n{n}": {"v"} for n in range(20)}
    assert world.crowded == {"evil"}
    assert len(world.lists.singles) == OTHERS.read.objects + 20


@pytest.mark.parametrize("part", ["listed", "read"])
async def test_for_itself_it_is_as_if_nothing_could_be_read(part: str) -> None:
    """Who has more than is read of one namespace learns it when something is decided about that one."""
    if part == "listed":
        objects = [stored("evil", f"{n:03}", note=LARGE) for n in range(OWN.listed.bytes // LARGE + 2)]
    else:
        objects = [stored("evil", f"{n:03}", size=LARGEST) for n in range(OWN.read.bytes // LARGEST + 2)]
    world = World(objects, {})
    with pytest.raises(Unreachable, match="namespace evil has more than"):
        await world.reads.of(PROXY_CONFIGS, "evil")


async def test_what_is_too_large_is_told_as_by_the_watch() -> None:
    """An object that the watch does not read is not read here either, and says why; read once, it is not read again."""
    world = World([stored("a", "one", "s", size=LARGEST)], {})
    (found,) = await world.reads.of(PROXY_CONFIGS, "a")
    assert "make it smaller" in found.problem
    world.known["a"] = [found]
    assert await world.reads.of(PROXY_CONFIGS, "a") == [found]
    assert world.lists.singles == ["one"]


async def test_an_answer_that_does_not_come() -> None:
    """Silence is nobody's fault: what could not be read is never taken for nothing."""
    world = World([stored("a", "one", "s"), stored("b", "one", "s")], {})

    def silent(query: Mapping[str, Any]) -> None:
        if str(query.get("fieldSelector", "")).startswith("metadata.name="):
            raise Unreachable("nobody there")

    world.lists.before = silent
    with pytest.raises(Unreachable):
        await world.claims()


async def test_one_that_goes_meanwhile() -> None:
    """What is deleted between list and read claims nothing."""
    world = World([stored("a", "one", "s"), stored("b", "one", "t")], {})

    def gone(query: Mapping[str, Any]) -> None:
        if "fieldSelector" in query:
            world.lists.objects = [one for one in world.lists.objects if one["metadata"]["namespace"] != "a"]

    world.lists.before = gone
    assert await world.claims() == {"b": {"t"}}
