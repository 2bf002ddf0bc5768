"""What the wall asks for is asked once for all, and what it cannot decide yet waits: never refused, never issued."""

import asyncio
from dataclasses import replace
from unittest.mock import patch

import pytest

from signer.kube.errors import Forbidden, Unreachable
from signer.tenancy.world import Policy, Roots
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.mesh_scene import BAR_SIGNER, OWNED
from tests.unit.csr.controller.scene import Scene, running
from tests.unit.csr.crafted import FOO, ready, workload
from tests.unit.tenancy.worlds import BAR, binding, claims, recorded, world


def thief(scene: Scene, number: int = 0, namespace: str = "bar") -> None:
    """A workload of another tenant asks for foo's signer."""
    scene.put(name=f"t{number}", uid=f"t{number}", request=workload(namespace))


class TestReread:
    @virtual_time
    async def test_before_a_refusal(self) -> None:
        """A thief is refused only after his namespace's claims were read live; an honest request costs no read."""
        async with running(world=world(bindings=OWNED)) as scene:
            assert scene.mesh is not None
            scene.put()
            await scene.until(lambda: scene.writer.writes)
            assert scene.mesh.asked == []
            assert scene.mesh.told_issued == [(FOO, "foo")]
            thief(scene)
            await scene.until(lambda: len(scene.writer.writes) == 2)
            assert scene.mesh.asked == [("reread", "bar")]
            assert scene.writer.writes[1].answer.refused
            assert len(scene.mesh.told_issued) == 1
            assert (scene.mesh.told_policies, scene.mesh.told_refused) == ([""], [FOO])

    @virtual_time
    async def test_a_claim_that_the_watch_has_not_brought_yet(self) -> None:
        """A ProxyConfig and a Pod that were applied together: the live read finds the claim, and nobody is refused."""
        async with running(world=world(claimed={}, bindings=OWNED)) as scene:
            assert scene.mesh is not None
            mesh = scene.mesh
            mesh.on_reread = lambda: mesh.world.claims.update(foo=claims(FOO))
            scene.put()
            await scene.until(lambda: scene.writer.writes)
            assert not scene.writer.writes[0].answer.refused

    @pytest.mark.heavy
    @virtual_time
    async def test_a_storm_costs_one_read_a_second(self) -> None:
        """Five hundred refused requests of one namespace within ten seconds cost some ten reads, and all are refused."""
        async with running(world=world(bindings=OWNED)) as scene:
            assert scene.mesh is not None
            for number in range(500):
                thief(scene, number)
                await asyncio.sleep(0.02)
            await scene.until(lambda: len(scene.writer.writes) == 500)
            assert len(scene.mesh.asked) <= 13
            assert all(write.answer.refused for write in scene.writer.writes)
            assert all(b - a > 0.99 for a, b in zip(scene.mesh.times, scene.mesh.times[1:], strict=False))

    @virtual_time
    async def test_a_read_counts_for_those_before_it(self) -> None:
        """A request that comes while a read is under way is decided by the next one: its claim may be younger."""
        async with running(world=world(bindings=OWNED)) as scene:
            assert scene.mesh is not None
            scene.mesh.takes = 0.5
            thief(scene, 1)
            await asyncio.sleep(0.2)
            thief(scene, 2)
            await scene.until(lambda: len(scene.writer.writes) == 2)
            assert len(scene.mesh.asked) == 2

    @virtual_time
    async def test_few_at_once(self) -> None:
        """However many namespaces are refused at once, four reads are under way at most, and writes go on."""
        names = tuple(f"ns-{n}" for n in range(40))
        async with running(world=world(bindings=OWNED, namespaces=("foo", *names))) as scene:
            assert scene.mesh is not None
            scene.mesh.takes = 1.0
            for number, namespace in enumerate(names):
                thief(scene, number, namespace)
            await asyncio.sleep(0.1)
            scene.put(name="honest", uid="honest")
            await scene.until(lambda: scene.names == ["honest"], 0.3)
            await scene.until(lambda: len(scene.writer.writes) == 41)
            assert scene.mesh.most_at_once == 4

    @pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "no"), Unreachable("nobody there"), KeyError("x")])
    def test_a_read_that_fails(self, error: Exception) -> None:
        """What could not be read is tried again, and leads neither to a refusal nor to a certificate meanwhile."""

        @virtual_time
        async def scenario() -> None:
            async with running(world=world(bindings=OWNED)) as scene:
                assert scene.mesh is not None

                def fail() -> None:
                    raise error

                scene.mesh.on_reread = fail
                thief(scene)
                await asyncio.sleep(30)
                assert scene.writer.writes == []
                assert 3 < len(scene.mesh.asked) < 20
                scene.mesh.on_reread = lambda: None
                await scene.until(lambda: scene.writer.writes)
                assert scene.writer.writes[0].answer.refused

        scenario()

    @virtual_time
    async def test_deleted_meanwhile(self) -> None:
        """A request that goes away while its namespace is read is forgotten."""
        async with running(world=world(bindings=OWNED)) as scene:
            assert scene.mesh is not None
            thief(scene)
            await scene.until(lambda: scene.mesh and scene.mesh.asked)
            scene.reflector.delete("t0")
            await asyncio.sleep(60)
            assert scene.writer.writes == []
            assert scene.metric("waiting_requests", reason="ReadingClaims") == 0

    @virtual_time
    async def test_draining_waits_for_it(self) -> None:
        """A replica that ends answers also what it is asking about."""
        async with running(world=world(bindings=OWNED)) as scene:
            assert scene.mesh is not None
            scene.mesh.takes = 1.0
            thief(scene)
            await scene.until(lambda: scene.mesh and scene.mesh.asked)
            await scene.controller.drain()
            assert scene.names == ["t0"]


