"""What is kept of large objects, and of many of them: anybody may write such."""

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import Certificate
from signer.kube.encoding.codec import LARGEST, JsonCodec, Withheld, weightless
from signer.kube.paging import next_page
from signer.kube.reflector import RELIST
from signer.kube.room import BUDGET, FREE
from tests.fakes.apiserver import FakeApiServer, Hang, Watch, bookmark, event, page, status_object
from tests.fakes.following import Thing, following
from tests.fakes.virtual_time import virtual_time

Json = dict[str, Any]
LARGE = 100 * 1024


def certificate(name: str, size: int = 0, namespace: str = "ns", **meta: Any) -> Json:
    spec = {"secretName": "s", "commonName": "x" * size, "issuerRef": {"name": "i"}}
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"u-{name}",
        "resourceVersion": "5",
        "generation": 3,
    } | meta
    return {"metadata": metadata, "spec": spec, "status": {"revision": 1}}


def plain(name: str) -> Json:
    """A large object of a type without a spec."""
    return {"metadata": {"name": name, "namespace": "ns", "resourceVersion": "5"}, "value": "x" * LARGE}


def read(body: Json) -> Certificate:
    found = JsonCodec(Certificate).decode_event(msgspec.json.encode({"type": "ADDED", "object": body}))
    assert found.object is not None
    return found.object


class TestOneObject:
    def test_too_large(self) -> None:
        """Of an object that is too large its name is kept, and the reason, which says how large it may be."""
        found = read(certificate("a", LARGEST, annotations={"x": "y" * 100}))
        assert isinstance(found.raw_spec, Withheld)
        assert found.problem.startswith("spec: it has ")
        assert f"at most {LARGEST} are read" in found.problem
        meta = found.metadata
        assert (meta.name, meta.namespace, meta.uid, meta.resource_version, meta.generation) == (
            "a",
            "ns",
            "u-a",
            "5",
            3,
        )
        assert meta.annotations == {}
        assert found.raw_status is None

    def test_large_enough(self) -> None:
        """One that is not is read in full."""
        assert read(certificate("a", LARGE)).problem == ""

    def test_without_a_spec(self) -> None:
        """Of a type that has no spec nothing is kept, and that is a problem of this object alone."""
        bodies = [
            {"metadata": {"name": n, "namespace": "ns"}, "value": v} for n, v in (("a", "x" * LARGEST), ("b", "y"))
        ]
        found = JsonCodec(Thing).decode_list(msgspec.json.encode({"metadata": {}, "items": bodies}))
        assert [one.metadata.name for one in found.items] == ["b"]
        assert [(one.key, f"at most {LARGEST} are read" in one.message) for one in found.problems] == [
            (("ns", "a"), True)
        ]

    def test_a_spec_that_is_a_text(self) -> None:
        """Nobody can write a spec that is taken for a reason of ours."""
        body = certificate("a")
        body["spec"] = "it is fine"
        assert "expected `object`" in read(body).problem


class TestPages:
    @given(st.lists(st.integers(0, 1_500_000), max_size=60), st.integers(1, 500))
    def test_bounded(self, sizes: list[int], most: int) -> None:
        """Whatever the objects' sizes are, no page asks for more than `most`, nor for none."""
        size = min(4, most)
        for each in sizes:
            assert 1 <= size <= most
            size = next_page(size, size * each, most)

    def test_grows_and_shrinks(self) -> None:
        """Small objects soon come by the hundreds, the largest ones one by one."""
        size = 4
        for _ in range(8):
            size = next_page(size, size * 2000, 500)
        assert size == 500
        for _ in range(12):
            size = next_page(size, size * 1_500_000, 500)
        assert size == 1


