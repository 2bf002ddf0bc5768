"""What goes wrong on the way: writes without an answer, conflicts, throttling, failures that nobody foresaw."""

import asyncio

import pytest

from issuers.errors import SigningFailed
from signer.api.certificatesigningrequest import CertificateSigningRequest, read_object
from signer.csr.answers.compose import Answer, issue
from signer.csr.answers.writer import Written
from signer.csr.evaluate import Case, Circumstances, evaluate
from signer.csr.outcome import Issue, Verdict
from signer.observe.audit import Outcome
from signer.tenancy.world import Policy
from tests.fakes.refusals import ANSWERS
from tests.fakes.refusals import Answer as Refusal
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, SHOP, SHOP_SIGNER, encoded, ready, request
from tests.unit.tenancy.worlds import world

UNKNOWN = Written("unknown", "503 ServiceUnavailable: starting")


class TestUnknownOutcome:
    @virtual_time
    async def test_the_very_same_bytes_again(self) -> None:
        """A write whose outcome is unknown is sent again as it was, so that no second certificate comes to be."""
        async with running() as scene:
            scene.writer.script += [UNKNOWN] * 5
            scene.put()
            await scene.until(lambda: len(scene.writer.writes) == 6)
            await asyncio.sleep(60)
            assert len(scene.writer.writes) == 6
            assert len({write.answer.body for write in scene.writer.writes}) == 1
            assert [write.unsure for write in scene.writer.writes] == [False] + [True] * 5

    @virtual_time
    async def test_longer_pauses(self) -> None:
        """The pauses between tries grow to ten seconds at most."""
        async with running() as scene:
            scene.writer.script += [UNKNOWN] * 20
            scene.put()
            await scene.until(lambda: len(scene.writer.writes) == 20)
            times = [write.at for write in scene.writer.writes]
            assert times[1] - times[0] <= 0.11
            assert 4.9 <= times[19] - times[18] <= 10.1

    @virtual_time
    async def test_audited_once(self) -> None:
        """The audit log tells of the doubt once, and of the end."""
        async with running() as scene:
            scene.writer.script += [UNKNOWN] * 5
            scene.put()
            await scene.until(lambda: len(scene.audit) == 3)
            await asyncio.sleep(60)
            assert [(line["audit"], line.get("outcome")) for line in scene.audit] == [
                ("intent", None),
                ("outcome", "unknown"),
                ("outcome", "stored"),
            ]

    @virtual_time
    async def test_changed_meanwhile(self) -> None:
        """When the object changed after a write of unknown outcome, the answer is made anew for what it is now."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "x", retry_after=5.0)]
            scene.put()
            await asyncio.sleep(1)
            scene.put(version="8")
            await asyncio.sleep(1)
            first, second = scene.writer.writes
            assert (second.answer.csr.resource_version, second.unsure) == ("8", False)
            assert first.answer.serial != second.answer.serial

    @virtual_time
    async def test_answered_meanwhile(self) -> None:
        """When the watch shows that the answer is there, nothing is sent again."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "x", retry_after=5.0)]
            scene.put()
            await asyncio.sleep(1)
            scene.reflector.delete("request-1")
            await asyncio.sleep(60)
            assert len(scene.writer.writes) == 1

    @pytest.mark.parametrize("outcome", ["stored", "conflict", "gone"])
    @virtual_time
    async def test_settled(self, outcome: Outcome) -> None:
        """A request that leaves the watch while its answer's outcome is unknown is looked at, until the outcome is known."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "x", retry_after=5.0)]
            scene.writer.settled += [Written("unknown", "x"), Written("unknown", "x"), Written(outcome)]
            scene.put()
            await asyncio.sleep(1)
            scene.reflector.delete("request-1")
            await asyncio.sleep(60)
            assert [line.get("outcome") for line in scene.audit] == [None, "unknown", outcome]

    @virtual_time
    async def test_settled_when_the_watch_was_quicker(self) -> None:
        """A request that leaves the watch while its write is under way is looked at when that write has no known outcome."""
        async with running() as scene:
            scene.writer.script += [UNKNOWN]
            scene.writer.takes = 3.0
            scene.put()
            await asyncio.sleep(1)
            scene.reflector.delete("request-1")
            await asyncio.sleep(60)
            assert [line.get("outcome") for line in scene.audit] == [None, "unknown", "stored"]
            assert len(scene.writer.writes) == 1

    @virtual_time
    async def test_counted_while_it_waits(self) -> None:
        """A request between two tries shows in the gauge of waiting ones."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "x", retry_after=5.0)]
            scene.put()
            await asyncio.sleep(1)
            assert scene.metric("waiting_requests", reason="Retry") == 1
            await asyncio.sleep(10)
            assert scene.metric("waiting_requests", reason="Retry") == 0

    @virtual_time
    async def test_one_line_for_many(self, caplog: pytest.LogCaptureFixture) -> None:
        """An API server that is away for a while is one line in ten seconds, not one for each request."""
        async with running() as scene:
            scene.writer.script += [UNKNOWN] * 10_000
            scene.put_many(100)
            await asyncio.sleep(9)
            assert caplog.text.count("an answer could not be written and will be retried: 503") == 1
            await asyncio.sleep(20)
            assert 1 < caplog.text.count("an answer could not be written and will be retried: 503") <= 3


