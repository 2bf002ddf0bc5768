"""signer.kube against the real API server: what it says to us, and what happens when it, or the way to it, breaks."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from signer.kube.client import ApiClient
from signer.kube.codec import Codec, JsonCodec
from signer.kube.config import ConnectionConfig, load_config
from signer.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
    Unreachable,
)
from signer.kube.lease import Leadership
from signer.kube.members import Members
from signer.kube.protobuf import scan, text, unwrap, wrap, write_bytes_field
from signer.kube.protobuf_codec import ProtobufCodec
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from tests import pki
from tests.fakes.forwarder import Forwarder
from tests.localmesh import Cluster, LocalCluster

pytestmark = pytest.mark.integration

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
PROTOBUF = "application/vnd.kubernetes.protobuf"


class Meta(msgspec.Struct, rename="camel", frozen=True):
    name: str
    namespace: str = ""
    resource_version: str = ""


class Seen(msgspec.Struct, frozen=True):
    """An object as far as these tests look at it."""

    metadata: Meta


def from_protobuf(raw: bytes) -> Seen:
    meta = {"name": "", "namespace": "", "resource_version": ""}
    names = {0x0A: "name", 0x1A: "namespace", 0x32: "resource_version"}
    for tag, a, b in scan(raw):
        if tag == 0x0A:
            for inner, c, d in scan(raw, a, b):
                if inner in names:
                    meta[names[inner]] = text(raw, c, d)
    return Seen(Meta(**meta))


def protobuf_codec() -> ProtobufCodec[Seen]:
    return ProtobufCodec(from_protobuf, lambda seen: (seen.metadata.namespace, seen.metadata.name))


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[ApiClient]:
    async with ApiClient(load_config(str(cluster.kubeconfig()))) as opened:
        yield opened


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


async def until(ready: Callable[[], object], what: str, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not ready():
            assert what
            await asyncio.sleep(0.02)


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"test": "kube"}}, "data": data}


class TestObjects:
    async def test_life(self, client: ApiClient, namespace: str) -> None:
        """Create, read, replace, the three kinds of patch, and delete with preconditions do what they say."""
        made = await client.create(CONFIG_MAPS, config_map("a", namespace, x="1"))
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, config_map("a", namespace))
        replaced = await client.replace(CONFIG_MAPS, {**made, "data": {"x": "2"}})
        with pytest.raises(Conflict) as caught:
            await client.replace(CONFIG_MAPS, {**made, "data": {"x": "3"}})
        assert not isinstance(caught.value, AlreadyExists)
        await client.patch(CONFIG_MAPS, "a", {"data": {"y": "1", "x": None}}, namespace=namespace)
        await client.patch(
            CONFIG_MAPS, "a", [{"op": "add", "path": "/data/z", "value": "1"}], namespace=namespace, kind="json"
        )
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"w": "1"}}
        await client.patch(CONFIG_MAPS, "a", applied, namespace=namespace, kind="apply", field_manager="us", force=True)
        found = await client.get(CONFIG_MAPS, "a", namespace)
        assert found["data"] == {"y": "1", "z": "1", "w": "1"}
        version = found["metadata"]["resourceVersion"]
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, resource_version=replaced["metadata"]["resourceVersion"])
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, uid="another")
        await client.delete(CONFIG_MAPS, "a", namespace, uid=found["metadata"]["uid"], resource_version=version)
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", namespace)

    async def test_list(self, client: ApiClient, namespace: str) -> None:
        """Lists come in pages and by selector, with the kind that the server leaves out."""
        for n in range(7):
            await client.create(CONFIG_MAPS, config_map(f"m{n}", namespace))
        found = await client.list(CONFIG_MAPS, namespace, "test=kube", page_size=3)
        assert [item["metadata"]["name"] for item in found] == [f"m{n}" for n in range(7)]
        assert {item["kind"] for item in found} == {"ConfigMap"}
        one = await client.list(CONFIG_MAPS, namespace, field_selector="metadata.name=m3")
        assert [item["metadata"]["name"] for item in one] == ["m3"]

    async def test_protobuf(self, client: ApiClient, namespace: str) -> None:
        """Objects go out and come back in protobuf, and so do refusals."""
        path = CONFIG_MAPS.path(namespace)
        entry = write_bytes_field(1, b"x") + write_bytes_field(2, b"1")
        raw = write_bytes_field(1, write_bytes_field(1, b"a")) + write_bytes_field(2, entry)
        body = wrap("v1", "ConfigMap", raw)
        answer = await client.request("POST", path, body=body, content_type=PROTOBUF, accept=PROTOBUF)
        assert answer.status == 201
        envelope = unwrap(answer.body)
        assert (envelope.api_version, envelope.kind) == ("v1", "ConfigMap")
        assert from_protobuf(envelope.raw).metadata.name == "a"
        assert (await client.get(CONFIG_MAPS, "a", namespace))["data"] == {"x": "1"}
        with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
            await client.request("POST", path, body=body, content_type=PROTOBUF, accept=PROTOBUF)

    async def test_refusals(self, client: ApiClient, namespace: str) -> None:
        """Validation, wrong selectors and garbage have their exceptions, with the server's words."""
        with pytest.raises(Invalid, match="Not A Name"):
            await client.create(CONFIG_MAPS, config_map("Not A Name", namespace))
        with pytest.raises(ApiError, match="found") as caught:
            await client.list(CONFIG_MAPS, namespace, label_selector="((")
        assert caught.value.status == 400
        with pytest.raises(ApiError) as caught:
            await client.request("POST", CONFIG_MAPS.path(namespace), body=b"{")
        assert caught.value.status == 400


