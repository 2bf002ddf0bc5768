"""Each approved request of ours is answered once."""

import asyncio
from datetime import timedelta

import pytest
from cryptography import x509

from signer.csr.answers.writer import Written
from signer.csr.queue.intake import is_ours
from tests.fakes.virtual_time import virtual_time
from tests.pki import spiffe
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, FOO_SIGNER, ISTIOD, NOW, SHOP_SIGNER, authority, ca, ready, request


@virtual_time
async def test_one_request_one_write() -> None:
    """An approved request is signed by its issuer's CA and written once."""
    async with running() as scene:
        scene.put()
        await asyncio.sleep(60)
        (write,) = scene.writer.writes
        assert not write.unsure
        (leaf,) = x509.load_pem_x509_certificates(write.answer.pem)
        leaf.verify_directly_issued_by(ca().certificate)
        assert leaf.not_valid_before_utc - NOW < timedelta(seconds=1)
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="issued") == 1
        assert scene.metric("request_duration_seconds_count", signer=FOO_SIGNER) == 1
        assert scene.metric("in_flight_writes") == 0
        assert scene.metric("queue_length") == 0
        assert scene.recorder.reasons == ["CertificateIssued"]
        assert scene.recorder.taken[0].courtesy


@pytest.mark.heavy
@virtual_time
async def test_all_of_a_burst() -> None:
    """Five hundred requests make five hundred writes with as many serial numbers, never more at once than allowed."""
    async with running() as scene:
        scene.writer.takes = 0.5
        scene.put_many(500)
        await scene.until(lambda: len(scene.writer.writes) == 500)
        await asyncio.sleep(60)
        assert sorted(scene.names) == sorted(f"r{n}" for n in range(500))
        assert len({write.answer.serial for write in scene.writer.writes}) == 500
        assert scene.writer.most_under_way == 64


@virtual_time
async def test_refused() -> None:
    """What can never be issued gets its condition, an Event, a metric and its audit lines."""
    async with running() as scene:
        scene.put(expiration=5)
        await asyncio.sleep(60)
        (write,) = scene.writer.writes
        assert write.answer.refused
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="refused") == 1
        assert scene.metric("refusals_total", signer=FOO_SIGNER, namespace="", reason="InvalidDuration") == 1
        (event,) = scene.recorder.taken
        assert (event.type, event.reason) == ("Warning", "InvalidDuration")
        assert event.message.startswith("CertificateSigningRequest minimum allowed duration is 10m0s")
        assert [(line["audit"], line["verdict"]) for line in scene.audit] == [
            ("intent", "refuse"),
            ("outcome", "refuse"),
        ]


@virtual_time
async def test_left_alone() -> None:
    """A request that is not approved, is denied, has failed, has its certificate or is another's is not touched."""
    async with running() as scene:
        scene.put(name="new", uid="1", conditions=())
        scene.put(name="denied", uid="2", conditions=("Approved", "Denied"))
        scene.put(name="failed", uid="3", conditions=("Approved", "Failed"))
        scene.put(name="issued", uid="4", certificate=b"x")
        scene.put(name="other", uid="5", signer="kubernetes.io/kube-apiserver-client")
        await asyncio.sleep(300)
        assert scene.writer.writes == []


@virtual_time
async def test_approved_later() -> None:
    """A request is answered as soon as it is approved."""
    async with running() as scene:
        scene.put(conditions=())
        await asyncio.sleep(2)
        scene.put(version="8")
        await asyncio.sleep(0.1)
        assert scene.names == ["request-1"]
        assert scene.writer.writes[0].answer.csr.resource_version == "8"


@virtual_time
async def test_a_new_request_of_the_same_name() -> None:
    """A request that was deleted and made again is another request."""
    async with running() as scene:
        scene.put()
        await asyncio.sleep(1)
        scene.put(uid="uid-2", version="20")
        await asyncio.sleep(1)
        assert [write.answer.csr.uid for write in scene.writer.writes] == ["uid-1", "uid-2"]


@virtual_time
async def test_deleted_before_its_turn() -> None:
    """A request that istiod gave up is not answered."""
    async with running(synced=False) as scene:
        scene.put()
        scene.reflector.delete("request-1")
        scene.registry.synced.set()
        await asyncio.sleep(60)
        assert scene.writer.writes == []


