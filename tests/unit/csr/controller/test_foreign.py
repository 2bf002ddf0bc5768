"""Another signer beside us is found by its first certificate, and other replicas of ours are none."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from issuers.authority import load_authority
from issuers.certificate import new_serial
from signer.api.certificatesigningrequest import read_content
from signer.authorities.state import IssuerState
from signer.csr.answers.compose import issue
from signer.csr.evaluate import Circumstances, case_of, evaluate
from signer.csr.foreign import is_ours
from signer.csr.outcome import Answers, Issue
from signer.tenancy.decide import BACKDATE
from signer.tenancy.verdict import Limits
from tests.fakes.virtual_time import virtual_time
from tests.pki import CA
from tests.unit.csr.controller.scene import Scene, running
from tests.unit.csr.crafted import FOO, FOO_SIGNER, NOW, ca, encoded, ready, request, workload
from tests.unit.tenancy.worlds import BAR, binding, world

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
# As cert-manager makes it: a plain leaf of the tenant's CA, from now on.
FOREIGN = ca().intermediate("leaf", is_ca=False, now=NOW).pem


def by_us(issuer: IssuerState | None = None, **options: Any) -> bytes:
    """What a replica of ours would write to the same request: by an issuer as that replica has it, in a world of `options`."""
    mesh = world(bindings=OWNED, **options)
    case = case_of(read_content(request(created=NOW)), FOO, issuer or ready(), Answers(), mesh)
    verdict = evaluate(case, Circumstances(Limits(), mesh, "cert-manager", NOW + timedelta(seconds=3)))
    assert isinstance(verdict, Issue)
    return issue(request(), verdict, serial=new_serial()).pem


def appears(scene: Scene, chain: bytes, **fields: Any) -> None:
    """The watch brings a request with its certificate, as the codec reads it."""
    assert scene.intake.read(encoded(certificate=chain, version="9", created=NOW, **fields)) is None


def count(scene: Scene) -> float:
    return scene.metric("foreign_certificates_total", signer=FOO_SIGNER) or 0


@virtual_time
async def test_found(caplog: pytest.LogCaptureFixture) -> None:
    """A certificate of cert-manager's form on a request that waits here: metric, Event on the issuer, log, not ready."""
    async with running(world=world(bindings=OWNED), members=("a", "b")) as scene:
        scene.put(conditions=())
        appears(scene, FOREIGN)
        assert count(scene) == 1
        (event,) = scene.recorder.of("ClusterIssuer")
        assert (event.name, event.type, event.reason) == ("foo", "Warning", "ForeignCertificate")
        assert f"its certificate of {FOO_SIGNER} was not made by mesh-signer" in caplog.text
        assert FOO_SIGNER in scene.controller.foreign.trouble
        await asyncio.sleep(599)
        assert scene.controller.foreign.trouble
        await asyncio.sleep(2)
        assert scene.controller.foreign.trouble == ""


@virtual_time
async def test_while_we_answer() -> None:
    """Whoever is quicker than our own write is seen, be the answer a certificate or a refusal."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.writer.takes = 1.0
        scene.put()
        await asyncio.sleep(0.5)
        appears(scene, FOREIGN)
        scene.put(name="thief", uid="thief", request=workload("bar"))
        await asyncio.sleep(0.5)
        appears(scene, FOREIGN, name="thief", uid="thief")
        assert count(scene) == 2
        assert len(scene.recorder.of("ClusterIssuer")) == 1


@virtual_time
async def test_after_our_refusal() -> None:
    """A certificate on a request that we have refused is foreign."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.put(request=workload("bar"))
        await scene.until(lambda: scene.writer.writes)
        await asyncio.sleep(1)
        appears(scene, FOREIGN, conditions=("Approved", "Failed"))
        assert count(scene) == 1


@virtual_time
async def test_our_own() -> None:
    """Our own answer coming back by the watch, before or after the write's own answer, is none."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.writer.takes = 1.0
        scene.put(created=NOW)
        await scene.until(lambda: scene.writer.writes)
        appears(scene, scene.writer.writes[0].answer.pem)
        await asyncio.sleep(5)
        appears(scene, scene.writer.writes[0].answer.pem)
        assert count(scene) == 0


@virtual_time
async def test_another_replica() -> None:
    """What another replica of ours has written is none."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.put(conditions=())
        appears(scene, by_us())
        assert count(scene) == 0
        assert scene.controller.foreign.trouble == ""


