"""SignerRecords, written by several at once, against conflicts and answers that fail."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from signer.api.issuer import IssuerRef
from signer.api.signerrecord import SignerRecord
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound, Unreachable
from signer.kube.objects import Json
from signer.mesh.records import Records
from signer.tenancy.index import Index
from signer.tenancy.world import Settings
from tests.unit.csr.crafted import authority
from tests.unit.tenancy.indexed import NOW, mesh

FOO = IssuerRef("ClusterIssuer", "", "foo")


class Store:
    """SignerRecords in memory; `fails` is raised by the next calls of a kind."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes = self.made = 0
        self.fails: dict[str, Exception] = {}

    def _called(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    async def create(self, _resource: Any, body: Json) -> Json:
        await asyncio.sleep(0)
        self._called("create")
        name = body["metadata"]["name"]
        if name in self.objects:
            raise AlreadyExists(409, "AlreadyExists", name)
        self.made += 1
        self.objects[name] = body | {"metadata": body["metadata"] | {"uid": f"u{self.made}", "resourceVersion": "1"}}
        return self.objects[name]

    async def get(self, _resource: Any, name: str) -> Json:
        await asyncio.sleep(0)
        if name not in self.objects:
            raise NotFound(404, "NotFound", name)
        return self.objects[name]

    async def patch(self, _resource: Any, name: str, body: Json, *, subresource: str) -> Json:
        await asyncio.sleep(0)
        self._called("patch")
        assert subresource == "status"
        stored = self.objects.get(name)
        if stored is None:
            raise NotFound(404, "NotFound", name)
        if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", name)
        self.writes += 1
        version = str(int(stored["metadata"]["resourceVersion"]) + 1)
        status = {key: value for key, value in body["status"].items() if value is not None}
        self.objects[name] = stored | {"metadata": stored["metadata"] | {"resourceVersion": version}, "status": status}
        return self.objects[name]


def process(store: Store, ca: str) -> tuple[Index, Records]:
    """A process that has seen this CA of foo's."""
    index = Index(Settings())
    index.world.unsynced = ""
    index.config_maps.put("istio", mesh("foo"))
    index.put_key(FOO, authority(ca).key_id, authority(ca).chain)
    index.settle(NOW)
    return index, Records(cast(ApiClient, store), index, lambda: None, lambda: NOW)


def recorded(store: Store) -> int:
    found = msgspec.convert(store.objects["clusterissuers.foo"], SignerRecord)
    return len(found.status.certificates)


async def test_two_at_once() -> None:
    """Two processes that saw different CAs of a signer both have theirs stored, whoever writes first."""
    store = Store()
    (_, one), (_, other) = process(store, "foo"), process(store, "bar")
    await asyncio.gather(one.store(FOO), other.store(FOO))
    assert recorded(store) == 2
    writes = store.writes
    await asyncio.gather(one.store(FOO), other.store(FOO))
    assert store.writes <= writes + 1  # the first one has not seen the other's yet


async def test_once() -> None:
    """What is stored is not written again."""
    store = Store()
    _, records = process(store, "foo")
    for _ in range(3):
        await records.store(FOO)
    assert store.writes == 1


@pytest.mark.parametrize("call", ["create", "patch"])
async def test_a_write_that_fails(call: str) -> None:
    """Who waits until a CA is stored learns that it is not; after a create without its status, the status follows."""
    store = Store()
    index, records = process(store, "foo")
    for error in (Forbidden(403, "Forbidden", "no"), Unreachable("nobody there")):
        store.fails = {call: error}
        with pytest.raises(type(error)):
            await records.store(FOO)
    assert index.unrecorded(FOO, NOW) is not None
    store.fails = {}
    await records.store(FOO)
    assert recorded(store) == 1


async def test_deleted_meanwhile() -> None:
    """A record that an admin deleted is made again with what is true now."""
    store = Store()
    _, records = process(store, "foo")
    await records.store(FOO)
    index, records = process(store, "bar")
    index.put_record(msgspec.convert(store.objects.pop("clusterissuers.foo"), SignerRecord))
    await records.store(FOO)
    assert recorded(store) == 1