class TestBind:
    @pytest.mark.heavy
    @virtual_time
    async def test_stored_before_it_is_issued(self) -> None:
        """The first of a tenant's workloads waits until its namespace owns the signer; all of them share one store."""
        async with running(world=world()) as scene:
            assert scene.mesh is not None
            mesh = scene.mesh
            mesh.on_bind = lambda: mesh.world.bindings.update({FOO: binding(FOO, "foo")})
            scene.put_many(100)
            await scene.until(lambda: len(scene.writer.writes) == 100)
            assert mesh.asked == [("bind", "foo", "foo", "uid-foo")]
            assert mesh.told_issued == [(FOO, "foo")] * 100

    @virtual_time
    async def test_somebody_else_was_first(self) -> None:
        """Whoever is second is refused, after his claim was read once more."""
        async with running(world=world(claimed={"shop": claims(FOO), "foo": claims(FOO)})) as scene:
            assert scene.mesh is not None
            mesh = scene.mesh
            mesh.on_bind = lambda: mesh.world.bindings.update({FOO: binding(FOO, "shop")})
            scene.put()
            await scene.until(lambda: scene.writer.writes)
            assert scene.writer.writes[0].answer.refused
            assert [asked[0] for asked in mesh.asked] == ["bind", "reread"]
            assert scene.recorder.reasons[0] == "SignerClaimed"

    @virtual_time
    async def test_cannot_be_stored(self) -> None:
        """Without its owner stored nothing is issued, however often it is asked for."""
        async with running(world=world()) as scene:
            assert scene.mesh is not None

            def fail() -> None:
                raise Unreachable("nobody there")

            scene.mesh.on_bind = fail
            scene.put_many(20)
            await asyncio.sleep(60)
            assert scene.writer.writes == []
            assert len(scene.mesh.asked) < 70

    @virtual_time
    async def test_never_stored_is_told(self) -> None:
        """Without the right to store owners each request says so once, and we are not ready until one could be stored."""
        async with running(world=world()) as scene:
            assert scene.mesh is not None
            mesh = scene.mesh

            def fail() -> None:
                raise Forbidden(403, "Forbidden", "signerbindings is forbidden")

            mesh.on_bind = fail
            scene.put_many(3)
            await asyncio.sleep(2)
            assert (scene.recorder.reasons, scene.controller.waiting.trouble) == ([], "")
            await asyncio.sleep(60)
            assert scene.recorder.reasons == ["InquiryFailed"] * 4  # on each, and once on the ProxyConfig
            trouble = scene.controller.waiting.trouble
            assert trouble.startswith("the owner of ClusterIssuer foo (namespace foo) cannot be stored: ")
            assert "signerbindings is forbidden" in trouble
            mesh.on_bind = lambda: mesh.world.bindings.update({FOO: binding(FOO, "foo")})
            await scene.until(lambda: len(scene.writer.writes) == 3)
            assert scene.controller.waiting.trouble == ""

    @virtual_time
    async def test_trouble_ends_with_those_who_asked(self) -> None:
        """When nobody asks any more, what failed a minute ago keeps nobody unready."""
        async with running(world=world()) as scene:
            assert scene.mesh is not None

            def fail() -> None:
                raise Unreachable("nobody there")

            scene.mesh.on_bind = fail
            scene.put()
            await asyncio.sleep(60)
            assert scene.controller.waiting.trouble
            for csr in tuple(scene.reflector.store.values()):
                scene.reflector.delete(csr.name)
            await asyncio.sleep(70)
            assert scene.controller.waiting.trouble == ""


