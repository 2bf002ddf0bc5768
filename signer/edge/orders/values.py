"""What follows from an Order and from what a CA says of it: wishes, answers, and parts of the status. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec
from cryptography import x509

from issuers.acme import challenge
from issuers.acme.errors import Failure, MalformedAnswer, RetryLater, judge_problem
from issuers.acme.identifiers import BadIdentifier, identifiers
from issuers.acme.order import DNS_PERSIST01, OrderStatus, Wish
from issuers.acme.order import Authorization as Proof
from issuers.acme.order import Order as Placed
from issuers.x509 import loading
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.order import FAILED_STATES, Order
from signer.edge.issuers.accounts import Account
from signer.kube.superseded import Key

NOT_PLACED: Mapping[str, None] = MappingProxyType(
    dict.fromkeys(("url", "finalizeURL", "state", "authorizations", "placedAt", "expires"))
)
"""All that a status says of an order at the CA, taken away: a merge leaves what it does not name, and that would be of another."""
_ANSWERED = (challenge.HTTP01, challenge.DNS01, DNS_PERSIST01)
# When the CA names no time. Validation and issuance take it seconds.
_POLL = timedelta(seconds=1)
_SHORTEST_POLL = timedelta(milliseconds=200)
# A CA that names a far time for an order that it works on is asked sooner: orders live for hours only.
LONGEST_POLL = timedelta(minutes=5)
# What an order may take where the CA names no end, and where it names one that is far away.
UNTOLD_LIFE = timedelta(days=1)
LONGEST_LIFE = timedelta(days=30)
# What is over, and cannot be asked about just now, may have its certificate all the same.
GRACE = timedelta(hours=1)
# So long nobody is told that the CA works on an order: most take seconds.
_UNTOLD_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing comes of an order any more: `state` and `why` are for its status; `failure` None when nobody is to blame."""

    state: str
    why: str
    failure: Failure | None


def finished(order: Order) -> bool:
    """Tell whether nothing more comes of it: it failed, or its certificate is stored."""
    status = order.status
    return not order.problem and (
        status.state in FAILED_STATES or (status.state == "valid" and bool(status.certificate))
    )


def leftover(order: Order, challenges: Iterable[Challenge]) -> list[Challenge]:
    """What a finished Order does not need any more: a Challenge that failed stays, since it says why, until its Order goes."""
    kept = FAILED_STATES if order.status.state in FAILED_STATES else frozenset()
    return [one for one in challenges if one.status.state not in kept]


def issuer_of(obj: Order | Challenge) -> IssuerRef | None:
    """The issuer that an Order or Challenge names, None when it is not of our group."""
    reference = obj.spec.issuer_ref
    return reference.resolve(obj.metadata.namespace) if reference.ours else None


def wish_of(order: Order) -> Wish:
    """What is ordered. Raises MalformedAnswer for names that cannot be: they were checked before the Order was made."""
    spec = order.spec
    try:
        return Wish(identifiers((*spec.dns_names, *spec.ip_addresses)), spec.profile or None, spec.replaces or None)
    except BadIdentifier as error:
        raise MalformedAnswer(f"spec: {error}") from None


def answer_for(kind: str, token: str, account: Account) -> str:
    """What proves a name: the key authorization, its digest for DNS-01 (RFC 8555, 8.3 and 8.4), for dns-persist-01 the account."""
    if kind.lower() == DNS_PERSIST01:
        return account.url
    if kind.lower() == challenge.HTTP01:
        return challenge.key_authorization(token, account.key.thumbprint)
    return challenge.dns_value(token, account.key.thumbprint)


def csr_of(order: Order) -> x509.CertificateSigningRequest:
    """The certificate signing request of an Order."""
    try:
        return loading.request(order.spec.request)
    except loading.Unreadable:
        raise MalformedAnswer("spec.request: no certificate signing request") from None


def status_of(placed: Placed, *, authorizations: bool = False) -> dict[str, Any]:
    """The status that follows from what the CA said; with `authorizations`, their URLs too."""
    found: dict[str, Any] = {"url": placed.url, "finalizeURL": placed.finalize, "state": str(placed.status)}
    if placed.expires is not None:
        found["expires"] = to_rfc3339(placed.expires)
    if authorizations:
        found["authorizations"] = [{"url": url} for url in placed.authorizations]
    return found


