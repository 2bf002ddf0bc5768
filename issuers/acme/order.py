"""Orders and authorizations as values, and what is to be done next with them: RFC 8555, section 7.1.6.

A controller asks `next_step` after each change and after each restart; nothing but the order's URL has to be kept. Pure:
the time is an argument.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from issuers.acme.errors import Problem
from issuers.acme.identifiers import Identifier

# When the CA names no time. Validation and issuance take it seconds.
POLL = dt.timedelta(seconds=1)
# A CA that names a far time for an order that it works on is asked sooner: orders live for hours only.
LONGEST_POLL = dt.timedelta(minutes=5)


class OrderStatus(enum.StrEnum):
    """Status of an order."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(enum.StrEnum):
    """Status of an authorization."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(enum.StrEnum):
    """Status of a challenge."""

    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Wish:
    """What to order. `replaces` is the CertID (RFC 9773, section 4.1) of the certificate that this one follows."""

    identifiers: tuple[Identifier, ...]
    profile: str | None = None
    replaces: str | None = None
    not_after: dt.datetime | None = None

    def without_replaces(self) -> "Wish":
        """The same, as if it were for new names."""
        return replace(self, replaces=None)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove one name. `token` is "" for the types that we cannot answer anyway."""

    type: str
    url: str
    token: str
    status: ChallengeStatus
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """The proof of one name. For a wildcard `identifier` is with "*.", as it was ordered."""

    url: str
    identifier: Identifier
    status: AuthorizationStatus
    challenges: tuple[Challenge, ...]
    expires: dt.datetime | None = None
    retry_after: dt.datetime | None = None

    def error(self) -> Problem | None:
        """Why it failed, as the CA says at one of its challenges."""
        return next((one.error for one in self.challenges if one.error is not None), None)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the CA shows it. `replaces` says whether the CA took it as the renewal that was asked for."""

    url: str
    status: OrderStatus
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    expires: dt.datetime | None = None
    error: Problem | None = None
    profile: str | None = None
    replaces: str | None = None
    retry_after: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class FetchAuthorizations:
    """Read these first."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solve:
    """These names must be proven: present an answer for each, then accept its challenge."""

    authorizations: tuple[Authorization, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """The CA works on it. Read the order (`urls` is then its own) or these authorizations again, not before `at`."""

    urls: tuple[str, ...]
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Finalize:
    """All names are proven: send the CSR."""


@dataclass(frozen=True, slots=True)
class Download:
    """The certificate is at `url`."""

    url: str


@dataclass(frozen=True, slots=True)
class OrderAnew:
    """This order leads nowhere and nobody is to blame: it ended, or a proof did. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The CA refused this order; errors.judge_problem says when another one makes sense."""

    problem: Problem
    authorization: Authorization | None = None


Step = FetchAuthorizations | Solve | Poll | Finalize | Download | OrderAnew | Failed


def next_step(order: Order, authorizations: Mapping[str, Authorization], now: dt.datetime) -> Step:
    """What to do next with an order.

    Args:
        order: as last read.
        authorizations: those that were read, by their URL; of an order that is pending each must be fresh.
        now: aware UTC.
    """
    match order.status:
        case OrderStatus.VALID:
            if order.certificate is None:
                return Poll((order.url,), _when(order.retry_after, now))
            return Download(order.certificate)
        case OrderStatus.INVALID:
            return _invalid(order, authorizations)
        case OrderStatus.PROCESSING:
            return Poll((order.url,), _when(order.retry_after, now))
        case _ if order.expires is not None and order.expires <= now:
            return OrderAnew("the order has expired")
        case OrderStatus.READY:
            return Finalize()
        case _:
            return _pending(order, authorizations, now)


def _pending(order: Order, authorizations: Mapping[str, Authorization], now: dt.datetime) -> Step:
    if missing := tuple(url for url in order.authorizations if url not in authorizations):
        return FetchAuthorizations(missing)
    found = [authorizations[url] for url in order.authorizations]
    for one in found:
        if one.status is AuthorizationStatus.INVALID:
            return Failed(one.error() or _UNTOLD, one)
    for one in found:
        if one.status not in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
            return OrderAnew(f"the authorization of {one.identifier.value} is {one.status}")
        if one.status is AuthorizationStatus.PENDING and one.expires is not None and one.expires <= now:
            return OrderAnew(f"the authorization of {one.identifier.value} has expired")
    pending = [one for one in found if one.status is AuthorizationStatus.PENDING]
    if not pending:
        # The CA notices by itself that all is proven.
        return Poll((order.url,), _when(order.retry_after, now))
    if untouched := tuple(one for one in pending if not _working(one)):
        return Solve(untouched)
    return Poll(tuple(one.url for one in pending), min(_when(one.retry_after, now) for one in pending))


def _working(authorization: Authorization) -> bool:
    """Whether the CA checks it already. A challenge that the CA tries again keeps `processing` (RFC 8555, 8.2)."""
    return any(
        challenge.status in (ChallengeStatus.PROCESSING, ChallengeStatus.VALID)
        for challenge in authorization.challenges
    )


def _invalid(order: Order, authorizations: Mapping[str, Authorization]) -> Step:
    for url in order.authorizations:
        one = authorizations.get(url)
        if one is not None and one.status is AuthorizationStatus.INVALID and (problem := one.error()):
            return Failed(problem, one)
    if order.error is not None:
        return Failed(order.error)
    # The reason stands in an authorization that was not read yet.
    if missing := tuple(url for url in order.authorizations if url not in authorizations):
        return FetchAuthorizations(missing)
    return Failed(_UNTOLD)


_UNTOLD = Problem("", "the CA gives no reason")


def _when(retry_after: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    return min(max(retry_after or now + POLL, now), now + LONGEST_POLL)