class TestManyObjects:
    @virtual_time
    async def test_room_of_a_namespace(self) -> None:
        """One namespace's large objects have so much room together; another's have their own, and small ones need none."""
        fits = BUDGET // (LARGE + 400 - FREE)
        mine = [certificate(f"a{n:02}", LARGE) for n in range(fits + 5)]
        small = [certificate(f"s{n:02}", 100) for n in range(50)]
        server = FakeApiServer(lists=[page(*mine, *small, certificate("b", LARGE, "other"))])
        async with following(server, codec=JsonCodec(Certificate)) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            withheld = [key[1] for key, one in store.items() if one.problem]
            assert withheld == [f"a{n:02}" for n in range(fits, fits + 5)]
            assert "namespace ns holds too many large objects" in store["ns", withheld[0]].problem
            assert not store["other", "b"].problem

    @virtual_time
    async def test_room_again(self) -> None:
        """When large objects go, what was withheld is read again, though nobody writes it."""
        fits = BUDGET // (LARGE + 400 - FREE)
        mine = [certificate(f"a{n:02}", LARGE) for n in range(fits + 1)]
        gone = [event("DELETED", one) for one in mine[:2]]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[2:])],
            watches=[Watch((*gone, RELIST + 1, bookmark("20"), Hang)), Watch((Hang,))],
        )
        async with following(server, codec=JsonCodec(Certificate)) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            last = ("ns", f"a{fits:02}")
            assert store[last].problem
            await seen.until(lambda: last in store and not store[last].problem)
            assert len(server.listed()) == 2

    @virtual_time
    async def test_room_again_without_a_spec(self) -> None:
        """The same for a type of which nothing is kept in place of what is withheld, as for Secrets."""
        fits = BUDGET // (LARGE + 400 - FREE)
        mine = [plain(f"a{n:02}") for n in range(fits + 2)]
        gone = [event("DELETED", one) for one in mine[:3]]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[3:])],
            watches=[Watch((*gone, RELIST + 1, bookmark("20"), Hang)), Watch((Hang,))],
        )
        async with following(server) as seen:
            await seen.reflector.synced.wait()
            assert len(seen.reflector.store) == fits
            await seen.until(lambda: ("ns", f"a{fits + 1:02}") in seen.reflector.store)
            assert seen.names() == {f"a{n:02}" for n in range(3, fits + 2)}
            assert len(server.listed()) == 2

    @virtual_time
    async def test_withheld_and_gone(self) -> None:
        """What was withheld and went while nobody watched asks for no new list, however much room there is later."""
        fits = BUDGET // (LARGE + 400 - FREE)
        mine = [plain(f"a{n:02}") for n in range(fits + 1)]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[:fits])],
            watches=[
                Watch((event("ERROR", status_object(410, "Expired")),)),
                Watch((event("DELETED", mine[0]), RELIST + 1, bookmark("20"), RELIST + 1, bookmark("21"), Hang)),
            ],
        )
        async with following(server) as seen:
            await seen.until(lambda: len(server.watched()) == 2 and ("ns", "a00") not in seen.reflector.store)
            await asyncio.sleep(5 * RELIST)
            assert len(server.listed()) == 2

    @virtual_time
    async def test_changes(self) -> None:
        """An object that shrinks and grows again neither loses nor keeps room that is not its."""
        fits = BUDGET // (LARGE + 400 - FREE)
        events = []
        for _ in range(3 * fits):
            events += [event("MODIFIED", certificate("a", LARGE)), event("MODIFIED", certificate("a", 10))]
        server = FakeApiServer(
            lists=[page()], watches=[Watch((*events, event("ADDED", certificate("b", LARGE)), Hang))]
        )
        async with following(server, codec=JsonCodec(Certificate)) as seen:
            store: Any = seen.reflector.store
            await seen.until(lambda: ("ns", "b") in store)
            assert [one.problem for one in store.values()] == ["", ""]

    @virtual_time
    async def test_weightless(self) -> None:
        """What is made small when it is read needs no room."""
        mine = [certificate(f"a{n:02}", LARGE) for n in range(30)]
        server = FakeApiServer(lists=[page(*mine)])
        async with following(server, codec=JsonCodec(Certificate, weigh=weightless)) as seen:
            await seen.reflector.synced.wait()
            assert not any(one.problem for one in vars(seen.reflector)["store"].values())


def test_free_bytes_are_for_usual_objects() -> None:
    """A Certificate as people write it, with a status, is far below what is free."""
    assert len(json.dumps(certificate("a", 200))) * 4 < FREE