class TestUnready:
    @virtual_time
    async def test_waits_for_the_first_sync(self) -> None:
        """Before the mesh was read nothing is decided, no live read is made, and all goes on when it was."""
        async with running(world=world(bindings=OWNED, unsynced="ProxyConfigs")) as scene:
            assert scene.mesh is not None
            scene.put_many(3)
            await asyncio.sleep(20)
            assert scene.writer.writes == []
            assert scene.mesh.asked == []
            assert scene.metric("waiting_requests", reason="MeshNotRead") == 3
            assert scene.recorder.taken == []
            scene.mesh.world.unsynced = ""
            scene.mesh.changed()
            await scene.until(lambda: len(scene.writer.writes) == 3, 1)

    @virtual_time
    async def test_without_being_told(self) -> None:
        """What waits for the mesh is looked at again after half a minute in any case."""
        async with running(world=world(bindings=OWNED, unsynced="ProxyConfigs")) as scene:
            assert scene.mesh is not None
            scene.put()
            await asyncio.sleep(1)
            scene.mesh.world.unsynced = ""
            await scene.until(lambda: scene.writer.writes, 31)

    @virtual_time
    async def test_stale(self) -> None:
        """A source that was not heard of for five minutes gives no new grant."""
        async with running(world=world(bindings=OWNED, stale=frozenset({"ProxyConfigs"}))) as scene:
            assert scene.mesh is not None
            scene.put()
            await asyncio.sleep(60)
            assert scene.writer.writes == []
            assert scene.recorder.reasons == ["MeshStateStale"] * 2  # on the request and on the ProxyConfig
            scene.mesh.world.stale = frozenset()
            scene.mesh.changed()
            await scene.until(lambda: scene.writer.writes, 1)

    @virtual_time
    async def test_a_policy_without_a_record(self) -> None:
        """Until a policy's status says which namespace its names mean, requests wait; then they go on within a second."""
        policy = Policy("p", frozenset({FOO}), frozenset({"foo"}))
        async with running(world=world()) as scene:
            assert scene.mesh is not None
            scene.mesh.world.policies[FOO] = (policy,)
            scene.put()
            await asyncio.sleep(60)
            assert scene.writer.writes == []
            assert scene.recorder.reasons == ["NamespaceNotRecorded"] * 2
            scene.mesh.world.policies[FOO] = (recorded(policy),)
            scene.mesh.changed()
            await scene.until(lambda: scene.writer.writes, 1)
            assert not scene.writer.writes[0].answer.refused

    @virtual_time
    async def test_never_read(self) -> None:
        """A mesh that cannot be read is told to those who wait for it, once they have waited for long."""
        async with running(world=world(bindings=OWNED, unsynced="SignerBindings")) as scene:
            scene.put()
            await asyncio.sleep(100)
            assert scene.recorder.reasons == ["MeshNotRead"] * 2

    @virtual_time
    async def test_a_ca_that_waits_for_an_admin(self) -> None:
        """What tenants change costs nothing for those who wait for the mesh config; its change is noticed at once."""
        waits = world(bindings=OWNED, roots={FOO: Roots(frozenset({"another"}))})
        async with running(world=waits) as scene:
            assert scene.mesh is not None
            scene.put()
            await asyncio.sleep(1)
            with patch.object(scene.registry, "get", wraps=scene.registry.get) as looked:
                for _ in range(20):
                    scene.mesh.changed()
                    await asyncio.sleep(1)
                assert looked.call_count == 0
            scene.mesh.world.roots = {}
            scene.mesh.world.config = replace(scene.mesh.world.config)
            scene.mesh.changed()
            await scene.until(lambda: scene.writer.writes, 1)

    @pytest.mark.heavy
    @virtual_time
    async def test_fair_after_the_first_sync(self) -> None:
        """Requests that came before any namespace was known stand in their tenants' queues afterwards."""
        async with running(world=world(bindings=OWNED, unsynced="Namespaces", namespaces=())) as scene:
            assert scene.mesh is not None
            scene.registry.set(ready(BAR))
            scene.put_many(200)
            scene.put(name="bar", uid="bar", request=workload("bar"), signer=BAR_SIGNER)
            await asyncio.sleep(1)
            scene.mesh.world.namespaces.update(world().namespaces)
            scene.mesh.world.unsynced = ""
            scene.mesh.changed()
            await scene.until(lambda: scene.writer.writes)
            await asyncio.sleep(0.01)
            assert "bar" in scene.names[:2]
