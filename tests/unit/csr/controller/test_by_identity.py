"""One signer name for many tenants, through the controller: what is asked, told and waited for is the tenant's own signer's."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from issuers.authority import load_authority
from signer.csr.answers.compose import issue
from signer.csr.inquiries import WAITS_FOR_CONFIRMATION
from signer.csr.outcome import Issue
from signer.tenancy.world import World
from tests.fakes.virtual_time import virtual_time
from tests.pki import CA, workload_csr
from tests.unit.csr.controller.scene import Scene, running
from tests.unit.csr.crafted import NOW, encoded, ready, request
from tests.unit.csr.test_by_identity import BAR, DOOR, FOO, MESH, TENANTS, covering, indexed, judge, root_of
from tests.unit.tenancy.indexed import DOMAIN, namespace_object

ASKED = f"{DOMAIN}/mesh"


def routed() -> World:
    return indexed().world


def put(scene: Scene, namespace: str = "foo", name: str = "r") -> None:
    scene.put(name=name, uid=f"u-{name}", signer=ASKED, request=workload_csr(namespace))


@virtual_time
async def test_each_tenant_has_its_own() -> None:
    """Two tenants' requests for one name are written with two CAs and two roots, and the mesh is told of the signers that signed."""
    async with running(world=routed(), issuer=False) as scene:
        for ref in (FOO, BAR):
            scene.registry.set(ready(ref))
        put(scene, "foo", "one")
        put(scene, "bar", "two")
        await asyncio.sleep(1)
        assert scene.mesh is not None
        assert set(scene.mesh.told_issued) == {(FOO, "foo"), (BAR, "bar")}
        assert set(scene.mesh.told_policies) == {"foo", "bar"}
        # Counted by the name that was asked, though no issuer has it.
        for namespace in ("foo", "bar"):
            assert scene.metric("issued_total", signer=ASKED, namespace=namespace) == 1
        for write in scene.writer.writes:
            chain = x509.load_pem_x509_certificates(write.answer.pem)
            assert chain[-1] == root_of("foo" if write.name == "one" else "bar")


@virtual_time
async def test_waits_for_the_tenants_issuer() -> None:
    """What waits for the issuer that identity leads to goes on when that is there, and no other's change wakes it."""
    async with running(world=routed(), issuer=False) as scene:
        put(scene)
        await asyncio.sleep(1)
        scene.registry.set(ready(BAR))
        await asyncio.sleep(1)
        assert scene.writer.writes == []
        assert scene.metric("waiting_requests", reason="IssuerNotFound") == 1
        scene.registry.set(ready(FOO))
        await asyncio.sleep(0.1)
        assert [write.name for write in scene.writer.writes] == ["r"]
        assert scene.metric("waiting_requests", reason="IssuerNotFound") == 0


@virtual_time
async def test_the_route_is_decided_anew_in_each_turn() -> None:
    """A tenant that was given another signer while a request waited for the first is signed by the other."""
    index = indexed([DOOR, covering("foo")])
    async with running(world=index.world, issuer=False) as scene:
        scene.registry.set(ready(BAR))
        put(scene)
        await asyncio.sleep(1)
        assert scene.writer.writes == []
        index.remove_policy("foo")
        other = covering("bar", "foo")
        index.put_policy(other)
        await asyncio.sleep(31)
        chain = x509.load_pem_x509_certificates(scene.writer.writes[0].answer.pem)
        assert chain[-1] == root_of("bar")


@virtual_time
async def test_what_is_confirmed_is_the_route_too() -> None:
    """Before a first certificate the mesh is asked whether the namespace has that signer by that name."""
    world = routed()
    world.confirmed = {}
    async with running(world=world, issuer=False) as scene:
        scene.registry.set(ready(FOO))
        assert scene.mesh is not None
        put(scene)
        await asyncio.sleep(0.005)
        assert scene.metric("waiting_requests", reason=WAITS_FOR_CONFIRMATION) == 1
        world.confirmed[("uid-foo", FOO, "", MESH)] = scene.wall() + timedelta(seconds=9)
        await asyncio.sleep(1)
        assert scene.mesh.asked == [("confirm", "foo", "foo", "uid-foo", "mesh")]
        assert [write.name for write in scene.writer.writes] == ["r"]


@virtual_time
async def test_a_namespace_that_was_not_there_yet() -> None:
    """A request that came before its namespace was known is decided by it once the claims were read again."""
    index = indexed([DOOR, *TENANTS], spaces=[namespace_object("bar")])
    async with running(world=index.world, issuer=False) as scene:
        scene.registry.set(ready(FOO))
        assert scene.mesh is not None
        scene.mesh.on_reread = lambda: index.put_namespace(namespace_object("foo"))
        put(scene)
        await asyncio.sleep(2)
        assert scene.mesh.asked == [("reread", "foo")]
        assert not scene.writer.writes[0].answer.refused


@pytest.mark.parametrize("ours", [True, False])
@virtual_time
async def test_another_replicas_answer_is_not_foreign(ours: bool) -> None:
    """By whichever tenant's CA another replica signed, as young as that may be, it is ours; cert-manager's still is not."""
    young = CA("foo", now=NOW + timedelta(days=1))  # it begins a day before, with this request
    data = young.secret()
    found = load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    states = [replace(ready(), authority=found), ready(BAR), ready(MESH)]
    index = indexed(issuers=states)
    verdict = judge(index.world, states=states)
    assert isinstance(verdict, Issue)
    template = replace(verdict.template, not_before=found.not_before)
    pem = issue(request(), replace(verdict, template=template), serial=7).pem
    async with running(world=index.world, issuer=False, members=("a", "b")) as scene:
        scene.registry.set(ready(MESH))
        scene.put(name="r", uid="r", signer=ASKED, request=workload_csr("foo"), created=NOW, conditions=())
        chain = pem if ours else young.intermediate("leaf", is_ca=False, now=NOW).pem
        seen = encoded(name="r", uid="r", signer=ASKED, certificate=chain, version="9", created=NOW)
        assert scene.intake.read(seen) is None
        assert (scene.metric("foreign_certificates_total", signer=ASKED) or 0) == (0 if ours else 1)