def placed_at(placed: Placed, now: datetime) -> dict[str, Any]:
    """The status of an Order that the CA has just given; nothing stays of one that was placed before."""
    return {**NOT_PLACED, **status_of(placed, authorizations=True), "reason": None, "placedAt": to_rfc3339(now)}


def last_moment(order: Order, expires: datetime | None = None) -> datetime | None:
    """When an order that was placed ends, whatever state it is in then: as the CA says (`expires`: now), within our bounds.

    One that had ended by our clock when it was given has not: the clocks differ, and ours counts. None only where neither
    the Order nor the API server says when anything of it began.
    """
    stored, begun = from_rfc3339(order.status.expires), _begun(order)
    if begun is None:
        return expires or stored
    differ = stored is not None and stored <= begun
    told = None if differ else expires or stored
    return min(told or begun + UNTOLD_LIFE, begun + LONGEST_LIFE)


def overdue(order: Order, now: datetime) -> bool:
    """Tell whether an order that was placed is over for so long that nobody can have anything of it any more."""
    last = last_moment(order)
    return bool(order.status.url) and last is not None and last + GRACE <= now


def _begun(order: Order) -> datetime | None:
    return from_rfc3339(order.status.placed_at) or from_rfc3339(order.metadata.creation_timestamp)


def waits_since(order: Order, placed: Placed, now: datetime) -> str:
    """Say since when, and until when, the CA works on an order; "" for one that has not taken long."""
    begun, last = _begun(order), last_moment(order, placed.expires)
    if begun is None or last is None or now - begun < _UNTOLD_WAIT:
        return ""
    return (
        f'the CA gave the order at {to_rfc3339(begun)}, and still says "{placed.status}"'
        f"{' without a certificate' if placed.status is OrderStatus.VALID else ''}; it ends at {to_rfc3339(last)}"
    )


def ended(placed: Placed, last: datetime | None, now: datetime) -> Ended | None:
    """How an order ended, as the CA shows it; None while something may come of it.

    After `last` (last_moment) nothing comes of it in any state (RFC 8555, 7.1.3 and 7.1.6), but for one whose certificate
    is there. Proofs that are missing are nobody's fault; a CA that made nothing of all of them has failed.
    """
    if placed.status is OrderStatus.INVALID:
        if placed.error is None:
            why = "the CA gives no reason"
            return Ended("invalid", why, RetryLater("invalid", why))
        return Ended("invalid", placed.error.text(), judge_problem(placed.error, now))
    if last is None or last > now or (placed.status is OrderStatus.VALID and placed.certificate is not None):
        return None
    why = f'the order has expired: until {to_rfc3339(last)} the CA said "{placed.status}"'
    if placed.status is OrderStatus.PENDING:
        return Ended("expired", why, None)
    return Ended("expired", f"{why} and gave no certificate", RetryLater("expired", why))


def until_next_look(retry_after: datetime | None, now: datetime) -> timedelta:
    """How long to wait before an order that the CA works on is read again: the CA's time, within bounds."""
    return min(max((retry_after or now + _POLL) - now, _SHORTEST_POLL), LONGEST_POLL)


def proof_of(found: Proof) -> dict[str, Any]:
    """An authorization as an Order's status has it."""
    known = ("pending", "valid", "invalid", "expired")
    return {
        "url": found.url,
        "identifier": found.identifier.base,
        "wildcard": found.identifier.wildcard,
        "initialState": str(found.status) if found.status in known else "invalid",
        "challenges": [
            {"type": one.type, "url": one.url, "token": one.token} for one in found.challenges if one.type in _ANSWERED
        ],
    }


def key_of(order: Order) -> Key:
    """Its key in stores and queues."""
    return order.metadata.namespace, order.metadata.name


def base64_text(data: bytes) -> str:
    """Bytes as they stand in JSON."""
    return msgspec.to_builtins(data)  # type: ignore[no-any-return]  # bytes become base64 text
