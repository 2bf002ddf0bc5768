"""The next step of an Order: a pure function of what is stored, so that a restart at any point goes on where it was.

    no URL -> ordered (URL stored before anything else) -> authorizations read -> Challenges made -> all valid
    -> ready: finalize -> processing: poll -> valid: fetch the certificate -> done

What the CA sent is checked before it is used: it proves only names that were ordered.
One limit is the protocol's own: whoever dies between the CA's answer to newOrder and the write of the URL orders again.
CAs give the same pending order then (Let's Encrypt), or let it expire.
Source: RFC 8555, 7.1.6 and 7.4.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from issuers.acme.answers import TOKEN
from issuers.acme.order import DNS_PERSIST01
from signer.api.challenge import CHALLENGES, FINALIZER, Challenge
from signer.api.labels import PART_OF
from signer.api.meta import controller_reference
from signer.api.names import shortened
from signer.api.order import FAILED_STATES, ORDERS, Authorization, OfferedChallenge, Order
from signer.api.text import shown
from signer.edge.orders.solver_choice import solver_for
from signer.tenancy.verdict import Reason, Refuse

_TYPES = {"http-01": "HTTP-01", "dns-01": "DNS-01", DNS_PERSIST01: "DNS-PERSIST-01"}
_MAX_REASON = 512
_ANOTHER_ACCOUNT = Reason("AccountChanged", "the issuer's account key has changed since this was ordered")

AnswerOf = Callable[[str, str], str]
"""What proves a name, by a challenge's type and token (values.answer_for)."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Ask the CA for an order, and store url, finalizeURL, state and the authorizations' URLs before all else."""


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """Ask the CA how the order at status.url is, and store state and authorizations; nothing is ordered."""


@dataclass(frozen=True, slots=True)
class ReadAuthorizations:
    """Ask the CA what these authorizations want, and store it: of an order that is ready too, since others may have proven it."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MakeChallenge:
    """Create the Challenge for this authorization, under `name`, which follows from it: AlreadyExists is not an error."""

    name: str
    authorization: Authorization
    offered: OfferedChallenge
    solver: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MakeChallenges:
    """Create each of these."""

    challenges: tuple[MakeChallenge, ...]


@dataclass(frozen=True, slots=True)
class RemoveChallenges:
    """Delete these: they are not what would be made now, as the issuer's solvers changed. Others follow in their place."""

    challenges: tuple[Challenge, ...]


@dataclass(frozen=True, slots=True)
class AwaitChallenges:
    """Nothing to do until one of these (names) changes. `message` tells what the first waits for."""

    names: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Finalize:
    """Send the request to status.finalizeURL."""


@dataclass(frozen=True, slots=True)
class FetchCertificate:
    """Fetch the certificate of the valid order, check it against the request, and store it."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Store state errored (or the CA's own failed state), failureTime and this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do; `failed` tells how it ended."""

    failed: bool


OrderStep = (
    PlaceOrder
    | ReadOrder
    | ReadAuthorizations
    | MakeChallenges
    | RemoveChallenges
    | AwaitChallenges
    | Finalize
    | FetchCertificate
    | Fail
    | Done
)


def order_step(
    order: Order,
    challenges: Collection[Challenge],
    solvers: Iterable[Any],
    labels: Mapping[str, str],
    answer: AnswerOf,
) -> OrderStep:
    """Decide the next step. `challenges` are those owned by the Order, by uid; `labels` the Certificate's.

    `answer` says what the account that the issuer has now would answer.
    """
    status = order.status
    if order.problem:
        return Fail(Reason("Unreadable", order.problem))
    if status.state in FAILED_STATES:
        return Done(failed=True)
    if status.state == "valid":
        return Done(failed=False) if status.certificate else FetchCertificate()
    if not status.url:
        return PlaceOrder()
    unread = tuple(one.url for one in status.authorizations if not one.identifier)
    if status.state == "ready" and not unread:
        return Finalize()
    if status.state == "processing" or not status.authorizations:
        return ReadOrder()
    if unread:
        return ReadAuthorizations(unread)
    if (wrong := unordered(order)) is not None:
        return Fail(wrong)
    return _prove(order, challenges, tuple(solvers), labels, answer)