@pytest.mark.parametrize("arrives", [0.5, 4.0, None], ids=["soon", "late", "never"])
@virtual_time
async def test_another_replica_has_the_renewed_ca_first(arrives: float | None) -> None:
    """A leaf of a CA that we have not seen yet is no stranger's, if that CA comes; without it, it is."""
    began = NOW - timedelta(seconds=30)
    known = ready()
    younger = CA("foo", private=ca().private, now=NOW, not_before=began)
    data = younger.secret()
    made = load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    renewed = replace(known, authority=made)
    chain = by_us(issuer=renewed)
    assert x509.load_pem_x509_certificates(chain)[0].not_valid_before_utc == began
    async with running(world=world(bindings=OWNED), members=("a", "b")) as scene:
        scene.put(conditions=())
        for _ in range(3):
            appears(scene, chain)
        assert count(scene) == 0
        if arrives is not None:
            await asyncio.sleep(arrives)
            scene.registry.set(renewed)
        await asyncio.sleep(10)
        assert count(scene) == (1 if arrives is None else 0)
        assert bool(scene.controller.foreign.trouble) is (arrives is None)


@virtual_time
async def test_a_storm_below_a_renewed_ca() -> None:
    """However many certificates come before the CA that they are below, none is a stranger's when it comes."""
    younger = CA("foo", private=ca().private, now=NOW, not_before=NOW - timedelta(seconds=30))
    data = younger.secret()
    renewed = replace(ready(), authority=load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW))
    chain = by_us(issuer=renewed)
    async with running(world=world(bindings=OWNED), members=("a", "b")) as scene:
        for number in range(600):
            scene.put(conditions=(), name=f"storm-{number}", uid=f"storm-{number}")
            appears(scene, chain, name=f"storm-{number}", uid=f"storm-{number}")
        scene.registry.set(renewed)
        await asyncio.sleep(10)
        assert count(scene) == 0
        assert scene.controller.foreign.trouble == ""


@virtual_time
async def test_nobodys_business() -> None:
    """Signers that are not the mesh's, requests that were answered before we looked, and audit mode are passed over."""
    audit = world(bindings=OWNED)
    settings = type(audit.settings)(mode="audit", audit_until=NOW + timedelta(days=1))
    for around in (world(signers=frozenset(), keys={}), world(bindings=OWNED, settings=settings)):
        async with running(world=around) as scene:
            scene.put(conditions=())
            appears(scene, FOREIGN)
            assert count(scene) == 0
    async with running(world=world(bindings=OWNED)) as scene:
        appears(scene, FOREIGN)
        assert count(scene) == 0


def test_a_certificate_that_begins_with_its_ca_is_ours() -> None:
    """Of a CA younger than two minutes ours begin when it does: another replica must not take them for somebody else's."""
    ours = by_us()
    begin = x509.load_pem_x509_certificates(ours)[0].not_valid_before_utc
    later = begin - timedelta(seconds=30) + BACKDATE
    assert not is_ours(ours, later, begin - timedelta(days=1))
    assert is_ours(ours, later, begin)
    assert not is_ours(ours, later, begin - timedelta(seconds=1))
    assert not is_ours(FOREIGN, NOW, x509.load_pem_x509_certificates(FOREIGN)[0].not_valid_before_utc)


def test_a_ca_that_is_not_known_yet() -> None:
    """A replica that has just started may not know when the CA began: so it does not call another replica's certificate foreign."""
    ours = by_us()
    begin = x509.load_pem_x509_certificates(ours)[0].not_valid_before_utc
    assert is_ours(ours, begin + timedelta(seconds=30), None)
    assert not is_ours(ours, begin - timedelta(seconds=1), None)
    assert not is_ours(FOREIGN, NOW, None)


def test_the_form() -> None:
    """Ours is told by when it begins, its empty subject and its extensions; nonsense is not ours."""
    ours, long_ago = by_us(), NOW - timedelta(days=30)
    assert is_ours(ours, NOW, long_ago)
    assert is_ours(ours + ca().pem, NOW, long_ago)
    assert not is_ours(ours, NOW - timedelta(seconds=1), long_ago)
    assert not is_ours(ours, NOW + timedelta(minutes=30), long_ago)
    assert not is_ours(FOREIGN, NOW, long_ago)
    assert not is_ours(FOREIGN, NOW + timedelta(days=2), long_ago)
    for text in (b"", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", ours[:200], ca().pem):
        assert not is_ours(text, NOW, long_ago)
