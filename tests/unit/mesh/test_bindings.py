"""What is stored about owners, against answers that come late."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from signer.api.issuer import IssuerRef
from signer.api.signerbinding import SignerBinding
from signer.kube.client import ApiClient
from signer.kube.objects import Json
from signer.mesh.bindings import Bindings
from signer.tenancy.index import Index
from signer.tenancy.world import Claims, Namespace, Policy, ProxyConfigName, Settings

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


def claimed() -> Index:
    """A mesh in which namespace foo may become the owner of its signer."""
    index = Index(Settings())
    world = index.world
    world.unsynced, world.signers = "", frozenset({FOO})
    world.namespaces["foo"] = Namespace("uid-foo")
    world.claims["foo"] = Claims(FOO, {FOO: ProxyConfigName("foopc", "u")})
    return index


async def bound(*, released: bool) -> Index:
    index = claimed()
    client = cast(ApiClient, Client(index, released=released))
    await Bindings(client, index, lambda: None, lambda: NOW).bind(FOO, "foo", "uid-foo")
    return index


async def test_a_release_that_overtakes_an_answer() -> None:
    """An owner whom an admin removed is none again because the answer to our own write came later."""
    assert FOO not in (await bound(released=True)).world.bindings
    assert (await bound(released=False)).world.bindings[FOO].namespace == "foo"


@pytest.mark.parametrize("change", ["policy", "ending", "claim", "uid"])
async def test_an_old_decision_is_not_stored(change: str) -> None:
    """What came between a decision and its turn counts: then nobody becomes the owner."""
    index = claimed()
    world = index.world
    if change == "policy":
        world.policies[FOO] = (Policy("p", frozenset({FOO}), namespaces=frozenset({"foo"})),)
    elif change == "ending":
        index.terminating.add("foo")
    elif change == "claim":
        world.claims.clear()
    else:
        world.namespaces["foo"] = Namespace("another")
    await Bindings(cast(ApiClient, None), index, lambda: None, lambda: NOW).bind(FOO, "foo", "uid-foo")
    assert FOO not in world.bindings
