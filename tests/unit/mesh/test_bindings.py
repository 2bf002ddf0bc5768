"""What is stored about owners, against answers that come late."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.signerbinding import SignerBinding
from signer.kube.client import ApiClient
from signer.kube.objects import Json
from signer.mesh.bindings import Bindings
from signer.tenancy.index import Index
from signer.tenancy.world import Settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOO = IssuerRef("ClusterIssuer", "", "foo")


class Client:
    """Answers a create when the watch has told of the object already, and with `released` of its deletion too."""

    def __init__(self, index: Index, *, released: bool) -> None:
        self._index = index
        self._released = released

    async def create(self, _resource: Any, body: Json) -> Json:
        made = body | {"metadata": body["metadata"] | {"uid": "u", "creationTimestamp": "2026-11-23T12:00:00Z"}}
        self._index.put_binding(msgspec.convert(made, SignerBinding))
        if self._released:
            self._index.remove_binding("foo", "u")
        return made


async def bound(*, released: bool) -> Index:
    index = Index(Settings())
    client = cast(ApiClient, Client(index, released=released))
    await Bindings(client, index, lambda: None, lambda: NOW).bind(FOO, "foo", "uid-foo")
    return index


async def test_a_release_that_overtakes_an_answer() -> None:
    """An owner whom an admin removed is none again because the answer to our own write came later."""
    assert FOO not in (await bound(released=True)).world.bindings
    assert (await bound(released=False)).world.bindings[FOO].namespace == "foo"