@virtual_time
async def test_nothing_before_the_issuers_are_known() -> None:
    """Before the first sync of the issuers nobody is told that an issuer does not exist."""
    async with running(synced=False, issuer=False) as scene:
        scene.put()
        await asyncio.sleep(60)
        assert scene.recorder.taken == []
        scene.registry.states[FOO] = ready()
        scene.registry.synced.set()
        await asyncio.sleep(1)
        assert scene.names == ["request-1"]


@pytest.mark.heavy
@virtual_time
async def test_a_large_rsa_key_signs_off_the_loop() -> None:
    """With an RSA-4096 CA the loop goes on turning while a thread signs; the answer is the same."""
    async with running(issuer=False) as scene:
        scene.registry.set(ready(kind="rsa4096"))
        scene.put()
        await scene.until(lambda: scene.writer.writes)
        (write,) = scene.writer.writes
        (leaf,) = x509.load_pem_x509_certificates(write.answer.pem)
        leaf.verify_directly_issued_by(ca("foo", "rsa4096").certificate)
        assert write.audited == 1


@virtual_time
async def test_gone_and_conflict_are_normal() -> None:
    """A request that its requester deleted, or another replica answered, ends quietly."""
    async with running() as scene:
        scene.writer.script += [Written("gone"), Written("conflict", "m", request(version="8", certificate=b"x"))]
        scene.put_many(2)
        await asyncio.sleep(60)
        assert scene.names == ["r0", "r1"]
        assert scene.recorder.taken == []
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="gone") == 1
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="conflict") == 1
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="issued") is None


@virtual_time
async def test_unknown_signers_share_one_label() -> None:
    """A name that no issuer has becomes no label: whoever makes requests does not make series."""
    async with running() as scene:
        scene.writer.script += [Written("gone")]
        scene.put()
        scene.registry.states.clear()
        await asyncio.sleep(1)
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="gone") is None
        scene.registry.set(ready())
        await asyncio.sleep(1)
        assert scene.metric("requests_total", signer=FOO_SIGNER, outcome="gone") == 1


def test_is_ours() -> None:
    """The watch keeps only what is unanswered and of our two signer domains."""
    assert is_ours(request())
    assert is_ours(request(conditions=()))
    assert is_ours(request(signer=SHOP_SIGNER))
    assert not is_ours(request(certificate=b"x"))
    assert not is_ours(request(conditions=("Denied",)))
    assert not is_ours(request(conditions=("Approved", "Failed")))
    assert not is_ours(request(signer="kubernetes.io/kubelet-serving"))


class TestAudit:
    @virtual_time
    async def test_intent_before_the_write(self) -> None:
        """When a write begins its intent is on the disk already; the outcome follows it."""
        async with running() as scene:
            scene.put_many(3)
            await asyncio.sleep(1)
            for number, write in enumerate(scene.writer.writes):
                intents = [line["uid"] for line in scene.audit[: write.audited] if line["audit"] == "intent"]
                assert write.answer.csr.uid in intents, number
            assert sorted((line["uid"], line["audit"]) for line in scene.audit) == [
                (f"u{n}", kind) for n in range(3) for kind in ("intent", "outcome")
            ]

    @virtual_time
    async def test_what_they_tell(self) -> None:
        """Two lines tell who got what from which key, and that it was stored."""
        async with running() as scene:
            scene.put()
            await asyncio.sleep(1)
            intent, outcome = scene.audit
            assert intent == {
                "time": "2026-11-22T12:00:00.000Z",
                "audit": "intent",
                "uid": "uid-1",
                "name": "request-1",
                "verdict": "issue",
                "signer": FOO_SIGNER,
                "requester": ISTIOD,
                "identity": spiffe("foo"),
                "names": ["subject:O=", f"uri:{spiffe('foo')}"],
                "serial": f"{scene.writer.writes[0].answer.serial:x}",
                "lifetime": 86400,
                "caKey": authority().key_id,
            }
            assert outcome == {**intent, "audit": "outcome", "outcome": "stored", "time": outcome["time"]}
