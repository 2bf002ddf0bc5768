"""What a CA answers, read as a stranger's words: into the values of `order` and `account`, or MalformedAnswer.

The `acme` library's own readers are not used for this: they refuse statuses of RFC 8555 that they do not know, give
naive times, and trust URLs and tokens. Every URL must be of the directory's origin, identifiers must be those that were
ordered, and a token must be one. Pure.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from issuers.acme import wire
from issuers.acme.errors import PREFIX, MalformedAnswer, Problem, printable
from issuers.acme.identifiers import Identifier
from issuers.acme.order import (
    DNS_PERSIST01,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
    Wish,
)
from issuers.acme.targets import Origin, same_origin

# In a path of a URL, in a TXT record, in a route of a gateway: nothing but base64url gets there (RFC 8555, section 8.1,
# at least 128 bits; the upper end is ours).
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")
# Types whose tokens are read; others are named in messages only.
KNOWN_CHALLENGES = ("http-01", "dns-01", DNS_PERSIST01)
_CODE = re.compile(rf"{PREFIX}([A-Za-z]{{1,64}})")
_TYPE = re.compile(r"[a-z0-9-]{1,32}")
_MAX_PARTS = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Directory:
    """The CA's directory (RFC 8555, section 7.1.1). URLs that a CA need not have are None."""

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str | None
    key_change: str | None
    renewal_info: str | None
    terms_of_service: str | None
    external_account_required: bool
    profiles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the CA shows it. `url` is its key id; `contact` are URLs such as mailto:admin@example.com."""

    url: str
    status: str
    contact: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether it may order."""
        return self.status == "valid"


@dataclass(frozen=True, slots=True)
class Window:
    """When the CA wants a certificate to be renewed (RFC 9773, section 4.2). `explanation` is an https URL for people."""

    start: dt.datetime
    end: dt.datetime
    explanation: str | None = None


def read_directory(body: bytes, origin: Origin) -> Directory:
    """A directory whose URLs are all of its own origin."""
    found = _decode(body, wire.Directory, "directory")

    def url(value: str | None, field: str) -> str | None:
        return None if value is None else same_origin(value, origin, f"directory: {field}")

    profiles = list(found.meta.profiles.items())[:_MAX_PARTS]
    return Directory(
        same_origin(found.new_nonce, origin, "directory: newNonce"),
        same_origin(found.new_account, origin, "directory: newAccount"),
        same_origin(found.new_order, origin, "directory: newOrder"),
        url(found.revoke_cert, "revokeCert"),
        url(found.key_change, "keyChange"),
        url(found.renewal_info, "renewalInfo"),
        printable(found.meta.terms_of_service) if found.meta.terms_of_service else None,
        found.meta.external_account_required,
        {printable(name, 64): printable(text, 200) for name, text in profiles},
    )


def read_account(body: bytes, url: str | None, origin: Origin) -> Account:
    """An account; `url` is from the Location header."""
    if url is None:
        raise MalformedAnswer("account: the answer has no Location")
    found = _decode(body, wire.Account, "account")
    if found.status not in ("valid", "deactivated", "revoked"):
        raise MalformedAnswer("account: status: not one of RFC 8555")
    contact = tuple(printable(one, 320) for one in (found.contact or [])[:_MAX_PARTS])
    return Account(same_origin(url, origin, "account: Location"), found.status, contact)


def read_order(
    body: bytes, url: str | None, wish: Wish, origin: Origin, retry_after: dt.datetime | None = None
) -> Order:
    """An order that is for the names of the wish, no more and no fewer; `url` is its own."""
    if url is None:
        raise MalformedAnswer("order: the answer has no Location")
    found = _decode(body, wire.Order, "order")
    if {Identifier(one.type, one.value.lower()) for one in found.identifiers} != set(wish.identifiers):
        raise MalformedAnswer("order: identifiers: not the ones that were ordered")
    if len(found.authorizations) > _MAX_PARTS:
        raise MalformedAnswer("order: authorizations: too many")
    return Order(
        url=same_origin(url, origin, "order: Location"),
        status=_status(OrderStatus, found.status, "order"),
        identifiers=wish.identifiers,
        authorizations=tuple(
            dict.fromkeys(same_origin(one, origin, "order: authorizations") for one in found.authorizations)
        ),
        finalize=same_origin(found.finalize, origin, "order: finalize"),
        certificate=same_origin(found.certificate, origin, "order: certificate") if found.certificate else None,
        expires=_instant(found.expires),
        error=_inner_problem(found.error),
        profile=printable(found.profile, 64) if found.profile else None,
        # RFC 9773, section 5: an order that was taken as a renewal shows it.
        replaces=wish.replaces if found.replaces == wish.replaces else None,
        retry_after=retry_after,
    )


