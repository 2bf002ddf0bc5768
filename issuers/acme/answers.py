"""What a CA answers, read as a stranger's words: into the values of `order` and `account`, or MalformedAnswer.

The `acme` library's own readers are not used for this: they refuse statuses of RFC 8555 that they do not know, give
naive times, and trust URLs and tokens. Every URL that is used must be of the directory's origin, identifiers must be those
that were ordered, and a token must be one. What need not be there and is broken counts as absent. Pure.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from issuers.acme import wire
from issuers.acme.errors import PREFIX, ForbiddenTarget, MalformedAnswer, Problem, printable
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
from issuers.acme.targets import Origin, Origins, absolute, link, of_field

# In a path of a URL, in a TXT record, in a route of a gateway: nothing but base64url gets there (RFC 8555, section 8.1,
# at least 128 bits; the upper end is ours).
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")
# Types whose tokens are read; others are named in messages only.
KNOWN_CHALLENGES = ("http-01", "dns-01", DNS_PERSIST01)
_CODE = re.compile(rf"{PREFIX}([A-Za-z]{{1,64}})")
_TYPE = re.compile(r"[a-z0-9-]{1,32}")
_MAX_PARTS = 200
_EARLIEST_YEAR = 1970
_MAX_TEXT = 2048

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Directory:
    """The CA's directory (RFC 8555, section 7.1.1). URLs that a CA need not have are None.

    `origins`: where its answers may lead, as the directory says.
    """

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str | None
    key_change: str | None
    renewal_info: str | None
    profiles: Mapping[str, str]
    origins: Origins


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


def read_directory(body: bytes, origin: Origin, base: str = "") -> Directory:
    """A directory; of what a CA need not have, what cannot be used counts as absent.

    newNonce, newAccount and newOrder may be of other origins: whoever configured the directory trusts it to name its servers (ADR
    69), and where they really lead is judged when they are dialled. All else must be at one of these. Relative URLs begin at `base`
    here and below, which is what was asked; "" takes none.
    """
    found = _decode(body, wire.Directory, "directory")
    meta = _told(found.meta)
    profiles = meta.get("profiles") if isinstance(meta, dict) else None
    listed = list(profiles.items())[:_MAX_PARTS] if isinstance(profiles, dict) else []
    needed = {
        name: absolute(url, base)
        for name, url in (
            ("newNonce", found.new_nonce),
            ("newAccount", found.new_account),
            ("newOrder", found.new_order),
        )
    }
    named = frozenset(of_field(url, f"directory: {name}") for name, url in needed.items())
    origins = Origins(origin, named - {origin})
    return Directory(
        needed["newNonce"],
        needed["newAccount"],
        needed["newOrder"],
        _optional_link(found.revoke_cert, base, origins),
        _optional_link(found.key_change, base, origins),
        _optional_link(found.renewal_info, base, origins),
        {printable(name, 64): printable(text, 200) for name, text in listed if isinstance(text, str)},
        origins,
    )


def read_account(body: bytes, url: str | None, origin: Origin | Origins, base: str = "") -> Account:
    """An account; `url` is from the Location header."""
    if url is None:
        raise MalformedAnswer("account: the answer has no Location")
    found = _decode(body, wire.Account, "account")
    if found.status not in ("valid", "deactivated", "revoked"):
        raise MalformedAnswer("account: status: not one of RFC 8555")
    listed = _told(found.contact)
    contact = tuple(
        printable(one, 320) for one in (listed[:_MAX_PARTS] if isinstance(listed, list) else ()) if isinstance(one, str)
    )
    return Account(link(url, base, origin, "account: Location"), found.status, contact)


def read_order(
    body: bytes,
    url: str | None,
    wish: Wish,
    origin: Origin | Origins,
    retry_after: dt.datetime | None = None,
    *,
    base: str = "",
) -> Order:
    """An order that is for the names of the wish, no more and no fewer; `url` is its own."""
    if url is None:
        raise MalformedAnswer("order: the answer has no Location")
    found = _decode(body, wire.Order, "order")
    if {Identifier(one.type, one.value.lower()) for one in found.identifiers} != set(wish.identifiers):
        raise MalformedAnswer("order: identifiers: not the ones that were ordered")
    if len(found.authorizations) > _MAX_PARTS:
        raise MalformedAnswer("order: authorizations: too many")
    url = link(url, base, origin, "order: Location")
    asked = base or url
    status = _status(OrderStatus, found.status, "order")
    certificate = None
    if status is OrderStatus.VALID and (url_of_it := _told(found.certificate)):  # before, nobody needs it
        if not isinstance(url_of_it, str):
            raise MalformedAnswer("order: certificate: not a text")
        certificate = link(url_of_it, asked, origin, "order: certificate")
    return Order(
        url=url,
        status=status,
        identifiers=wish.identifiers,
        authorizations=tuple(
            dict.fromkeys(link(one, asked, origin, "order: authorizations") for one in found.authorizations)
        ),
        finalize=link(found.finalize, asked, origin, "order: finalize"),
        certificate=certificate,
        expires=_instant(found.expires),
        error=_inner_problem(found.error),
        profile=printable(profile, 64) if (profile := _text(found.profile)) else None,
        # RFC 9773, section 5: an order that was taken as a renewal shows it.
        replaces=wish.replaces if _told(found.replaces) == wish.replaces else None,
        retry_after=retry_after,
    )


def read_authorization(
    body: bytes, url: str, wish: Wish, origin: Origin | Origins, retry_after: dt.datetime | None = None
) -> Authorization:
    """An authorization for one of the names of the wish."""
    found = _decode(body, wire.Authorization, "authorization")
    identifier = _ordered(found, wish)
    if len(found.challenges) > _MAX_PARTS:
        raise MalformedAnswer("authorization: challenges: too many")
    return Authorization(
        url=url,
        identifier=identifier,
        status=_status(AuthorizationStatus, found.status, "authorization"),
        challenges=tuple(_challenge(one, origin, url) for one in found.challenges),
        expires=_instant(found.expires),
        retry_after=retry_after,
    )


def _ordered(found: wire.Authorization, wish: Wish) -> Identifier:
    """The name that an authorization is for.

    RFC 8555, 7.1.4: it is without "*.", and `wildcard` says that it was there. A CA that has it otherwise is understood where
    one wildcard alone can be meant; never so that more is proven than was ordered.
    """
    kind, value = found.identifier.type, found.identifier.value.lower()
    exact = Identifier(kind, f"*.{value}" if _told(found.wildcard) is True else value)
    base = value.removeprefix("*.")
    over = Identifier(kind, f"*.{base}")
    if exact in wish.identifiers:
        return exact
    if over in wish.identifiers and (value != base or Identifier(kind, base) not in wish.identifiers):
        return over
    raise MalformedAnswer(
        "authorization: identifier: not one of those that were ordered, as RFC 8555, 7.1.4 writes it with `wildcard`"
    )


def read_window(body: bytes) -> Window:
    """The suggested window of renewalInfo; end after start."""
    found = _decode(body, wire.RenewalInfo, "renewalInfo")
    start, end = _time(found.suggested_window.start), _time(found.suggested_window.end)
    if start is None or end is None:
        raise MalformedAnswer("renewalInfo: suggestedWindow: not times as RFC 3339 has them")
    if end <= start:
        raise MalformedAnswer("renewalInfo: suggestedWindow: it ends before it starts")
    url = _text(found.explanation_url)
    return Window(start, end, printable(url, 512) if url is not None and url.startswith("https://") else None)


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


def _challenge(found: wire.Challenge, origin: Origin | Origins, base: str) -> Challenge:
    """A challenge; a token or a URL that is none is "" here: whoever is to answer it refuses it (orders/step.py)."""
    kind, token = _text(found.type) or "", _text(found.token) or ""
    kind = kind if _TYPE.fullmatch(kind) else "unknown"
    if kind not in KNOWN_CHALLENGES:
        return Challenge(kind, "", "", ChallengeStatus.PENDING, _inner_problem(found.error))
    return Challenge(
        kind,
        _optional_link(found.url, base, origin) or "",
        token if kind != DNS_PERSIST01 and TOKEN.fullmatch(token) else "",
        _status(ChallengeStatus, _told(found.status) if found.status else ChallengeStatus.PENDING, "challenge"),
        _inner_problem(found.error),
        _instant(found.validated),
    )


S = TypeVar("S", OrderStatus, AuthorizationStatus, ChallengeStatus)


def _status(kind: type[S], value: Any, what: str) -> S:
    try:
        return kind(value)
    except (ValueError, TypeError):
        raise MalformedAnswer(f"{what}: status: not one of RFC 8555") from None


def _told(raw: msgspec.Raw) -> Any:
    """The value of a field that need not be there; None where it is not, or cannot be read."""
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _text(raw: msgspec.Raw) -> str | None:
    """A text of a field that need not be there; None for whatever else stands in it."""
    value = _told(raw)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT else None


def _optional_link(raw: msgspec.Raw, base: str, origin: Origin | Origins) -> str | None:
    """A URL that need not be there; None for one that may not be used."""
    try:
        return link(text, base, origin, "") if (text := _text(raw)) is not None else None
    except ForbiddenTarget:
        return None


def _instant(raw: msgspec.Raw) -> dt.datetime | None:
    """The time of a field that need not be there; None when it is none."""
    return _time(_text(raw) or "")


def _time(text: str) -> dt.datetime | None:
    """An RFC 3339 time in UTC; None when it is none. Go writes up to nine digits after the second, and the year 1 for none."""
    try:
        found = msgspec.convert(text, dt.datetime)
        return None if found.tzinfo is None or found.year < _EARLIEST_YEAR else found.astimezone(dt.UTC)
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
