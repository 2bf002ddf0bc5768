"""What is kept of large objects, and of many of them: anybody may write such."""

import asyncio
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import Certificate
from signer.api.issuer import Issuer
from signer.kube.encoding.codec import LARGEST, JsonCodec, Withheld, weightless
from signer.kube.paging import LARGEST_BODY, most_bytes, next_page, smaller
from signer.kube.reflector import RELIST
from signer.kube.room import BUDGET, LAST, SPARE, USUAL, Room
from signer.kube.weight import MOST, weight
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
        items, problems = JsonCodec(Thing).decode_list(msgspec.json.encode({"metadata": {}, "items": bodies})).whole()
        assert [one.metadata.name for one in items] == ["b"]
        assert [(one.key, f"at most {LARGEST} are read" in one.message) for one in problems] == [(("ns", "a"), True)]

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

    def test_a_page_that_is_too_long(self) -> None:
        """Where the answer is longer than a page may be, fewer objects are asked for, down to one, which may be of any length."""
        size = 500
        while size > 1:
            assert most_bytes(size) < LARGEST_BODY
            assert smaller(size) < size
            size = smaller(size)
        assert most_bytes(size) == LARGEST_BODY

    @pytest.mark.heavy
    @virtual_time
    async def test_small_ones_before_the_largest(self) -> None:
        """Small objects, then many of the largest: an answer that is too long is asked for again, in smaller pages."""
        small = [certificate(f"a{n}", 10) for n in range(4)]
        large = [certificate(f"b{n:02}", 1_500_000) for n in range(8)]
        replies = [
            page(*small, token="t"),
            page(*large),
            *(page(one, token="t") for one in large[:-1]),
            page(large[-1]),
        ]
        server = FakeApiServer(lists=replies)
        async with following(server, codec=JsonCodec(Certificate)) as seen:
            await seen.reflector.synced.wait()
            assert len(seen.reflector.store) == len(small) + len(large)
            assert [one.query["limit"] for one in server.listed()] == ["4", "8", *["1"] * 8]
            assert seen.restarts == []


def sized(name: str, created: int = 0, namespace: str = "ns", size: int = LARGE, **meta: Any) -> Json:
    return certificate(name, size, namespace, creationTimestamp=f"2026-11-29T12:{created:02}:00Z", **meta)


FITS = 5
ROOM = FITS * (LARGE + 8 * 1024)
"""Bytes for so many large objects, and not for one more."""


