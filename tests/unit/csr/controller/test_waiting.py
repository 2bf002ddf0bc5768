"""What waits is told once, and goes on by itself."""

import asyncio

import pytest

from signer.authorities.state import PENDING, IssuerState
from signer.csr.outcome import NoKey
from tests.fakes.virtual_time import virtual_time
from tests.pki import csr, key, name
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, SHOP, ready, self_signed, unready

PRIVATE_KEY = "experimental.cert-manager.io/private-key-secret-name"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "IssuerNotFound"),
        (unready(), "IssuerNotReady"),
        (unready(reason="IssuerTypeMissing"), "IssuerTypeMissing"),
    ],
    ids=["missing", "not ready", "no type"],
)
@virtual_time
async def test_goes_on_when_the_issuer_is_ready(state: IssuerState | None, reason: str) -> None:
    """All that wait for an issuer are written as soon as it is ready."""
    async with running(issuer=False) as scene:
        scene.registry.set(state)
        scene.put_many(20)
        await asyncio.sleep(10)
        assert scene.writer.writes == []
        assert scene.metric("waiting_requests", reason=reason) == 20
        scene.registry.set(ready())
        await asyncio.sleep(0.01)
        assert len(scene.writer.writes) == 20
        assert scene.metric("waiting_requests", reason=reason) == 0


@virtual_time
async def test_another_issuers_change_wakes_nobody() -> None:
    """A change of another issuer leaves those that wait alone."""
    async with running(issuer=False) as scene:
        scene.put()
        await asyncio.sleep(1)
        scene.registry.states[FOO] = ready()
        scene.registry.set(ready(SHOP))
        await asyncio.sleep(1)
        assert scene.writer.writes == []


@virtual_time
async def test_looks_again_without_being_told() -> None:
    """Even when no change was seen, what waits looks again twice a minute."""
    async with running(issuer=False) as scene:
        scene.put()
        await asyncio.sleep(1)
        scene.registry.states[FOO] = ready()
        await asyncio.sleep(30)
        assert scene.names == ["request-1"]


@virtual_time
async def test_told_once() -> None:
    """However long a request waits and however often the issuer changes, each reason is one Event."""
    async with running(issuer=False) as scene:
        scene.put()
        await asyncio.sleep(120)
        assert scene.recorder.reasons == ["IssuerNotFound"]
        for round_ in range(5):
            scene.registry.set(unready(message=f"trouble {round_}"))
            await asyncio.sleep(40)
        scene.registry.set(None)
        await asyncio.sleep(40)
        assert scene.recorder.reasons == ["IssuerNotFound", "IssuerNotReady"]
        first, second = scene.recorder.taken
        assert (first.type, first.message) == ("Warning", "Referenced issuer does not exist: ClusterIssuer foo")
        assert second.message == "Referenced issuer does not have a Ready status condition: trouble 0"


@virtual_time
async def test_nothing_is_told_of_a_ca_that_is_being_read() -> None:
    """The moment in which a CA is parsed is not news for a user."""
    async with running(issuer=False) as scene:
        scene.registry.set(unready(reason=PENDING))
        scene.put()
        await asyncio.sleep(1)
        assert scene.recorder.taken == []
        assert scene.metric("waiting_requests", reason=PENDING) == 1


@virtual_time
async def test_a_secret_that_appears() -> None:
    """A self-signed request goes on when its Secret appears, with the key that is in it now."""
    own = key("p256", n=83)
    async with running(issuer=False) as scene:
        scene.registry.set(self_signed())
        scene.questions.script += [NoKey(), own]
        scene.put(request=csr(own, dns=["own.example"], subject=name("own")), annotations={PRIVATE_KEY: "own-key"})
        await asyncio.sleep(1)
        assert scene.recorder.reasons == ["SecretNotFound"]
        assert scene.registry.watched == ["cert-manager"]
        scene.registry.secret_changed("cert-manager", "own-key")
        await asyncio.sleep(0.01)
        assert not scene.writer.writes[0].answer.refused


@virtual_time
async def test_deleted_while_it_waits() -> None:
    """A request that was given up while it waited is not answered, nor counted any more."""
    async with running(issuer=False) as scene:
        scene.put()
        await asyncio.sleep(1)
        scene.reflector.delete("request-1")
        scene.registry.set(ready())
        await asyncio.sleep(60)
        assert scene.writer.writes == []
        assert scene.metric("waiting_requests", reason="IssuerNotFound") == 0


@virtual_time
async def test_an_update_is_looked_at_at_once() -> None:
    """A waiting request that is changed is decided again at once."""
    async with running(issuer=False) as scene:
        scene.registry.set(unready())
        scene.put()
        await asyncio.sleep(1)
        scene.put(version="8", annotations={"experimental.cert-manager.io/request-duration": "1s"})
        await asyncio.sleep(0.1)
        assert scene.writer.writes[0].answer.refused


class TestApproval:
    @virtual_time
    async def test_told_once(self) -> None:
        """A request that nobody approves is told of after five seconds, once, however often it changes."""
        async with running() as scene:
            scene.put(conditions=())
            await asyncio.sleep(4)
            assert scene.recorder.taken == []
            for version in range(8, 14):
                await asyncio.sleep(5)
                scene.put(conditions=(), version=str(version))
            (event,) = scene.recorder.taken
            assert (event.type, event.reason) == ("Warning", "WaitingApproval")
            assert event.message.startswith("Waiting for the Approved condition before issuing: ")
            assert "kubectl certificate approve" in event.message
            assert not event.courtesy

    @virtual_time
    async def test_told_when_there_is_room(self) -> None:
        """What finds no room is told when there is some, once; who has none holds up nobody else."""
        async with running() as scene:
            scene.recorder.full.add("user:busy")
            for number in range(3):
                scene.put(name=f"busy-{number}", uid=f"busy-{number}", conditions=(), username="busy")
            scene.put(name="calm", uid="calm", conditions=(), username="calm")
            await asyncio.sleep(30)
            assert [event.name for event in scene.recorder.taken] == ["calm"]
            scene.put(name="busy-1", uid="busy-1", version="8", username="busy")
            scene.recorder.full.clear()
            await asyncio.sleep(30)
            told = [event.name for event in scene.recorder.taken if event.reason == "WaitingApproval"]
            assert told == ["calm", "busy-0", "busy-2"]

    @virtual_time
    async def test_not_told_when_it_was_approved_in_time(self) -> None:
        """Of a request that is approved within a second, as istiod does it, nobody is told anything."""
        async with running() as scene:
            scene.put(conditions=())
            await asyncio.sleep(1)
            scene.put(version="8")
            await asyncio.sleep(60)
            assert scene.recorder.reasons == ["CertificateIssued"]

    @virtual_time
    async def test_not_told_of_what_is_gone(self) -> None:
        """A request that was deleted or denied waits for nothing."""
        async with running() as scene:
            scene.put(name="deleted", uid="1", conditions=())
            scene.put(name="denied", uid="2", conditions=())
            await asyncio.sleep(1)
            scene.reflector.delete("deleted")
            scene.put(name="denied", uid="2", version="8", conditions=("Denied",))
            await asyncio.sleep(60)
            assert scene.recorder.taken == []


@virtual_time
async def test_waiting_ones_are_in_nobodys_way() -> None:
    """Requests of a broken tenant leave the window to the others."""
    async with running(issuer=False) as scene:
        scene.registry.set(ready(SHOP))
        scene.questions.script += [True]
        scene.put_many(500)
        scene.put(name="shop", uid="shop", signer="issuers.cert-manager.io/shop.ca")
        await asyncio.sleep(1)
        assert scene.names == ["shop"]
