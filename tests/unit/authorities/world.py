"""A Registry over watches that a test feeds by hand; parsing and checking CAs is real, time is the loop's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.meta import ObjectMeta
from signer.authorities import registry as module
from signer.authorities import secret_watches
from signer.authorities.registry import Registry
from signer.authorities.state import CASecret, CASecretData
from signer.kube.reflector import Change
from signer.kube.resource import Resource
from tests.pki import CA
from tests.unit.csr.crafted import FOO, NOW, issuer

SYNCED: Change[Any] = Change("synced", ("", ""), None, None)


class HandFed:
    """Stands in for a Reflector: a test puts and deletes, `sync` tells that the first list is there."""

    made: dict[tuple[str, str | None], "HandFed"]

    def __init__(self, _client: object, resource: Resource, _codec: object, **more: Any) -> None:
        self.store: dict[tuple[str, str], Any] = {}
        self.synced = asyncio.Event()
        self.trouble = ""
        self.on_restart = more["on_restart"]
        self.running = False
        self._handlers: list[Callable[[Change[Any]], None]] = []
        type(self).made[resource.plural, more.get("namespace")] = self

    def subscribe(self, handler: Callable[[Change[Any]], None]) -> None:
        self._handlers.append(handler)

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    def sync(self) -> None:
        self.synced.set()
        self._tell(SYNCED)

    def put(self, obj: Any) -> None:
        key = (obj.metadata.namespace, obj.metadata.name)
        old = self.store.get(key)
        self.store[key] = obj
        self._tell(Change("added" if old is None else "modified", key, old, obj))

    def delete(self, namespace: str, name: str) -> None:
        old = self.store.pop((namespace, name))
        self._tell(Change("deleted", (namespace, name), old, None))

    def _tell(self, change: Change[Any]) -> None:
        for handler in self._handlers:
            handler(change)


def ca_secret(data: dict[str, bytes], namespace: str = "cert-manager", name: str = "foo-ca") -> CASecret:
    return CASecret(
        metadata=ObjectMeta(namespace=namespace, name=name, uid="u"), data=msgspec.convert(data, CASecretData)
    )


class World:
    def __init__(self) -> None:
        HandFed.made = {}
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.restarts: list[str] = []
        self.registry = Registry(
            cast("Any", None),
            cluster_resource_namespace="cert-manager",
            on_restart=self.restarts.append,
            clock=self.wall,
        )
        self.told: list[IssuerRef] = []
        self.registry.subscribe(self.told.append)
        self.secrets_told: list[tuple[str, str]] = []
        self.registry.subscribe_secrets(lambda namespace, name: self.secrets_told.append((namespace, name)))

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.time() - self.start)

    @property
    def cluster_issuers(self) -> HandFed:
        return HandFed.made[CLUSTER_ISSUERS.plural, None]

    @property
    def issuers(self) -> HandFed:
        return HandFed.made[ISSUERS.plural, None]

    def secrets(self, namespace: str = "cert-manager") -> HandFed:
        return HandFed.made["secrets", namespace]

    def watched_namespaces(self) -> set[str | None]:
        return {namespace for plural, namespace in HandFed.made if plural == "secrets"}

    def put_issuer(self, found: Issuer | None = None) -> None:
        found = found or issuer(FOO)
        (self.issuers if found.metadata.namespace else self.cluster_issuers).put(found)

    def put_secret(self, ca: CA, namespace: str = "cert-manager", name: str = "foo-ca", **instead: bytes) -> None:
        data = ca.secret() | {key.replace("_", "."): value for key, value in instead.items()}
        self.secrets(namespace).put(ca_secret(data, namespace, name))

    def sync(self) -> None:
        for reflector in tuple(HandFed.made.values()):
            if not reflector.synced.is_set():
                reflector.sync()

    async def settle(self) -> None:
        """Let what was loaded be taken in."""
        for _ in range(5):
            await asyncio.sleep(0.02)

    def reason(self, ref: IssuerRef = FOO) -> str | None:
        state = self.registry.get(ref)
        return None if state is None else state.reason

    def message(self, ref: IssuerRef = FOO) -> str:
        state = self.registry.get(ref)
        assert state is not None
        return state.message


@asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for one in (module, secret_watches):
        monkeypatch.setattr(one, "Reflector", HandFed)
    world = World()
    task = asyncio.create_task(world.registry.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        yield world
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