class TestManyObjects:
    @virtual_time
    async def test_room_of_a_namespace(self) -> None:
        """One namespace's objects have so much room together; another's have their own. The oldest are kept."""
        mine = [sized(f"a{n}", 20 - n) for n in range(FITS + 3)]
        server = FakeApiServer(lists=[page(*mine, sized("b", 59, "other"))])
        async with following(server, codec=JsonCodec(Certificate), room=Room(ROOM)) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            assert {key[1] for key, one in store.items() if one.problem} == {"a0", "a1", "a2"}
            assert "namespace ns has more objects" in store["ns", "a0"].problem
            assert store["ns", "a0"].raw_spec is not None
            assert not store["other", "b"].problem

    @virtual_time
    async def test_many_small_ones(self) -> None:
        """Objects that are small each are bounded together, by what they take in memory."""
        names = [f"a{n:03x}.b" for n in range(1500)]
        mine = []
        for n in range(40):
            one = sized(f"a{n:02}", n, size=0)
            one["spec"]["dnsNames"] = names
            mine.append(one)
        server = FakeApiServer(lists=[page(*mine)])
        async with following(server, codec=JsonCodec(Certificate), room=Room(1024 * 1024)) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            kept = [key[1] for key, one in store.items() if not one.problem]
            assert kept == [f"a{n:02}" for n in range(len(kept))]
            assert 0 < len(kept) < 12
            assert sum(weight(one) for one in store.values()) < 1.1 * 1024 * 1024

    @virtual_time
    async def test_an_older_one_comes_later(self) -> None:
        """Where an old object grows, the youngest gives way, is told, and comes back when there is room."""
        mine = [sized(f"a{n}", n) for n in range(1, FITS + 1)]
        old, grown = sized("old", 0, size=0), sized("old", 0)
        last = ("ns", f"a{FITS}")
        server = FakeApiServer(
            lists=[page(old, *mine), page(*mine)],
            watches=[
                Watch((event("MODIFIED", grown), 5, event("DELETED", grown), RELIST + 1, bookmark("20"), Hang)),
                Watch((Hang,)),
            ],
        )
        async with following(server, codec=JsonCodec(Certificate), room=Room(ROOM)) as seen:
            store: Any = seen.reflector.store
            await seen.until(lambda: last in store and store[last].problem)
            await seen.until(lambda: not store[last].problem)
            assert len(server.listed()) == 2

    @virtual_time
    async def test_room_again(self) -> None:
        """When objects go, what was withheld is read again, though nobody writes it."""
        mine = [sized(f"a{n}", n) for n in range(FITS + 1)]
        gone = [event("DELETED", one) for one in mine[:2]]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[2:])],
            watches=[Watch((*gone, RELIST + 1, bookmark("20"), Hang)), Watch((Hang,))],
        )
        async with following(server, codec=JsonCodec(Certificate), room=Room(ROOM)) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            last = ("ns", f"a{FITS}")
            assert store[last].problem
            await seen.until(lambda: last in store and not store[last].problem)
            assert len(server.listed()) == 2

    @virtual_time
    async def test_room_again_without_a_spec(self) -> None:
        """The same for a type of which nothing is kept in place of what is withheld, as for Secrets."""
        mine = [plain(f"a{n}") for n in range(FITS + 2)]
        gone = [event("DELETED", one) for one in mine[:3]]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[3:])],
            watches=[Watch((*gone, RELIST + 1, bookmark("20"), Hang)), Watch((Hang,))],
        )
        async with following(server, room=Room(ROOM)) as seen:
            await seen.reflector.synced.wait()
            assert len(seen.reflector.store) == FITS
            await seen.until(lambda: ("ns", f"a{FITS + 1}") in seen.reflector.store)
            assert seen.names() == {f"a{n}" for n in range(3, FITS + 2)}
            assert len(server.listed()) == 2

    @virtual_time
    async def test_withheld_and_gone(self) -> None:
        """What was withheld and went while nobody watched asks for no new list, however much room there is later."""
        mine = [plain(f"a{n}") for n in range(FITS + 1)]
        server = FakeApiServer(
            lists=[page(*mine), page(*mine[:FITS])],
            watches=[
                Watch((event("ERROR", status_object(410, "Expired")),)),
                Watch((event("DELETED", mine[0]), RELIST + 1, bookmark("20"), RELIST + 1, bookmark("21"), Hang)),
            ],
        )
        async with following(server, room=Room(ROOM)) as seen:
            await seen.until(lambda: len(server.watched()) == 2 and ("ns", "a0") not in seen.reflector.store)
            await asyncio.sleep(5 * RELIST)
            assert len(server.listed()) == 2

    @virtual_time
    async def test_what_is_left_out_first(self) -> None:
        """An object that is read again by whoever needs it gives way to younger ones."""
        mine = [sized("spare", 0), *(sized(f"a{n}", n + 1) for n in range(FITS))]
        server = FakeApiServer(lists=[page(*mine)])
        rank = {"spare": LAST}
        async with following(
            server, codec=JsonCodec(Certificate), room=Room(ROOM), rank=lambda one: rank.get(one.metadata.name, USUAL)
        ) as seen:
            await seen.reflector.synced.wait()
            store: Any = seen.reflector.store
            assert [key[1] for key, one in store.items() if one.problem] == ["spare"]

    @virtual_time
    async def test_what_others_do_without(self) -> None:
        """Of these no stub is in the place of what is not kept, and the youngest are kept."""
        mine = [sized(f"a{n}", n) for n in range(FITS + 2)]
        server = FakeApiServer(lists=[page(*mine)])
        async with following(server, codec=JsonCodec(Certificate), room=Room(ROOM), rank=lambda _: SPARE) as seen:
            await seen.reflector.synced.wait()
            assert seen.names() == {f"a{n}" for n in range(2, FITS + 2)}

    @virtual_time
    async def test_changes(self) -> None:
        """An object that shrinks and grows again neither loses nor keeps room that is not its."""
        events = []
        for _ in range(3 * FITS):
            events += [event("MODIFIED", sized("a")), event("MODIFIED", sized("a", size=10))]
        server = FakeApiServer(lists=[page()], watches=[Watch((*events, event("ADDED", sized("b")), Hang))])
        async with following(server, codec=JsonCodec(Certificate), room=Room(ROOM)) as seen:
            store: Any = seen.reflector.store
            await seen.until(lambda: ("ns", "b") in store)
            assert [one.problem for one in store.values()] == ["", ""]

    @virtual_time
    async def test_the_end(self) -> None:
        """A watch that ends gives its room back: the next one, of another term of leading, finds it free."""
        room = Room(ROOM)
        for _ in range(2):
            server = FakeApiServer(lists=[page(*(sized(f"a{n}", n) for n in range(FITS)))])
            async with following(server, codec=JsonCodec(Certificate), room=room) as seen:
                await seen.reflector.synced.wait()
                store: Any = seen.reflector.store
                assert not any(one.problem for one in store.values())

    @virtual_time
    async def test_weightless(self) -> None:
        """What is made small when it is read needs no room."""
        mine = [certificate(f"a{n:02}", LARGE) for n in range(30)]
        server = FakeApiServer(lists=[page(*mine)])
        async with following(server, codec=JsonCodec(Certificate, weigh=weightless), room=Room(ROOM)) as seen:
            await seen.reflector.synced.wait()
            assert not any(one.problem for one in vars(seen.reflector)["store"].values())


