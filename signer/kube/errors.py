"""What an API server says when it says no, as exceptions.

Own hierarchy, since the client library must stay replaceable and since the body (metav1.Status) tells more than the code.

    ApiError                 any answer with a code of 400 or more
    ├── Unauthorized 401
    │   └── NotSent          said before by the server, so we did not ask
    ├── Forbidden 403, NotFound 404, Gone 410, Invalid 422, TooManyRequests 429
    ├── Conflict 409
    │   └── AlreadyExists    409 with that reason
    └── ServerError 5xx
    Unreachable              no answer, or half of one: the outcome of a write is not known
    ├── TimedOut             none in time
    └── TooMuch              a longer one than we were ready to read
    Stopped                  one of these, with the step that it stopped

Pure. Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#response-status-kind
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from signer.kube.clock import utc_now
from signer.kube.encoding import protobuf
from signer.kube.encoding.depth import reader

# A status message may quote a whole hostile object; logs and conditions get this much of it.
LONGEST_MESSAGE = 2000


class ApiError(Exception):
    """The API server refused.

    Attributes:
        status: the HTTP code.
        reason: metav1.Status.reason, CamelCase ("NotFound"); "" if the server gave none.
        message: for people, at most LONGEST_MESSAGE characters.
        retry_after: seconds that the server asks us to wait, or None.
    """

    def __init__(self, status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}" if self.reason else f"{self.status}: {self.message}"

    @property
    def terminating(self) -> bool:
        """Whether it is refused because the namespace is on its way out: no news for anybody."""
        return self.status == 403 and "being terminated" in self.message

    @property
    def lasting(self) -> bool:
        """Whether somebody must mend something: a quota, a webhook, a policy, rights, an immutable field, a broken object.

        Not so when the object changed or went, or when the server is busy, starts, or wants new credentials.
        """
        return self.status not in {401, 404, 409, 410, 429} and self.status <= 500 and not self.terminating


class Unauthorized(ApiError):
    """401: the credentials are not (or no longer) valid."""


class NotSent(Unauthorized):
    """Not asked for, since the server has just refused the same credentials."""


class Forbidden(ApiError):
    """403: RBAC or admission does not allow it."""


class NotFound(ApiError):
    """404: no such object, or no such resource (a CRD that is not there yet)."""


class Conflict(ApiError):
    """409: the object changed since its resourceVersion, or a precondition does not hold."""


class AlreadyExists(Conflict):
    """409 on create: there is an object of this name."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: validation refused the object."""


class TooManyRequests(ApiError):
    """429: priority and fairness, or an eviction-like refusal; `retry_after` says when."""


class ServerError(ApiError):
    """5xx: the server failed, is starting, or times out."""


class Unreachable(Exception):
    """Nothing, or only half an answer, came back. Whether a write happened is not known."""


class TimedOut(Unreachable):
    """No answer came within the time that the request had."""


class TooMuch(Unreachable):
    """The answer is larger than what we were ready to read. The server is there: it does not count as a failure."""


_NUMBER = re.compile(r"[0-9]+")


def shape(text: str) -> str:
    """A text without what its numbers are: two that differ in them alone say the same again. Pure."""
    return _NUMBER.sub("#", text)


def told(error: BaseException) -> str:
    """Say what an exception says, and what it is where it says nothing, as a TimeoutError does. Pure."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


class Stopped(Exception):
    """A write was refused, and somebody must mend what is in its way.

    Attributes:
        reason: of the condition and the Event that tell it, CamelCase.
        what: the step that it stopped, for people.
        error: the API server's answer.
    """

    def __init__(self, reason: str, what: str, error: ApiError) -> None:
        super().__init__(reason, what, error)
        self.reason = reason
        self.what = what
        self.error = error
        self.retry_after = error.retry_after

    def __str__(self) -> str:
        return f"{self.what}: {self.error}"


_KINDS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: int = 0


class _Status(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_decode_json = reader(msgspec.json.Decoder(_Status).decode)


def api_error(status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> ApiError:
    """The exception of the class that fits the code and reason."""
    kind = _KINDS.get(status, ServerError if status >= 500 else ApiError)
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(status, reason, message[:LONGEST_MESSAGE], retry_after)


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None
) -> ApiError:
    """Make the exception for an HTTP answer. Never fails: a body that is not a metav1.Status becomes the message itself.

    Args:
        status: the HTTP code, 400 or more.
        headers: of the answer, names in lower case.
        body: metav1.Status as JSON or enveloped protobuf, or anything at all (a load balancer's HTML).
        now: for a Retry-After given as a date; None means the current time.
    """
    found = _read_status(body)
    if found is None:
        found = _Status(message=" ".join(body[:LONGEST_MESSAGE].decode(errors="replace").split()))
    retry_after = _retry_after_header(headers.get("retry-after"), now)
    if retry_after is None:
        retry_after = _retry_after_details(found)
    return api_error(status, found.reason, found.message, retry_after)


def error_from_status(body: bytes) -> ApiError:
    """Make the exception for a metav1.Status that came as an ERROR event of a watch (JSON or enveloped protobuf).

    A Status without a usable code counts as a 500: something is wrong and we cannot say what.
    """
    found = _read_status(body) or _Status(message="an ERROR event without a readable status")
    code = found.code if 400 <= found.code <= 599 else 500
    return api_error(code, found.reason, found.message, _retry_after_details(found))


def _read_status(body: bytes) -> _Status | None:
    try:
        if body.startswith(protobuf.MAGIC):
            return _read_protobuf(body)
        return _decode_json(body)
    except (msgspec.DecodeError, protobuf.ProtobufError):
        return None


def _read_protobuf(body: bytes) -> _Status:
    """metav1.Status: 3 message, 4 reason, 5 details (5 retryAfterSeconds), 6 code (apimachinery meta/v1 generated.proto)."""
    status = _Status()
    start, end = protobuf.raw_span(body)
    for tag, a, b in protobuf.scan(body, start, end):
        if tag == 3 << 3 | protobuf.LENGTH:
            status.message = protobuf.text(body, a, b)
        elif tag == 4 << 3 | protobuf.LENGTH:
            status.reason = protobuf.text(body, a, b)
        elif tag == 5 << 3 | protobuf.LENGTH:
            for inner, value, _ in protobuf.scan(body, a, b):
                if inner == 5 << 3 | protobuf.VARINT:
                    status.details = _Details(retry_after_seconds=value)
        elif tag == 6 << 3 | protobuf.VARINT:
            status.code = a
    return status


def _retry_after_details(status: _Status) -> float | None:
    if status.details is None or not 0 < status.details.retry_after_seconds < 1 << 31:
        return None
    return float(status.details.retry_after_seconds)


def _retry_after_header(value: str | None, now: datetime | None) -> float | None:
    """RFC 9110 section 10.2.3: a number of seconds, or an HTTP date."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # Overflow: a year or an offset of twenty digits
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or utc_now())).total_seconds())