def _prove(
    order: Order,
    challenges: Collection[Challenge],
    solvers: tuple[Any, ...],
    labels: Mapping[str, str],
    answer: AnswerOf,
) -> OrderStep:
    """All authorizations are known and are of names that were ordered: see that each is proven."""
    by_name = {one.metadata.name: one for one in challenges if one.metadata.owned_by(order.metadata, ORDERS)}
    missing: list[MakeChallenge] = []
    waiting: list[Challenge] = []
    outdated: list[Challenge] = []
    for authorization in order.status.authorizations:
        if authorization.initial_state == "valid":
            continue
        name = challenge_name(order, authorization)
        challenge = by_name.get(name)
        if challenge is not None and challenge.status.state in FAILED_STATES:
            why = told(challenge.status.reason) or f"the challenge is {challenge.status.state}"
            return Fail(Reason("ChallengeFailed", f"{challenge.spec.dns_name[:253]}: {why}"))
        if challenge is not None and challenge.status.state in ("valid", "processing"):
            waiting += [] if challenge.status.state == "valid" else [challenge]
            continue
        picked = _answerable(authorization, solvers, labels)
        if isinstance(picked, Refuse):
            return Fail(picked.reasons[0])
        made = MakeChallenge(name, authorization, picked[1], picked[0])
        if challenge is None:
            missing.append(made)
            continue
        wanted = challenge_body(order, made, answer(made.offered.type, made.offered.token))["spec"]
        if challenge.raw_spec == wanted:
            waiting.append(challenge)
        elif isinstance(challenge.raw_spec, dict) and challenge.raw_spec | {"key": wanted["key"]} == wanted:
            return Fail(_ANOTHER_ACCOUNT)
        else:
            outdated.append(challenge)
    if outdated:
        return RemoveChallenges(tuple(outdated))
    if missing:
        return MakeChallenges(tuple(missing))
    if waiting:
        # Of dns-persist-01, which people write the record for, a wildcard's proves the name itself too: whoever reads it first is done.
        persistent = (one for one in waiting if one.spec.wildcard and one.spec.type == _TYPES[DNS_PERSIST01])
        first = next(persistent, waiting[0])
        why = told(first.status.reason) or "waits for its turn"
        return AwaitChallenges(tuple(one.metadata.name for one in waiting), f"{first.spec.dns_name[:253]}: {why}")
    return ReadOrder()


def told(text: str) -> str:
    """What a CA said, as it may stand in a status: printable, on one line, cut."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_REASON])


def unordered(order: Order) -> Reason | None:
    """Tell when the CA wants something proven that was not ordered."""
    spec = order.spec
    left = {name.lower() for name in (*spec.dns_names, *spec.ip_addresses, spec.common_name) if name}
    for authorization in order.status.authorizations:
        name = f"*.{authorization.identifier}" if authorization.wildcard else authorization.identifier
        if name.lower() not in left:
            return Reason("UnexpectedAuthorization", f"the CA wants {shown(name)} proven, which was not ordered")
    return None


def _answerable(
    authorization: Authorization, solvers: Iterable[Any], labels: Mapping[str, str]
) -> tuple[dict[str, Any], OfferedChallenge] | Refuse:
    """The solver and the challenge that it answers (solver_for), which needs a URL and a token; others may have any."""
    picked = solver_for(authorization, solvers, labels)
    if isinstance(picked, Refuse):
        return picked
    offered = picked[1]
    if offered.url and (offered.type == DNS_PERSIST01 or TOKEN.fullmatch(offered.token)):
        return picked
    what = "token (RFC 8555, 8.3)" if offered.url else "URL of its own origin"
    text = f"the CA sent no {what} with the {offered.type} challenge for {shown(authorization.identifier)}"
    return Refuse((Reason("MalformedChallenge", text),))


def challenge_name(order: Order, authorization: Authorization) -> str:
    """Name the Challenge of an authorization: the same after a restart, another for each Order and authorization."""
    digest = hashlib.sha256(f"{order.metadata.uid}\0{authorization.url}".encode()).hexdigest()[:10]
    return f"{shortened(order.metadata.name, 240)}-{digest}"


def challenge_body(order: Order, made: MakeChallenge, key: str) -> dict[str, Any]:
    """Return the Challenge to create; `key` is what is answered (the key authorization, or for DNS-01 its digest)."""
    ref = order.spec.issuer_ref
    return {
        "apiVersion": CHALLENGES.api_version,
        "kind": CHALLENGES.kind,
        "metadata": {
            "name": made.name,
            "namespace": order.metadata.namespace,
            "labels": dict(PART_OF),
            "finalizers": [FINALIZER],
            "ownerReferences": [controller_reference(ORDERS, order.metadata)],
        },
        "spec": {
            "url": made.offered.url,
            "authorizationURL": made.authorization.url,
            "dnsName": made.authorization.identifier,
            "wildcard": made.authorization.wildcard,
            "type": _TYPES[made.offered.type],
            "token": made.offered.token,
            "key": key,
            "issuerRef": dict(zip(("name", "kind", "group"), ref.normal(), strict=True)),
            "solver": dict(made.solver),
        },
    }


def genuine(challenge: Challenge, order: Order, solvers: Iterable[Any], labels: Mapping[str, str], key: str) -> bool:
    """Tell whether a Challenge is the one that we would make: one that a user made, or changed, is never worked on.

    An owner reference proves nothing, since anyone may write one: with a solver of one's own a Challenge has made
    cert-manager hand out a ClusterIssuer's credentials (GHSA-8rvj-mm4h-c258).
    """
    if challenge.problem or not challenge.metadata.owned_by(order.metadata, ORDERS):
        return False
    for authorization in order.status.authorizations:
        if challenge_name(order, authorization) == challenge.metadata.name:
            picked = _answerable(authorization, solvers, labels)
            if isinstance(picked, Refuse):
                return False
            wanted = challenge_body(
                order, MakeChallenge(challenge.metadata.name, authorization, picked[1], picked[0]), key
            )
            return bool(challenge.raw_spec == wanted["spec"])
    return False
