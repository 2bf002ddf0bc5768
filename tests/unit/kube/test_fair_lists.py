"""A list of all namespaces, of which none takes more than its share."""

import asyncio
from collections import defaultdict
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable
from signer.kube.fair_lists import MOST_LEFT_OUT, Portion, Version, Versions, list_versions
from signer.kube.objects import Response
from signer.kube.resource import Resource
from tests.fakes.lists import StoredLists

THINGS = Resource("example.com", "v1", "things", "Thing", namespaced=True)
PORTION = Portion(objects=5, bytes=3_000)
LARGE = 1_400_000


def thing(namespace: str, name: str, size: int = 0, **more: Any) -> dict[str, Any]:
    meta = {
        "namespace": namespace,
        "name": name,
        "uid": f"u-{name}",
        "resourceVersion": "7",
        "labels": {"a": "x" * size},
    }
    return {"metadata": meta | more, "spec": "x" * 100_000}


async def listed(stored: StoredLists, **options: Any) -> Versions:
    return await list_versions(cast(ApiClient, stored), THINGS, PORTION, **options)


sizes = st.lists(st.sampled_from((0, 10, 500, 2_999)), max_size=9)
spaces = st.dictionaries(st.sampled_from("abcdefgh"), sizes, max_size=6)


@given(spaces, st.sets(st.sampled_from("abcdefgh")))
def test_each_has_its_share(counts: dict[str, list[int]], without: set[str]) -> None:
    """Of each namespace all objects are told, or, where they are more than a share, none; others never have to do with that."""
    stored = StoredLists(
        thing(space, f"{number}", size) for space, found in counts.items() for number, size in enumerate(found)
    )
    found = asyncio.run(listed(stored, without=without))
    by_space: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in stored.objects:
        by_space[one["metadata"]["namespace"]].append(one)
    for space, objects in by_space.items():
        total = sum(len(one["metadata"]["labels"]["a"]) for one in objects)
        names = sorted(one["metadata"]["name"] for one in objects)
        if space in without:
            assert space not in found.of
            assert space not in found.crowded
        elif len(objects) > PORTION.objects or total > PORTION.bytes:
            assert space in found.crowded
            assert space not in found.of
        elif total < PORTION.bytes - 300 * len(objects):
            assert [one.name for one in found.of[space]] == names
    assert not found.crowded & set(found.of)


@pytest.mark.heavy
@pytest.mark.parametrize("shape", ["large", "many"])
async def test_one_that_fills_its_namespace(shape: str) -> None:
    """However much somebody writes, and in whatever form, the list costs little more than what the others have."""
    filling = {
        "large": [thing("evil", f"{n:05}", LARGE) for n in range(50)],
        "many": [thing("evil", f"{n:05}") for n in range(3_000)],
    }[shape]
    for one in filling:
        one["spec"] = ""
    others = [thing(space, "a") for space in ("before", "zero")]
    stored = StoredLists([*others, *filling])
    found = await listed(stored)
    assert found.crowded == {"evil"}
    assert sorted(found.of) == ["before", "zero"]
    assert len(stored.asked) < 20
    assert stored.sent < 25_000_000


async def test_nothing_but_metadata() -> None:
    """What is told of an object is its version; what it says is not sent."""
    stored = StoredLists([thing("a", "one", creationTimestamp="2026-01-01T00:00:00Z")])
    found = await listed(stored)
    assert found.of == {"a": [Version("one", "a", "u-one", "7", "2026-01-01T00:00:00Z")]}
    assert stored.sent < 1_000


async def test_one_namespace_alone() -> None:
    """A namespace with more than a share is given up at once, when only it is asked for."""
    stored = StoredLists(thing("a", f"{n:03}") for n in range(500))
    found = await listed(stored, namespace="a")
    assert (found.of, found.crowded) == ({}, {"a"})
    assert len(stored.asked) < 4
    assert (await listed(stored, namespace="b")).of == {}


async def test_too_many_of_them() -> None:
    """Their names stand in a URL, so there is an end to how many are left out; it is told as what it is."""
    stored = StoredLists([])
    with pytest.raises(Unreachable, match="namespaces have more things than are read of one"):
        await listed(stored, without=[f"n{n}" for n in range(MOST_LEFT_OUT + 1)])
    assert not stored.asked


class Scripted(StoredLists):
    """Answers every list with these bytes."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    async def request(self, *_args: Any, **_options: Any) -> Response:
        return Response(200, {}, self._body)


async def test_nested_without_end() -> None:
    """One that is nested too deep for a reader is named all the same, and counts for as many bytes as came."""
    deep = b"[" * 20_000 + b"]" * 20_000
    body = b'{"items":[{"metadata":{"namespace":"a","name":"one","uid":"u","managedFields":%b}}],"metadata":{}}' % deep
    assert (await listed(Scripted(body))).crowded == {"a"}
    roomy = await list_versions(cast(ApiClient, Scripted(body)), THINGS, Portion(5, 100_000))
    assert roomy.of == {"a": [Version("one", "a", "u")]}


async def test_what_is_no_list() -> None:
    """An answer that cannot be read is an error as any other."""
    with pytest.raises(Unreachable, match="things cannot be listed"):
        await listed(Scripted(b"["))
