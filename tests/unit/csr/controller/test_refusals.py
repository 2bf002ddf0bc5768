"""A refused workload asks for ever: it is told once a minute, in full, and counted always."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from signer.tenancy.world import Roots
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, FOO_SIGNER, ISTIOD, NOW, workload
from tests.unit.tenancy.worlds import BAR, binding, claims, world

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
THIEF = {"request": workload("bar")}


@virtual_time
async def test_the_first_is_told_in_full() -> None:
    """One refusal: condition, two audit lines, an Event on the request and one on the namespace's ProxyConfig."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.put(**THIEF)
        await scene.until(lambda: scene.writer.writes)
        await asyncio.sleep(1)
        assert [(event.kind, event.name, event.namespace, event.reason) for event in scene.recorder.taken] == [
            ("CertificateSigningRequest", "request-1", "", "TenantMismatch"),
            ("ProxyConfig", "barpc", "bar", "TenantMismatch"),
        ]
        assert {event.share for event in scene.recorder.taken} == {"bar"}
        intent, outcome = scene.audit
        assert (intent["audit"], intent["verdict"], intent["requester"]) == ("intent", "refuse", ISTIOD)
        assert intent["identity"] == "spiffe://cluster.local/ns/bar/sa/default"
        assert intent["reasons"][0].startswith("TenantMismatch: ClusterIssuer foo is not for namespace bar")
        assert (outcome["audit"], outcome["outcome"]) == ("outcome", "refused")
        assert scene.metric("refusals_total", signer=FOO_SIGNER, namespace="bar", reason="TenantMismatch") == 1


@virtual_time
async def test_told_on_the_one_that_names_the_signer() -> None:
    """A ProxyConfig for some workloads gets the Events about the signer that it names; other signers' go to the oldest."""
    both = claims(BAR, FOO)
    async with running(world=world(bindings=OWNED, claimed={"foo": claims(FOO), "bar": both})) as scene:
        scene.put(**THIEF)
        await scene.until(lambda: scene.writer.writes)
        await asyncio.sleep(1)
        found = [(event.name, event.reason) for event in scene.recorder.taken if event.kind == "ProxyConfig"]
        assert found == [("foopc", "SignerClaimed")]


@virtual_time
async def test_a_storm_is_summed_up() -> None:
    """A hundred refusals in a minute: a hundred conditions and counts, one set of lines and Events, and a summary."""
    async with running(world=world(bindings=OWNED)) as scene:
        for number in range(100):
            scene.put(name=f"r{number}", uid=f"u{number}", **THIEF)
            await asyncio.sleep(0.3)
        await scene.until(lambda: len(scene.writer.writes) == 100)
        assert all(write.answer.refused for write in scene.writer.writes)
        assert scene.metric("refusals_total", signer=FOO_SIGNER, namespace="bar", reason="TenantMismatch") == 100
        assert [line["audit"] for line in scene.audit] == ["intent", "outcome"]
        assert len(scene.recorder.taken) == 2
        await asyncio.sleep(60)
        summary = scene.audit[-1]
        assert {key: value for key, value in summary.items() if key != "time"} == {
            "audit": "summary",
            "verdict": "refuse",
            "signer": FOO_SIGNER,
            "namespace": "bar",
            "reasons": ["TenantMismatch"],
            "count": 99,
        }
        (told,) = [event for event in scene.recorder.taken if event.message.startswith("99 more requests")]
        assert (told.kind, told.name) == ("ProxyConfig", "barpc")
        assert len(scene.audit) == 3


