"""From answers to exceptions."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube import errors
from signer.kube.encoding.protobuf import write_bytes_field, write_varint_field
from signer.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    error_from_response,
    error_from_status,
)
from tests.fakes.envelopes import wrap

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def protobuf_status(code: int, *, seconds: int = 0) -> bytes:
    raw = write_bytes_field(1, b"") + write_bytes_field(2, b"Failure") + write_bytes_field(3, b"the message")
    raw += write_bytes_field(4, b"TheReason")
    raw += write_bytes_field(5, write_bytes_field(1, b"name") + write_varint_field(5, seconds))
    return wrap("v1", "Status", raw + write_varint_field(6, code))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ApiError),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Invalid),
        (429, TooManyRequests),
        (500, ServerError),
        (504, ServerError),
    ],
)
def test_kinds(code: int, kind: type[ApiError]) -> None:
    """Each code has its exception, and the body's reason and message are in it."""
    error = error_from_response(code, {}, b'{"kind":"Status","code":1,"reason":"R","message":"M"}')
    assert type(error) is kind
    assert (error.status, error.reason, error.message, error.retry_after) == (code, "R", "M", None)
    assert str(error) == f"{code} R: M"


def test_already_exists() -> None:
    """A 409 on create can be told from a stale write, yet both are conflicts."""
    error = error_from_response(409, {}, b'{"reason":"AlreadyExists"}')
    assert type(error) is AlreadyExists
    assert isinstance(error, Conflict)
    assert type(error_from_response(409, {}, b'{"reason":"Conflict"}')) is Conflict


def test_protobuf() -> None:
    """A Status in protobuf says the same as one in JSON."""
    error = error_from_response(409, {}, protobuf_status(409, seconds=7))
    assert (type(error), error.reason, error.message, error.retry_after) == (Conflict, "TheReason", "the message", 7.0)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("3", 3.0),
            (" 0 ", 0.0),
            ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
            ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
            ("-3", None),
            ("1e3", None),
            ("soon", None),
            ("", None),
            ("9" * 400, None),
            ("٣", None),
        ],
    )
    def test_header(self, value: str, seconds: float | None) -> None:
        """Seconds and HTTP dates are understood; nonsense is as if it were not there."""
        assert error_from_response(429, {"retry-after": value}, b"", now=NOW).retry_after == seconds

    def test_details(self) -> None:
        """Without the header, details.retryAfterSeconds of the body counts."""
        body = b'{"details":{"retryAfterSeconds":5}}'
        assert error_from_response(503, {}, body).retry_after == 5.0
        assert error_from_response(503, {"retry-after": "2"}, body).retry_after == 2.0

    @pytest.mark.parametrize("seconds", ["0", "-1", "99999999999999999999", '"5"', "null"])
    def test_bad_details(self, seconds: str) -> None:
        """Hostile numbers of seconds are as if they were not there."""
        body = f'{{"details":{{"retryAfterSeconds":{seconds}}}}}'.encode()
        assert error_from_response(503, {}, body).retry_after is None


class TestOtherBodies:
    @given(st.binary(max_size=200))
    def test_any_bytes(self, body: bytes) -> None:
        """No body whatsoever keeps the code from becoming an exception."""
        assert type(error_from_response(404, {}, body)) is NotFound
        assert type(error_from_response(404, {}, b"k8s\x00" + body)) is NotFound
        assert error_from_status(body).status >= 400

    def test_html(self) -> None:
        """A proxy's HTML becomes the message, on one line."""
        assert error_from_response(502, {}, b"<h1>\n Bad\r\n gateway").message == "<h1> Bad gateway"

    def test_long(self) -> None:
        """Messages are bounded."""
        body = b'{"message":"' + b"x" * 50_000 + b'"}'
        assert len(error_from_response(400, {}, body).message) == errors.LONGEST_MESSAGE
        assert len(error_from_response(400, {}, b"x" * 50_000).message) <= errors.LONGEST_MESSAGE


class TestErrorEvents:
    def test_codes(self) -> None:
        """The code of an ERROR event's Status makes the exception, in JSON and protobuf."""
        assert type(error_from_status(b'{"code":410,"reason":"Expired"}')) is Gone
        assert type(error_from_status(protobuf_status(410))) is Gone
        assert error_from_status(b'{"code":429,"details":{"retryAfterSeconds":4}}').retry_after == 4.0

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"code":200}', b'{"code":99999}', b'{"code":"410"}', b"k8s\x00\xff"]
    )
    def test_without_a_code(self, body: bytes) -> None:
        """Without a usable code it counts as a fault of the server."""
        assert type(error_from_status(body)) is ServerError
