"""A write's outcome is a value, whatever an API server or a network does."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from signer.api.certificatesigningrequest import with_certificate
from signer.csr.answers.compose import Answer, refuse
from signer.csr.answers.writer import Writer, Written
from signer.csr.outcome import Issue
from signer.kube.client import ApiClient
from signer.tenancy.verdict import Reason, Refuse
from tests.fakes.apiserver import FakeApiServer, Reply, status
from tests.fakes.envelopes import wrap
from tests.unit.csr.crafted import NOW, encoded, request
from tests.unit.pods.crafted import request as pod_request

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER = PEM.replace(b"AAAA", b"BBBB")
CONFLICT = status(409, "Conflict", "the object has been modified")
PROTOBUF = "application/vnd.kubernetes.protobuf"


def certificate() -> Answer:
    csr = request()
    # The verdict behind a certificate is nothing to the writer.
    return Answer(csr, Issue(None, None, None), with_certificate(csr, PEM), PEM)  # type: ignore[arg-type]


def refusal(code: str = "SigningError", words: str = "no", now: datetime = NOW) -> Answer:
    return refuse(request(), Refuse((Reason(code, words),)), requester="", now=now)


def denial(code: str = "SigningError", words: str = "no", now: datetime = NOW) -> Answer:
    return refuse(pod_request(), Refuse((Reason(code, words),)), requester="", now=now)


def stored(**fields: object) -> Reply:
    """Answer a GET with the object as it is now."""
    return Reply(body=wrap("certificates.k8s.io/v1", "CertificateSigningRequest", encoded(**fields)))  # type: ignore[arg-type]


async def write(answer: Answer, *replies: Reply, unsure: bool = False) -> tuple[Written, FakeApiServer]:
    async with FakeApiServer(others=list(replies)) as server, ApiClient(server.config) as client:
        written = await Writer(client).write(answer, unsure=unsure)
        assert not server.others, "more was scripted than asked for"
        assert not server.unexpected
    return written, server


async def test_one_put_to_status() -> None:
    """An answer is one PUT of exactly its bytes to /status, and only metadata is wanted back."""
    answer = certificate()
    written, server = await write(answer, Reply())
    assert written == Written("stored")
    (put,) = server.seen
    assert (put.method, put.path) == (
        "PUT",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests/request-1/status",
    )
    assert put.body == answer.body
    assert put.headers["Content-Type"] == PROTOBUF
    assert put.headers["Accept"].startswith(f"{PROTOBUF};as=PartialObjectMetadata")


async def test_a_refusal_is_refused() -> None:
    """A refusal that was stored is told apart from a certificate that was."""
    assert (await write(refusal(), Reply()))[0] == Written("refused")


@pytest.mark.parametrize(
    ("reply", "written"),
    [
        (status(404, "NotFound"), Written("gone")),
        (status(422, "Invalid", "bad"), Written("invalid", "422 Invalid: bad")),
        (status(400, "BadRequest", "bad"), Written("invalid", "400 BadRequest: bad")),
        (status(413, "TooLarge", "big"), Written("invalid", "413 TooLarge: big")),
        (status(401, "Unauthorized", "who"), Written("unknown", "401 Unauthorized: who")),
        (status(403, "Forbidden", "rbac"), Written("unknown", "403 Forbidden: rbac")),
        (status(408, "Timeout", "slow"), Written("unknown", "408 Timeout: slow")),
        (status(500, "InternalError", "x"), Written("unknown", "500 InternalError: x")),
        (
            status(503, "ServiceUnavailable", "x", headers={"Retry-After": "3"}),
            Written("unknown", "503 ServiceUnavailable: x", retry_after=3.0),
        ),
        (
            status(429, "TooManyRequests", "x", headers={"Retry-After": "2"}),
            Written("unknown", "429 TooManyRequests: x", retry_after=2.0, throttled=True),
        ),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
async def test_answers_of_the_api_server(reply: Reply, written: Written) -> None:
    """What may end by itself is unknown and tried again; what never will is invalid; 429 throttles."""
    assert (await write(certificate(), reply))[0] == written


async def test_no_answer() -> None:
    """Without an answer nobody knows whether the write happened."""
    async with FakeApiServer() as server, ApiClient(server.config) as client:
        await server._runner.cleanup()
        written = await Writer(client).write(certificate())
    assert written.outcome == "unknown"
    assert not written.throttled


class TestConflict:
    async def test_the_object_now(self) -> None:
        """A conflict gives the object as it is now, to decide anew."""
        written, server = await write(certificate(), CONFLICT, stored(version="8"))
        assert written == Written("conflict", "409 Conflict: the object has been modified", request(version="8"))
        get = server.seen[1]
        assert (get.method, get.path) == ("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests/request-1")
        assert get.headers["Accept"] == PROTOBUF

    @pytest.mark.parametrize("make", [certificate, refusal, denial])
    async def test_our_own_earlier_write(self, make: Callable[[], Answer]) -> None:
        """After an unknown outcome a conflict with our own answer means that it was stored the first time."""
        answer = make()
        written, _ = await write(answer, CONFLICT, Reply(body=answer.body), unsure=True)
        assert written.outcome == ("refused" if answer.refused else "stored")
        assert written.message == "stored by an earlier write whose outcome was unknown"

    @pytest.mark.parametrize(
        ("make", "now"),
        [
            (certificate, {"certificate": OTHER}),
            (certificate, {"conditions": ("Approved", "Failed")}),
            (refusal, {"certificate": PEM}),
            (refusal, {"conditions": ("Approved", "Failed")}),
            (certificate, {}),
        ],
        ids=["another certificate", "failed", "issued", "failed without a word", "unanswered"],
    )
    async def test_somebody_elses(self, make: Callable[[], Answer], now: dict[str, object]) -> None:
        """Another's answer is a conflict, also after an unknown outcome."""
        written, _ = await write(make(), CONFLICT, stored(version="8", **now), unsure=True)
        assert written.outcome == "conflict"

    @pytest.mark.parametrize("make", [refusal, denial])
    @pytest.mark.parametrize("theirs", [{"code": "Other"}, {"words": "never"}, {"now": NOW + timedelta(seconds=1)}])
    async def test_somebody_elses_refusal(self, make: Callable[..., Answer], theirs: dict[str, Any]) -> None:
        """Refused by another, for another cause, in other words or at another time: ours was never stored."""
        reply = Reply(body=make(**theirs).body)
        written, _ = await write(make(), CONFLICT, reply, unsure=True)
        assert written.outcome == "conflict"

    async def test_the_same_bytes_without_doubt(self) -> None:
        """Without an earlier write of ours a conflict is a conflict, whatever the object says."""
        written, _ = await write(certificate(), CONFLICT, stored(version="8", certificate=PEM))
        assert written.outcome == "conflict"

    @pytest.mark.parametrize(
        ("reply", "outcome"),
        [
            (status(404, "NotFound"), "gone"),
            (stored(uid="another", version="9"), "gone"),
            (status(500, "InternalError"), "unknown"),
            (Reply(body=b"k8s\x00\x12\x7f"), "unknown"),
            (Reply(body=b"{}"), "unknown"),
        ],
        ids=["deleted", "replaced by its namesake", "failing", "damaged", "not protobuf"],
    )
    async def test_looking_fails(self, reply: Reply, outcome: str) -> None:
        """A request that is gone is gone; one that cannot be read is tried again."""
        assert (await write(certificate(), CONFLICT, reply))[0].outcome == outcome


@pytest.mark.parametrize(
    ("make", "reply", "outcome"),
    [
        (certificate, stored(version="8", certificate=PEM), "stored"),
        (refusal, Reply(body=refusal().body), "refused"),
        (denial, Reply(body=denial().body), "refused"),
        (certificate, stored(version="8", certificate=OTHER), "conflict"),
        (refusal, stored(version="8", conditions=("Approved", "Failed")), "conflict"),
        (certificate, status(404, "NotFound"), "gone"),
        (certificate, status(503, "ServiceUnavailable"), "unknown"),
    ],
    ids=["ours", "our refusal", "our denial", "another's", "another's refusal", "gone", "no answer"],
)
async def test_settle(make: Callable[[], Answer], reply: Reply, outcome: str) -> None:
    """What became of a write without a known outcome is found out by one look, and nothing is written."""
    async with FakeApiServer(others=[reply]) as server, ApiClient(server.config) as client:
        written = await Writer(client).settle(make())
    assert written.outcome == outcome
    assert [seen.method for seen in server.seen] == ["GET"]