FILLINGS: tuple[Any, ...] = (
    [[]] * 2450,
    [{}] * 2450,
    [{"": 0}] * 1050,
    [[0]] * 1800,
    [*range(1000, 2400)],
    [1.5] * 1800,
    {f"{number:x}": 0 for number in range(1000)},
    [f"{number:x}" for number in range(1000)],
)
"""What takes least as JSON, for what it takes once it is read: 7.5 KB each."""


class TestWeight:
    def test_short_texts(self) -> None:
        """A thousand short names take ten times their bytes, and are weighed so."""
        body = certificate("a") | {"spec": {"dnsNames": [f"a{n:03x}" for n in range(1000)]}}
        assert weight(read(body)) > 60_000

    @pytest.mark.heavy
    @pytest.mark.parametrize("filling", FILLINGS, ids=range(len(FILLINGS)))
    def test_no_less_than_it_takes(self, filling: Any) -> None:
        """Whatever an object is made of, it is not weighed lighter than it is: values of a few bytes take fifty and more."""
        webhook = {"groupName": "g", "solverName": "s", "config": {"x": filling}}
        body = {
            "metadata": {"name": "a", "namespace": "ns"},
            "spec": {"acme": {"solvers": [{"dns01": {"webhook": webhook}}]}},
        }
        frame = msgspec.json.encode({"type": "ADDED", "object": body})
        codec = JsonCodec(Issuer)
        codec.decode_event(frame)  # what the first one takes is the code's
        tracemalloc.start()
        try:
            found = codec.decode_event(frame)
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert found.object is not None
        assert found.object.problem == ""
        assert taken <= found.size <= 5 * taken

    @pytest.mark.heavy
    def test_it_has_an_end(self) -> None:
        """What is more than anybody keeps is not counted to its end."""
        assert MOST < weight(read(certificate("a") | {"spec": [[]] * 80_000})) < MOST + 1_000_000

    def test_usual_objects(self) -> None:
        """A thousand Certificates as people write them fit into a namespace's room."""
        usual = certificate("a", 200, annotations={"kubectl.kubernetes.io/last-applied-configuration": "x" * 5000})
        assert weight(read(usual)) * 1000 < BUDGET