class TestWho:
    async def test_forbidden(self, cluster: Cluster, namespace: str) -> None:
        """A ServiceAccount without rights is told so, by name."""
        config = load_config(str(cluster.service_account_kubeconfig(namespace, "nobody")))
        assert config.namespace == namespace
        async with ApiClient(config) as nobody:
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:nobody"):
                await nobody.list(CONFIG_MAPS, namespace)

    async def test_token_turns_bad(self, cluster: Cluster, namespace: str) -> None:
        """A token that is no longer valid is replaced by the one that the kubeconfig has now, without anybody noticing."""
        path = cluster.service_account_kubeconfig(namespace, "nobody")
        good = path.read_text()
        token = load_config(str(path)).authorization() or ""
        path.write_text(good.replace(token.removeprefix("Bearer "), "not-a-token"))
        async with ApiClient(load_config(str(path))) as nobody:
            with pytest.raises(Unauthorized):
                await nobody.list(CONFIG_MAPS, namespace)
            path.write_text(good)
            with pytest.raises(Forbidden):
                await nobody.list(CONFIG_MAPS, namespace)

    async def test_another_ca(self, cluster: Cluster, tmp_path: Path) -> None:
        """A server whose certificate is not signed by the kubeconfig's CA gets nothing from us."""
        other = tmp_path / "ca.pem"
        other.write_bytes(pki.cert_pem(pki.CA("another").certificate))
        config = replace(load_config(str(cluster.kubeconfig())), ca_file=str(other))
        async with ApiClient(config) as client:
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await client.list(CONFIG_MAPS)


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


class TestLeases:
    RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: leases, namespace: {namespace}}}
rules: [{{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch, create, update, patch, delete]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: leases, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases}}
subjects: [{{kind: ServiceAccount, name: replica, namespace: {namespace}}}]
"""

    @pytest.fixture
    def config(self, cluster: Cluster, namespace: str) -> ConnectionConfig:
        path = cluster.service_account_kubeconfig(namespace, "replica")
        cluster.apply(self.RIGHTS.format(namespace=namespace))
        return load_config(str(path))

    async def test_leadership(self, config: ConnectionConfig, namespace: str, cluster: Cluster) -> None:
        """With the rights of our manifests and no more, one leads, and when it leaves the other does."""
        working: list[str] = []

        async def work(who: str) -> None:
            working.append(who)
            try:
                await asyncio.sleep(3600)
            finally:
                working.remove(who)

        async with ApiClient(config) as client:
            tasks = {}
            for who in ("a", "b"):
                leadership = Leadership(client, namespace, "lock", who, duration=3, renew=2, retry=0.2)
                tasks[who] = asyncio.create_task(leadership.run(lambda who=who: work(who)))  # type: ignore[misc]
            await until(lambda: len(working) == 1, "one leads")
            await asyncio.sleep(4)
            (first,) = working
            assert cluster.get("lease", "lock", "-n", namespace)["spec"]["holderIdentity"] == first
            tasks.pop(first).cancel()
            await until(lambda: working and working != [first], "the other leads")
            (second,) = tasks.values()
            second.cancel()
            await asyncio.wait([second])
            spec = cluster.get("lease", "lock", "-n", namespace)["spec"]
            assert ("holderIdentity" in spec, spec["leaseTransitions"]) == (False, 1)

    async def test_members(self, config: ConnectionConfig, namespace: str, cluster: Cluster) -> None:
        """Replicas find each other, miss one that leaves, and leave nothing behind."""
        async with ApiClient(config) as client:
            members = {who: Members(client, namespace, "g", who, duration=2) for who in "abc"}
            tasks = {who: asyncio.create_task(one.run()) for who, one in members.items()}
            await until(lambda: all(one.members() == ("a", "b", "c") for one in members.values()), "all see all")
            tasks["b"].cancel()
            await until(lambda: members["a"].members() == members["c"].members() == ("a", "c"), "b is missed")
            for task in tasks.values():
                task.cancel()
            await asyncio.wait(tasks.values())
        assert cluster.get("leases", "-n", namespace)["items"] == []


@pytest.fixture(scope="module")
def breakable() -> Iterator[LocalCluster]:
    """A cluster without watch cache, as the API server would otherwise answer old watches from memory."""
    with LocalCluster(controller_manager=False, api_flags=["--watch-cache=false"]) as cluster:
        yield cluster


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
