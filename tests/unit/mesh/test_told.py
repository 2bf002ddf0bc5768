"""Whatever write of the mesh's objects is refused, for whatever reason: it is told on the object, or on who waits for it."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from signer.api.event import ObjectReference
from signer.api.issuer import IssuerRef
from signer.api.signerpolicy import SignerPolicy
from signer.kube.client import ApiClient
from signer.mesh.bindings import Bindings
from signer.mesh.policies.counts import PolicyCounts
from signer.mesh.records import Records
from signer.observe.write_errors import LASTS, WriteErrors
from signer.tenancy.index import Index
from signer.tenancy.tally import Tally
from signer.tenancy.world import Claims, Namespace, ProxyConfigName, Settings
from tests.fakes.refusals import ANSWERS, Answer
from tests.fakes.virtual_time import virtual_time

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOO = IssuerRef("ClusterIssuer", "", "foo")


class Refusing:
    """An API server that answers every write so, and notes on what Events are."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.told: list[ObjectReference] = []

    async def create(self, *_what: Any, **_more: Any) -> Any:
        raise self._answer.error

    patch = create

    def offer(self, ref: ObjectReference, *said: str, **_more: Any) -> bool:
        assert self._answer.words in said[-1]
        self.told.append(ref)
        return True


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running])


async def held_against(answer: Answer, server: Refusing, kind: str, name: str) -> None:
    """At once, or only when it lasts; once."""
    await asyncio.sleep(LASTS / 2)
    assert bool(server.told) != answer.lasts
    await asyncio.sleep(LASTS * 6)
    assert [(ref.kind, ref.name) for ref in server.told] == [(kind, name)]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
@virtual_time
async def test_an_owner(answer: Answer) -> None:
    """Who would own a signer, and cannot be stored as its owner, learns it on his ProxyConfig."""
    index = Index(Settings())
    world = index.world
    world.unsynced, world.signers = "", frozenset({FOO})
    world.namespaces["foo"] = Namespace("uid-foo")
    world.claims["foo"] = Claims(FOO, {FOO: ProxyConfigName("foopc", "u")})
    world.claimants[FOO] = frozenset({"foo"})
    server = Refusing(answer)
    errors = WriteErrors(cast(Any, server), clock=asyncio.get_running_loop().time)
    bindings = Bindings(cast(ApiClient, server), index, lambda: None, lambda: NOW, errors=errors)
    bindings.touch(FOO)
    running = asyncio.create_task(bindings.run())
    await held_against(answer, server, "ProxyConfig", "foopc")
    await ended(running)


@pytest.mark.heavy
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
@virtual_time
async def test_a_record(answer: Answer) -> None:
    """A signer that cannot be recorded is told on its issuer."""
    index, server = Index(Settings()), Refusing(answer)
    index.unrecorded = lambda *_, **__: {"keys": []}  # type: ignore[method-assign]
    index.world.unsynced = ""
    about = [ObjectReference("cert-manager.io/v1", "ClusterIssuer", "", "foo", "u")]
    errors = WriteErrors(cast(Any, server), clock=asyncio.get_running_loop().time)
    records = Records(cast(ApiClient, server), index, lambda: None, lambda: NOW, errors=errors, about=lambda _: about)
    cast(Any, server).get = server.create
    records.touch(FOO)
    running = asyncio.create_task(records.run())
    await held_against(answer, server, "ClusterIssuer", "foo")
    await ended(running)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
@virtual_time
async def test_a_policys_counts(answer: Answer) -> None:
    """A SignerPolicy whose status cannot be written says so."""
    server, tally = Refusing(answer), Tally()
    tally.issued("p")
    policy = msgspec.convert({"metadata": {"name": "p", "uid": "u", "resourceVersion": "1"}, "spec": {}}, SignerPolicy)
    errors = WriteErrors(cast(Any, server), clock=asyncio.get_running_loop().time)
    counts = PolicyCounts(cast(ApiClient, server), tally, lambda: {"p": policy}, errors)
    running = asyncio.create_task(_again(counts))
    await held_against(answer, server, "SignerPolicy", "p")
    await ended(running)


async def _again(counts: PolicyCounts) -> None:
    while True:
        await counts.write()
        await asyncio.sleep(20)