@virtual_time
async def test_waiting_is_told_as_refusing_is(caplog: pytest.LogCaptureFixture) -> None:
    """Of a hundred that wait: an Event on each, one on the ProxyConfig, one line in the log and the audit log; all count."""
    caplog.set_level("INFO")
    waits = world(bindings=OWNED, roots={FOO: Roots(frozenset({"another"}))})
    async with running(world=waits) as scene:
        for number in range(100):
            scene.put(name=f"r{number}", uid=f"u{number}")
        await asyncio.sleep(50)
        assert scene.writer.writes == []
        (told,) = [event for event in scene.recorder.taken if event.kind == "ProxyConfig"]
        assert (told.namespace, told.name, told.reason) == ("foo", "foopc", "RootMismatch")
        assert len(scene.recorder.taken) == 101
        (line,) = scene.audit
        assert (line["audit"], line["verdict"], line["signer"], line["namespace"]) == (
            "wait",
            "wait",
            FOO_SIGNER,
            "foo",
        )
        assert line["reasons"][0].startswith("RootMismatch: ")
        (logged,) = [record.getMessage() for record in caplog.records if "waits" in record.getMessage()]
        assert logged.startswith("request r0 for ClusterIssuer foo of namespace foo waits: RootMismatch: ")
        assert scene.metric("waits_total", signer=FOO_SIGNER, namespace="foo", reason="RootMismatch") == 100
        await asyncio.sleep(20)
        assert any(
            "99 more requests for ClusterIssuer foo of namespace foo had to wait" in one for one in caplog.messages
        )
        assert len(scene.audit) == 1


@virtual_time
async def test_the_next_minute_begins_anew() -> None:
    """After a minute the next refusal is told in full again."""
    async with running(world=world(bindings=OWNED)) as scene:
        for number in range(3):
            scene.put(name=f"r{number}", uid=f"u{number}", **THIEF)
            await asyncio.sleep(62)
        assert [line["audit"] for line in scene.audit] == ["intent", "outcome"] * 3


@virtual_time
async def test_a_namespace_without_a_proxy_config() -> None:
    """Where a namespace claims nothing, the Event is on the issuer."""
    async with running(world=world(claimed={"foo": claims(FOO)}, bindings=OWNED)) as scene:
        scene.put(**THIEF)
        await asyncio.sleep(2)
        (event,) = scene.recorder.of("ClusterIssuer")
        assert (event.name, event.reason, event.type) == ("foo", "TenantMismatch", "Warning")


@virtual_time
async def test_a_namespace_that_does_not_exist_is_no_label() -> None:
    """What nobody has verified becomes neither a label nor a queue."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.put(request=workload("nowhere"))
        await asyncio.sleep(2)
        assert scene.metric("refusals_total", signer=FOO_SIGNER, namespace="", reason="NamespaceNotFound") == 1


@virtual_time
async def test_others_are_told_each() -> None:
    """Refusals that have nothing to do with the mesh are told as ever, one by one."""
    async with running(world=world(bindings=OWNED, signers=frozenset(), keys={})) as scene:
        for number in range(5):
            scene.put(name=f"r{number}", uid=f"u{number}", username="eve", expiration=5)
        await asyncio.sleep(2)
        assert len(scene.audit) == 10
        assert len(scene.recorder.taken) == 5


@virtual_time
async def test_audit_mode() -> None:
    """What enforcing would refuse is issued, counted, and told in the audit log with all that would have been said."""
    audit = replace(world().settings, mode="audit", audit_until=NOW + timedelta(days=1))
    async with running(world=world(bindings=OWNED, settings=audit)) as scene:
        scene.put(**THIEF)
        await asyncio.sleep(2)
        assert not scene.writer.writes[0].answer.refused
        assert scene.metric("would_refuse_total", signer=FOO_SIGNER, namespace="bar", reason="TenantMismatch") == 1
        assert scene.metric("refusals_total", signer=FOO_SIGNER, namespace="bar", reason="TenantMismatch") is None
        assert scene.audit[0]["wouldRefuse"][0].startswith("TenantMismatch: ")


@virtual_time
async def test_the_grant_is_audited() -> None:
    """An issued line says for which namespace, and where the grant comes from."""
    async with running(world=world(bindings=OWNED)) as scene:
        scene.put()
        await asyncio.sleep(2)
        line = scene.audit[0]
        assert (line["namespace"], line["identity"]) == ("foo", "spiffe://cluster.local/ns/foo/sa/default")
        assert line["source"] == "SignerBinding foo, claimed by ProxyConfig foopc"
        assert scene.metric("issued_total", signer=FOO_SIGNER, namespace="foo") == 1
