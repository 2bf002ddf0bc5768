"""What can go wrong with a CA, and what is done about it.

    Refused           the CA said no, with a problem document (RFC 8555, section 6.7)
    Unreachable       no answer: the name, the connection, TLS, or 30 seconds
    MalformedAnswer   an answer that breaks the protocol or our limits
    ForbiddenTarget   a URL or an address that this issuer may not use: nothing was sent

The client raises these; `judge` turns one into a value that says when to go on: Fatal, RetryLater or RateLimited. Text
of a CA is shown to people only when it stood in a problem document, cut to 512 printable characters.

Concurrency: values and pure functions.
"""

import datetime as dt
from dataclasses import dataclass

PREFIX = "urn:ietf:params:acme:error:"
MAX_TEXT = 512

# A CA that names a year far away must not stop an issuer for good; the longest limit of Let's Encrypt is a week.
_LONGEST = dt.timedelta(days=7)
_SHORTEST = dt.timedelta(seconds=1)
_UNTOLD_LIMIT = dt.timedelta(hours=1)

# Asking again with the same words is answered alike, until a person changes something: the spec, the CAA record, the
# account. Codes of RFC 8555 section 6.7, RFC 9773 and draft-ietf-acme-profiles.
FATAL = frozenset(
    {
        "accountDoesNotExist",
        "badCSR",
        "badPublicKey",
        "badSignatureAlgorithm",
        "caa",
        "externalAccountRequired",
        "invalidContact",
        "invalidProfile",
        "rejectedIdentifier",
        "unsupportedContact",
        "unsupportedIdentifier",
        "userActionRequired",
    }
)
# These pass by themselves; `dns`, `connection` and the like are of validations and mended at the gateway.
_PASSING = frozenset({"badNonce", "serverInternal", "orderNotReady", "dns", "dnssec", "connection", "tls"})


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """One line of at most `limit` printable characters of what a stranger wrote."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document, cleaned: `detail` is printable and short.

    `code` is "rateLimited" and the like, "" when the type is not one of ACME's. `status` is the HTTP status, 0 when
    the problem stood inside an object (an order, a challenge).
    """

    code: str
    detail: str
    status: int = 0
    identifier: str = ""
    subproblems: tuple["Problem", ...] = ()

    def text(self) -> str:
        """All of it in one line, for a condition or an Event."""
        parts = [": ".join(part for part in (self.identifier, self.code, self.detail) if part)]
        parts += [sub.text() for sub in self.subproblems]
        untold = f"HTTP status {self.status}" if self.status else "no reason is given"
        return printable("; ".join(part for part in parts if part)) or untold

    def codes(self) -> frozenset[str]:
        """Its code, and the codes of what it is made of."""
        return frozenset({self.code} if self.code else ()).union(*(sub.codes() for sub in self.subproblems))


class AcmeError(Exception):
    """One request to a CA had no good end. The message is for people: no key, no token, no body of an answer."""


class Refused(AcmeError):
    """The CA answered with an error. `retry_after` is aware UTC, None when the CA named no time."""

    def __init__(self, problem: Problem, *, retry_after: dt.datetime | None = None) -> None:
        super().__init__(f"the CA refused: {problem.text()}")
        self.problem = problem
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The problem's code."""
        return self.problem.code

    @property
    def http_status(self) -> int:
        """The answer's status."""
        return self.problem.status


class Unreachable(AcmeError):
    """No answer came. Whether the CA did what was asked is not known."""


class MalformedAnswer(AcmeError):
    """The answer is not what RFC 8555 says, or too large. The message names the field and shows none of its text."""


class ForbiddenTarget(AcmeError):
    """The CA's address or a URL that it gave is not allowed for this issuer."""


@dataclass(frozen=True, slots=True)
class Fatal:
    """Pointless until somebody changes something; tried again once a day, for people who change things elsewhere."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It may pass by itself. Not before `not_before`, when the CA named a time; else the backoff decides."""

    reason: str
    text: str
    not_before: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Too many requests: no failure of the order. Nothing of the kind before `not_before`."""

    text: str
    not_before: dt.datetime


Failure = Fatal | RetryLater | RateLimited


def judge(error: AcmeError, now: dt.datetime) -> Failure:
    """What a failed request means for the next one."""
    match error:
        case Refused():
            return judge_problem(error.problem, now, error.retry_after)
        case ForbiddenTarget():
            return Fatal("ForbiddenTarget", str(error))
        case MalformedAnswer():
            return RetryLater("MalformedAnswer", str(error))
        case _:
            return RetryLater("Unreachable", str(error))


def judge_problem(problem: Problem, now: dt.datetime, retry_after: dt.datetime | None = None) -> Failure:
    """What a problem means, whether it came as an answer or stood in an order or a challenge (status 0)."""
    codes, status = problem.codes(), problem.status
    if status == 429 or "rateLimited" in codes:
        return RateLimited(problem.text(), _within(retry_after, now) or now + _UNTOLD_LIMIT)
    reason = problem.code or (f"HTTP{status}" if status else "Unknown")
    if codes & FATAL:
        return Fatal(next(iter(sorted(codes & FATAL))), problem.text())
    if codes & _PASSING or status >= 500 or status in (0, 404, 408, 409, 425) or retry_after is not None:
        # 404: an order or authorization that the CA has forgotten; a new one is made by its controller.
        return RetryLater(reason, problem.text(), _within(retry_after, now))
    # What else is refused with 4xx (malformed, unauthorized, ...) is refused again.
    return Fatal(reason, problem.text())


def _within(retry_after: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    if retry_after is None:
        return None
    return min(max(retry_after, now + _SHORTEST), now + _LONGEST)
