"""What is ordered, and orders, authorizations and challenges as a CA shows them: RFC 8555, section 7.1. Values.

What comes next is the caller's to say (signer.edge.orders.step): it knows what is stored of them.
"""

import datetime as dt
import enum
from dataclasses import dataclass, replace

from issuers.acme.errors import Problem
from issuers.acme.identifiers import Identifier

DNS_PERSIST01 = "dns-persist-01"
"""Of draft-ietf-acme-dns-persist-01: it has no token, as nothing is written for it."""


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
    validated: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """The proof of one name. For a wildcard `identifier` is with "*.", as it was ordered."""

    url: str
    identifier: Identifier
    status: AuthorizationStatus
    challenges: tuple[Challenge, ...]
    expires: dt.datetime | None = None
    retry_after: dt.datetime | None = None

    def proven_since(self, start: dt.datetime) -> bool:
        """Tell whether it is valid by a challenge that the CA validated at this time or later (RFC 8555, 8)."""
        return self.status is AuthorizationStatus.VALID and any(
            one.status is ChallengeStatus.VALID and one.validated is not None and one.validated >= start
            for one in self.challenges
        )

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
