"""A cache that lags behind causes no second certificate: our own writes are remembered, and the Secret is asked for live."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.secret import Secret
from signer.authorities.registry import Registry
from signer.certificates.controller import CertificateController
from signer.certificates.objects import Key, Objects
from signer.certificates.watched import Watched, watch_certificates
from signer.kube.client import ApiClient
from signer.kube.queue import WorkQueue
from signer.kube.room import Room
from signer.kube.superseded import Superseded
from signer.observe.notices import Notices
from tests.fakes.recorder import FakeRecorder
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW

KEY = ("shop", "leaf")


def test_superseded() -> None:
    """A version that we replaced is old until another one is seen; then the memory is empty."""
    memory = Superseded()
    assert not memory.stale(KEY, "1")
    memory.replaced(KEY, "1", "2")
    memory.replaced(KEY, "2", "3")
    assert memory.stale(KEY, "1")
    assert memory.stale(KEY, "2")
    assert not memory.stale(("shop", "other"), "1")
    assert not memory.stale(KEY, "3")
    assert not memory.stale(KEY, "1")


def test_a_write_that_changed_nothing() -> None:
    """A write after which the version is the same brings no event, so it must not be waited for."""
    memory = Superseded()
    memory.replaced(KEY, "1", "1")
    assert not memory.stale(KEY, "1")


class ScriptedObjects:
    """Answers with a Secret, and records what was written."""

    def __init__(self, live: Secret | None) -> None:
        self.live = live
        self.patches: list[dict[str, Any]] = []

    def notices(self) -> Notices:
        return Notices(FakeRecorder().typed)

    def emitter(self, *_: object) -> Any:
        return lambda *_: None

    async def secret(self, _namespace: str, name: str) -> Secret | None:
        return self.live if name == "leaf" else None

    async def patch_certificate(self, certificate: Certificate, body: dict[str, Any]) -> Certificate:
        self.patches.append(body["status"])
        meta = msgspec.structs.replace(certificate.metadata, resource_version="101")
        return msgspec.structs.replace(certificate, metadata=meta)

    async def apply_secret(self, _namespace: str, _name: str, _content: object, existing: Secret) -> Secret:
        return existing

    async def create_secret(self, _body: object) -> Secret:
        raise StopHere


class StopHere(Exception):
    pass


def controller(live: Secret | None, cached: Secret | None) -> tuple[CertificateController, ScriptedObjects]:
    nowhere = cast("ApiClient", SimpleNamespace(room=Room()))
    watched = Watched(nowhere, watch_certificates(nowhere, lambda _name: None), on_restart=lambda _name: None)
    watched.certificates.store[KEY] = samples.certificate(dnsNames=["changed.example"])
    if cached is not None:
        watched.secrets.store[KEY] = cached
    objects = ScriptedObjects(live)
    queue: WorkQueue[Key] = WorkQueue()
    registry = Registry(nowhere, cluster_resource_namespace="cert-manager")
    made = CertificateController(
        watched, cast("Objects", objects), queue, registry=registry, owner_ref=False, clock=lambda: NOW
    )
    return made, objects


def newer() -> Secret:
    body = samples.secret_json()
    body["metadata"]["resourceVersion"] = "71"
    return msgspec.convert(body, Secret)


async def test_an_old_secret_is_no_reason() -> None:
    """When the live Secret is another one than the cached one, nothing is begun; the key comes back later."""
    for live, cached in ((newer(), samples.secret()), (None, samples.secret())):
        tested, objects = controller(live, cached)
        await tested.reconcile(KEY)
        assert not any(
            condition["type"] == "Issuing" for patch in objects.patches for condition in patch.get("conditions") or ()
        )
        assert len(tested.queue._later) == 1


async def test_the_live_secret_agrees() -> None:
    """When it is the same, the issuance begins."""
    tested, objects = controller(samples.secret(), samples.secret())
    with pytest.raises(StopHere):
        await tested.reconcile(KEY)
    assert any(condition["type"] == "Issuing" for patch in objects.patches for condition in patch["conditions"])


async def test_own_write_is_waited_for() -> None:
    """After our own write the cached object is old: nothing is decided on it."""
    tested, objects = controller(samples.secret(), samples.secret())
    with pytest.raises(StopHere):
        await tested.reconcile(KEY)
    written = len(objects.patches)
    await tested.reconcile(KEY)
    assert len(objects.patches) == written
