"""Reflectors on a real API server: lists, watches, and what breaks them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import Codec, JsonCodec
from signer.kube.encoding.protobuf_codec import ProtobufCodec
from signer.kube.errors import (
    AlreadyExists,
    NotFound,
)
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from tests.fakes.forwarder import Forwarder
from tests.integration.kube.following import CONFIG_MAPS, Seen, config_map, from_protobuf, until
from tests.localmesh import LocalCluster

pytestmark = pytest.mark.integration
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)


def protobuf_codec() -> ProtobufCodec[Seen]:
    return ProtobufCodec(from_protobuf, lambda seen: (seen.metadata.namespace, seen.metadata.name))


@contextlib.asynccontextmanager
async def running(*reflectors: Reflector[Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    try:
        for reflector in reflectors:
            await asyncio.wait_for(reflector.synced.wait(), 30)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class TestReflector:
    async def test_json_and_protobuf_agree(self, client: ApiClient, namespace: str) -> None:
        """Through random creations, changes and deletions both encodings end with exactly what the server has."""
        chance = random.Random(7)
        for n in range(12):
            await client.create(CONFIG_MAPS, config_map(f"old{n}", namespace))
        as_json = Reflector(client, CONFIG_MAPS, JsonCodec(Seen), namespace=namespace, page_size=5)
        as_protobuf = Reflector(client, CONFIG_MAPS, protobuf_codec(), namespace=namespace, page_size=5)
        told: list[Change[Seen]] = []
        as_protobuf.subscribe(told.append)
        async with running(as_json, as_protobuf):
            assert [change.kind for change in told][-1] == "synced"
            for n in range(60):
                name = f"m{chance.randrange(10)}"
                with contextlib.suppress(NotFound, AlreadyExists):
                    what = chance.randrange(3)
                    if what == 0:
                        await client.create(CONFIG_MAPS, config_map(name, namespace))
                    elif what == 1:
                        await client.patch(CONFIG_MAPS, name, {"data": {"n": str(n)}}, namespace=namespace)
                    else:
                        await client.delete(CONFIG_MAPS, name, namespace)
            real = await self.real(client, namespace)
            await until(lambda: as_json.store == real and as_protobuf.store == real, "both agree")
        state: dict[tuple[str, str], Seen] = {}
        for change in told:
            assert change.old == state.get(change.key)
            if change.new is not None:
                state[change.key] = change.new
            else:
                state.pop(change.key, None)
        assert state == real

    @staticmethod
    async def real(client: ApiClient, namespace: str) -> dict[tuple[str, str], Seen]:
        items = [msgspec.convert(item, Seen) for item in await client.list(CONFIG_MAPS, namespace)]
        return {(item.metadata.namespace, item.metadata.name): item for item in items}

    @pytest.mark.parametrize("codec", [JsonCodec(Seen), protobuf_codec()], ids=["json", "protobuf"])
    async def test_bookmarks(self, client: ApiClient, namespace: str, codec: Codec[Seen]) -> None:
        """A real bookmark, here the one that ends the initial events, is read as one in both encodings."""
        await client.create(CONFIG_MAPS, config_map("a", namespace))
        query: dict[str, str | int | bool] = {
            "watch": True,
            "allowWatchBookmarks": True,
            "sendInitialEvents": True,
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": 10,
        }
        framer = codec.framer()
        events = []
        async with client.stream(CONFIG_MAPS.path(namespace), query=query, accept=codec.watch_accept) as chunks:
            async for chunk in chunks:
                events += [codec.decode_event(frame) for frame in framer.feed(chunk)]
                if events and events[-1].type == "BOOKMARK":
                    break
        assert ("ADDED", (namespace, "a")) in [(event.type, event.key) for event in events]
        bookmark = events[-1]
        assert (bookmark.type, bookmark.key, bookmark.object, bookmark.problem) == ("BOOKMARK", None, None, "")
        assert int(bookmark.resource_version) >= max(int(event.resource_version) for event in events[:-1])

    async def test_selectors(self, client: ApiClient, namespace: str) -> None:
        """An object that leaves the selector is deleted for us."""
        await client.create(CONFIG_MAPS, config_map("a", namespace))
        reflector = Reflector(client, CONFIG_MAPS, protobuf_codec(), namespace=namespace, label_selector="test=kube")
        async with running(reflector):
            assert set(reflector.store) == {(namespace, "a")}
            await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"test": "other"}}}, namespace=namespace)
            await until(lambda: not reflector.store, "it left")

    async def test_crd_appears(self, client: ApiClient) -> None:
        """A custom resource whose definition comes after us is picked up within ten seconds, and lost and found again."""
        group = f"kube-{random.randrange(10**9)}.example.dev"
        things = Resource(group, "v1", "things", "Thing", namespaced=False)
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        definition = {
            "metadata": {"name": f"things.{group}"},
            "spec": {
                "group": group,
                "scope": "Cluster",
                "names": {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        }
        reflector = Reflector(client, things, JsonCodec(Seen))
        task = asyncio.create_task(reflector.run())
        try:
            await asyncio.sleep(1.5)
            assert not reflector.synced.is_set()
            for round_number in (1, 2):
                await client.create(CRDS, definition)
                loop = asyncio.get_running_loop()
                start = loop.time()
                name = f"t{round_number}"
                while True:
                    try:
                        await client.create(things, {"metadata": {"name": name}})
                        break
                    except NotFound:
                        await asyncio.sleep(0.05)
                await until(lambda name=name: ("", name) in reflector.store, "it is there")  # type: ignore[misc]
                assert loop.time() - start < 10
                await client.delete(CRDS, f"things.{group}")
                await until(lambda: ("", name) not in reflector.store, "its objects go with it")  # noqa: B023
                with contextlib.suppress(NotFound):  # the definition itself goes last
                    while True:
                        await client.get(CRDS, f"things.{group}")
                        await asyncio.sleep(0.05)
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.fault
class TestBreaks:
    """The way to the API server and the server itself break; the reflector ends with what the server has."""

    @pytest.fixture
    async def hop(self, breakable: LocalCluster) -> AsyncIterator[Forwarder]:
        async with Forwarder(urlsplit(breakable.access().server).port or 0) as forwarder:
            yield forwarder

    @pytest.fixture
    async def near(self, breakable: LocalCluster) -> AsyncIterator[ApiClient]:
        async with ApiClient(load_config(str(breakable.kubeconfig()))) as opened:
            yield opened

    @pytest.fixture
    async def far(self, breakable: LocalCluster, hop: Forwarder) -> AsyncIterator[ApiClient]:
        config = load_config(str(breakable.kubeconfig()))
        async with ApiClient(replace(config, host=f"https://127.0.0.1:{hop.port}")) as opened:
            yield opened

    async def test_history_is_gone(
        self, breakable: LocalCluster, near: ApiClient, far: ApiClient, hop: Forwarder
    ) -> None:
        """Cut off while etcd compacts its history: the 410 leads to a new list, deletions included."""
        await near.create(CONFIG_MAPS, config_map("goes", "default"))
        await near.create(CONFIG_MAPS, config_map("stays", "default"))
        restarts: list[str] = []
        told: list[Change[Seen]] = []
        reflector = Reflector(
            far,
            CONFIG_MAPS,
            protobuf_codec(),
            namespace="default",
            label_selector="test=kube",
            on_restart=restarts.append,
        )
        reflector.subscribe(told.append)
        async with running(reflector):
            hop.refusing = True
            hop.cut()
            await near.delete(CONFIG_MAPS, "goes", "default")
            await near.create(CONFIG_MAPS, config_map("comes", "default"))
            await asyncio.to_thread(breakable.etcd.compact)
            hop.refusing = False
            await until(lambda: {name for _, name in reflector.store} == {"stays", "comes"}, "in sync again")
            assert "expired" in restarts
            assert "unreachable" in restarts
            assert [change.kind for change in told].count("synced") == 2
            kinds = [(change.kind, change.key[1]) for change in told]
            assert ("deleted", "goes") in kinds
            assert kinds.count(("added", "stays")) == 1
            # And it still watches.
            await near.delete(CONFIG_MAPS, "comes", "default")
            await until(lambda: {name for _, name in reflector.store} == {"stays"}, "watching again")
        await near.delete(CONFIG_MAPS, "stays", "default")

    async def test_half_open(self, near: ApiClient, far: ApiClient, hop: Forwarder) -> None:
        """A connection that silently carries nothing any more is given up, and what was missed is fetched without a list."""
        restarts: list[str] = []
        told: list[Change[Seen]] = []
        reflector = Reflector(
            far, CONFIG_MAPS, protobuf_codec(), namespace="default", on_restart=restarts.append, inactivity=2
        )
        reflector.subscribe(told.append)
        async with running(reflector):
            await until(lambda: hop.accepted == 2, "the watch is open")
            await asyncio.sleep(0.2)
            hop.frozen = True
            await near.create(CONFIG_MAPS, config_map("missed", "default"))
            await asyncio.sleep(0.5)
            assert ("default", "missed") not in reflector.store
            hop.frozen = False
            await until(lambda: ("default", "missed") in reflector.store, "it was fetched")
            assert restarts[0] == "silent"
            assert [change.kind for change in told].count("synced") == 1
        await near.delete(CONFIG_MAPS, "missed", "default")

    async def test_server_restarts(self, breakable: LocalCluster, near: ApiClient) -> None:
        """While the API server is stopped and started in the middle of changes, nothing is lost."""
        codes: list[int | str] = []
        config = load_config(str(breakable.kubeconfig()))
        async with ApiClient(config, on_error=codes.append) as client:
            reflector = Reflector(client, CONFIG_MAPS, protobuf_codec(), namespace="default")
            as_json = Reflector(client, CONFIG_MAPS, JsonCodec(Seen), namespace="default")
            async with running(reflector, as_json):
                for n in range(10):
                    await near.create(CONFIG_MAPS, config_map(f"r{n}", "default"))
                await asyncio.to_thread(breakable.api.kill)
                await asyncio.sleep(2)
                await asyncio.to_thread(breakable.api.start)
                for n in range(5):
                    await near.delete(CONFIG_MAPS, f"r{n}", "default")
                await near.create(CONFIG_MAPS, config_map("after", "default"))
                real = await TestReflector.real(near, "default")
                await until(lambda: reflector.store == real == as_json.store, "in sync again")
            assert "unreachable" in codes
            for n in range(5, 10):
                await near.delete(CONFIG_MAPS, f"r{n}", "default")
            await near.delete(CONFIG_MAPS, "after", "default")
