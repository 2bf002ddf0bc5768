"""What a request was refused by is read as it was written."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificatesigningrequest import with_failed
from signer.api.podcertificaterequest import with_denied
from signer.api.refusal import DENIED, FAILED, Refusal, read_refusal
from signer.kube.encoding import protobuf
from tests.unit.csr import crafted
from tests.unit.pods import crafted as pods

words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=60)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them bare


def raw(body: bytes) -> bytes:
    start, end = protobuf.raw_span(body)
    return body[start:end]


@given(words, words, moments)
def test_what_was_written(reason: str, message: str, now: datetime) -> None:
    """Reason, message and time, in whole seconds, of both kinds of requests."""
    refusal = Refusal(reason, message, int(now.timestamp()))
    failed = with_failed(crafted.request(), reason=reason, message=message, now=now)
    assert read_refusal(raw(failed), FAILED) == refusal
    denied = with_denied(pods.request(), reason=reason, message=message, now=now)
    assert read_refusal(raw(denied), DENIED) == refusal


def test_none() -> None:
    """Who was only approved, or has no status, was not refused."""
    assert read_refusal(crafted.request().raw, FAILED) is None
    assert read_refusal(pods.request().raw, DENIED) is None
    assert read_refusal(b"", FAILED) is None
