"""Which namespace a policy's names mean is written once, with the version that was read, and told where it is not kept."""

import logging
from typing import Any

import pytest

from signer.api.meta import ObjectMeta
from signer.api.namespace import NamespaceObject
from signer.api.signerpolicy import SignerPolicy
from signer.kube.errors import Conflict, Forbidden
from signer.mesh.policies.records import PolicyRecords
from signer.tenancy.index import Index
from signer.tenancy.world import Settings

SPEC = {"signers": ["clusterissuers.cert-manager.io/foo"], "namespaces": {"names": ["shop", "later"]}}


class Server:
    """One SignerPolicy. `keeps`: whether its definition has the field."""

    def __init__(self) -> None:
        self.uids: dict[str, str] = {}
        self.version = 1
        self.keeps = True
        self.error: Exception | None = None
        self.writes: list[Any] = []

    def stored(self) -> dict[str, SignerPolicy]:
        metadata = ObjectMeta(name="p", uid="u", resource_version=str(self.version))
        return {"p": SignerPolicy(metadata=metadata, raw_spec=SPEC, raw_status={"namespaceUIDs": dict(self.uids)})}

    async def patch(self, _resource: Any, _name: str, body: Any, **_more: Any) -> Any:
        self.writes.append(body)
        if self.error is not None:
            raise self.error
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "changed")
        if self.keeps:
            self.uids |= body["status"]["namespaceUIDs"]
        self.version += 1
        return {"status": {"namespaceUIDs": dict(self.uids)} if self.keeps else {}}


def scene(*namespaces: str) -> tuple[Server, Index, PolicyRecords]:
    server, index = Server(), Index(Settings())
    for name in namespaces:
        index.put_namespace(NamespaceObject(metadata=ObjectMeta(name=name, uid=f"uid-{name}")))
    return server, index, PolicyRecords(server, index, server.stored)  # type: ignore[arg-type]


async def test_written_once() -> None:
    """What exists is written, with version and uid; a namespace that comes later is added; then there is nothing to do."""
    server, index, records = scene("shop")
    assert await records.write()
    assert server.writes == [
        {"metadata": {"resourceVersion": "1", "uid": "u"}, "status": {"namespaceUIDs": {"shop": "uid-shop"}}}
    ]
    index.put_namespace(NamespaceObject(metadata=ObjectMeta(name="later", uid="uid-later")))
    assert await records.write()
    assert await records.write()
    assert server.uids == {"shop": "uid-shop", "later": "uid-later"}
    assert len(server.writes) == 2


async def test_another_namespace_of_the_name() -> None:
    """What is recorded is never written over, whoever has the name by now."""
    server, index, records = scene("shop")
    await records.write()
    index.put_namespace(NamespaceObject(metadata=ObjectMeta(name="shop", uid="another")))
    await records.write()
    assert server.uids == {"shop": "uid-shop"}


async def test_one_that_is_going() -> None:
    """A namespace that is being deleted is not the one that an admin means."""
    server, index, records = scene()
    gone = ObjectMeta(name="shop", uid="old", deletion_timestamp="2026-01-01T00:00:00Z")
    index.put_namespace(NamespaceObject(metadata=gone))
    await records.write()
    assert server.uids == {}


async def test_another_replica_was_first() -> None:
    """Of two that write at once one is refused, and says nothing of it."""
    server, _, records = scene("shop")
    server.error = Conflict(409, "Conflict", "changed")
    assert await records.write()
    assert server.uids == {}


@pytest.mark.parametrize("keeps", [True, False])
async def test_told_once(caplog: pytest.LogCaptureFixture, keeps: bool) -> None:
    """No right, or a definition that drops the record: the log says so once, and it is tried again."""
    server, _, records = scene("shop")
    server.keeps = keeps
    server.error = Forbidden(403, "Forbidden", "no right") if keeps else None
    with caplog.at_level(logging.WARNING):
        assert not await records.write()
        assert not await records.write()
    assert len(caplog.records) == 1
    assert ("no right" if keeps else "apply manifests/crds") in caplog.text