def read_authorization(
    body: bytes, url: str, wish: Wish, origin: Origin, retry_after: dt.datetime | None = None
) -> Authorization:
    """An authorization for one of the names of the wish."""
    found = _decode(body, wire.Authorization, "authorization")
    value = found.identifier.value.lower()
    # RFC 8555, 7.1.4: without "*.", and `wildcard` says that it was there.
    identifier = Identifier(found.identifier.type, f"*.{value}" if found.wildcard else value)
    if identifier not in wish.identifiers:
        raise MalformedAnswer("authorization: identifier: not one of those that were ordered")
    if len(found.challenges) > _MAX_PARTS:
        raise MalformedAnswer("authorization: challenges: too many")
    return Authorization(
        url=url,
        identifier=identifier,
        status=_status(AuthorizationStatus, found.status, "authorization"),
        challenges=tuple(_challenge(one, origin) for one in found.challenges),
        expires=_instant(found.expires),
        retry_after=retry_after,
    )


def read_challenge(body: bytes, origin: Origin) -> Challenge:
    """One challenge, as it is answered when it was accepted."""
    return _challenge(_decode(body, wire.Challenge, "challenge"), origin)


def read_window(body: bytes) -> Window:
    """The suggested window of renewalInfo; end after start."""
    found = _decode(body, wire.RenewalInfo, "renewalInfo")
    start, end = _instant(found.suggested_window.start), _instant(found.suggested_window.end)
    if start is None or end is None:
        raise MalformedAnswer("renewalInfo: suggestedWindow: not times as RFC 3339 has them")
    if end <= start:
        raise MalformedAnswer("renewalInfo: suggestedWindow: it ends before it starts")
    url = found.explanation_url
    shown = printable(url, 512) if url and url.startswith("https://") else None
    return Window(start, end, shown)


def read_problem(body: bytes, status: int, content_type: str) -> Problem:
    """The problem of an error answer. Never raises: an answer that is none gives its status alone.

    The type decides what is done and is taken from any JSON; text for people only from application/problem+json.
    """
    try:
        raw: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raw = None
    return _problem(raw, status, with_text=content_type == "application/problem+json")


def _inner_problem(raw: msgspec.Raw) -> Problem | None:
    """The problem document inside of an object (RFC 8555, 7.1.3 and 8)."""
    if bytes(raw) in (b"", b"null"):
        return None
    try:
        return _problem(msgspec.json.decode(raw), 0, with_text=True)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Problem("", "")


def _problem(raw: Any, status: int, *, with_text: bool, depth: int = 0) -> Problem:
    if not isinstance(raw, dict):
        return Problem("", "", status)
    kind, detail, identifier = raw.get("type"), raw.get("detail"), raw.get("identifier")
    found = _CODE.fullmatch(kind) if isinstance(kind, str) else None
    name = identifier.get("value") if isinstance(identifier, dict) else None
    inner = raw.get("subproblems")
    return Problem(
        found[1] if found else "",
        printable(detail) if with_text and isinstance(detail, str) else "",
        status,
        printable(name, 253) if with_text and isinstance(name, str) else "",
        tuple(_problem(one, 0, with_text=with_text, depth=1) for one in inner[:_MAX_PARTS])
        if isinstance(inner, list) and depth == 0  # RFC 8555, 6.7.1: they have none of their own
        else (),
    )


def _challenge(found: wire.Challenge, origin: Origin) -> Challenge:
    kind = found.type if _TYPE.fullmatch(found.type) else "unknown"
    if kind not in KNOWN_CHALLENGES:
        return Challenge(kind, "", "", ChallengeStatus.PENDING, _inner_problem(found.error))
    if kind != DNS_PERSIST01 and not TOKEN.fullmatch(found.token):
        raise MalformedAnswer("challenge: token: not 22 to 128 characters of base64url")
    return Challenge(
        kind,
        same_origin(found.url, origin, "challenge: url"),
        found.token if kind != DNS_PERSIST01 else "",
        _status(ChallengeStatus, found.status, "challenge"),
        _inner_problem(found.error),
        _instant(found.validated),
    )


S = TypeVar("S", OrderStatus, AuthorizationStatus, ChallengeStatus)


def _status(kind: type[S], value: str, what: str) -> S:
    try:
        return kind(value)
    except ValueError:
        raise MalformedAnswer(f"{what}: status: not one of RFC 8555") from None


def _instant(value: str | None) -> dt.datetime | None:
    """An RFC 3339 time in UTC; None when it is none. Go writes up to nine digits after the second."""
    if value is None:
        return None
    try:
        found = msgspec.convert(value, dt.datetime)
        return None if found.tzinfo is None else found.astimezone(dt.UTC)
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        # Says the kinds and the path, and none of the CA's own text.
        raise MalformedAnswer(f"{what}: {printable(str(error), 200)}") from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise MalformedAnswer(f"{what}: not JSON") from None