class TestThrottled:
    @virtual_time
    async def test_halves_the_window(self) -> None:
        """A 429 halves the number of writes that may be under way; the request is written after Retry-After."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "429", retry_after=3.0, throttled=True)]
            scene.put()
            await asyncio.sleep(1)
            assert scene.metric("write_window") == 32
            assert len(scene.writer.writes) == 1
            await asyncio.sleep(3)
            assert len(scene.writer.writes) == 2

    @pytest.mark.heavy
    @virtual_time
    async def test_fewer_at_once(self) -> None:
        """After a 429 no more writes start than the smaller window allows, until it has grown again."""
        async with running() as scene:
            scene.writer.script += [Written("unknown", "429", retry_after=1.0, throttled=True)]
            scene.put(name="first", uid="first")
            await asyncio.sleep(0.5)
            scene.writer.takes = 0.1
            scene.put_many(1000)
            await asyncio.sleep(0.05)
            assert scene.writer.under_way == 32
            await scene.until(lambda: len(scene.writer.writes) == 1002)
            assert (scene.metric("write_window") or 0) > 32


class TestConflict:
    @virtual_time
    async def test_decided_again(self) -> None:
        """When somebody changed the object during the write, it is decided again on what it says now."""
        async with running() as scene:
            scene.writer.script += [Written("conflict", "m", request(version="8", annotations={"a": "b"}))]
            scene.put()
            await asyncio.sleep(1)
            first, second = scene.writer.writes
            assert (first.answer.csr.resource_version, second.answer.csr.resource_version) == ("7", "8")
            assert not second.unsure
            assert [line.get("outcome") for line in scene.audit] == [None, "conflict", None, "stored"]

    @virtual_time
    async def test_denied_meanwhile(self) -> None:
        """When the object was denied during the write there is nothing left to do."""
        async with running() as scene:
            scene.writer.script += [Written("conflict", "m", request(version="8", conditions=("Approved", "Denied")))]
            scene.put()
            await asyncio.sleep(60)
            assert len(scene.writer.writes) == 1

    @virtual_time
    async def test_update_while_writing(self) -> None:
        """An update that the watch shows during a write starts no second write; the conflict will tell."""
        async with running() as scene:
            scene.writer.takes = 2.0
            scene.put()
            await asyncio.sleep(1)
            scene.put(version="8")
            await asyncio.sleep(0.5)
            assert len(scene.writer.writes) == 1
            await asyncio.sleep(60)
            assert len(scene.writer.writes) == 1


class TestInvalid:
    @virtual_time
    async def test_told_and_tried_again(self) -> None:
        """An answer that the API server does not take is told once and made anew, with pauses, not in a loop."""
        async with running() as scene:
            scene.writer.script += [Written("invalid", "422 Invalid: too long")] * 4
            scene.put()
            await scene.until(lambda: len(scene.writer.writes) == 5)
            errors = [event for event in scene.recorder.taken if event.reason == "ErrorUpdate"]
            assert [event.message for event in errors] == [
                "The API server does not take the answer: 422 Invalid: too long"
            ]
            assert len({write.answer.serial for write in scene.writer.writes}) == 5
            assert scene.writer.writes[4].at - scene.writer.writes[3].at > 0.3


class TestUnforeseen:
    @virtual_time
    async def test_a_failing_write(self, caplog: pytest.LogCaptureFixture) -> None:
        """A write that fails in a way that nobody foresaw is logged, tried again, and stops no other."""
        async with running() as scene:
            scene.writer.script += [RuntimeError("boom")]
            scene.put_many(3)
            await asyncio.sleep(1)
            assert scene.names == ["r0", "r1", "r2", "r0"]
            assert scene.metric("in_flight_writes") == 0
        assert "request r0: unforeseen failure; it will be retried" in caplog.text

    @virtual_time
    async def test_a_failing_decision(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """A request that trips the code itself is tried again with pauses, and the others get their certificates."""
        calls: list[str] = []

        def tripping(case: Case, around: Circumstances) -> Verdict:
            calls.append(case.content.username)
            if case.content.username == "eve":
                raise RuntimeError("boom")
            return evaluate(case, around)

        monkeypatch.setattr("signer.csr.controller.evaluate", tripping)
        async with running() as scene:
            scene.put(name="eve", uid="eve", username="eve")
            scene.put_many(3)
            await asyncio.sleep(60)
            assert scene.names == ["r0", "r1", "r2"]
            assert 5 < calls.count("eve") < 30
        assert "request eve: unforeseen failure; it will be retried" in caplog.text

    @virtual_time
    async def test_a_failing_question(self, caplog: pytest.LogCaptureFixture) -> None:
        """A question that fails in a way that nobody foresaw is asked again."""
        async with running() as scene:
            scene.registry.set(ready(SHOP))
            scene.questions.script += [RuntimeError("boom"), True]
            scene.put(signer=SHOP_SIGNER)
            await asyncio.sleep(1)
            assert scene.names == ["request-1"]
        assert "unforeseen failure" in caplog.text

    @virtual_time
    async def test_unreadable_bytes(self, caplog: pytest.LogCaptureFixture) -> None:
        """An object whose inside cannot be read is not answered blindly; it will be retried."""
        # An annotation that is not UTF-8: not read by the watch, only when the request is decided.
        raw = encoded(annotations={"a": "broken"}).replace(b"broken", b"\xff" * 6)
        async with running() as scene:
            scene.reflector.put(read_object(raw))
            scene.put_many(1)
            await asyncio.sleep(1)
            assert scene.names == ["r0"]
            assert scene.metric("waiting_requests", reason="Retry") == 1
        assert "request request-1: the API server's bytes cannot be read: a string is not UTF-8" in caplog.text

    @virtual_time
    async def test_wrong_signatures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signature that is not what was decided is never stored; it is told once and tried again."""
        failures = [SigningFailed("what was signed differs")] * 3

        def failing(csr: CertificateSigningRequest, verdict: Issue, *, serial: int) -> Answer:
            if failures:
                raise failures.pop()
            return issue(csr, verdict, serial=serial)

        monkeypatch.setattr("signer.csr.answers.signing.issue", failing)
        async with running() as scene:
            scene.put()
            await asyncio.sleep(10)
            assert scene.names == ["request-1"]
            assert scene.recorder.reasons == ["SigningError", "CertificateIssued"]
            assert scene.recorder.taken[0].message == "Error signing certificate: what was signed differs"
            assert len(scene.audit) == 2


@virtual_time
async def test_found_again_by_the_sweep() -> None:
    """A request that is in the store, but of which nobody was told, is found within half a minute."""
    async with running() as scene:
        scene.reflector.put(request(), silently=True)
        await asyncio.sleep(1)
        assert scene.names == []
        await asyncio.sleep(31)
        assert scene.names == ["request-1"]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
@virtual_time
async def test_what_the_api_server_refuses(answer: Refusal) -> None:
    """An answer that cannot be written is told on the request and to its tenant: at once, or when it lasts for a minute."""
    policy = Policy("team", frozenset({FOO}), namespaces=frozenset({"foo"}))
    async with running(world=world(policies=(policy,))) as scene:
        scene.writer.script += [Written("unknown", str(answer.error), error=answer.error)] * 1000
        scene.put()
        await asyncio.sleep(30)
        told = [one for one in scene.recorder.taken if one.reason == "WriteFailed"]
        assert bool(told) != answer.lasts
        await asyncio.sleep(90)
        told = [one for one in scene.recorder.taken if one.reason == "WriteFailed"]
        assert {one.kind for one in told} == {"CertificateSigningRequest", "ProxyConfig"}
        assert len(told) == 2
        assert all(answer.words in one.message for one in told)
