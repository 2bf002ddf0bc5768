"""Order and Challenge of acme.cert-manager.io/v1: the state of one issuance by an ACME server (RFC 8555, 7.1)."""

from typing import get_args

from manifests.generate.acme import solver
from manifests.generate.references import issuer_reference
from manifests.generate.schema import Rule, Schema, boolean, list_of, record, string, strings
from signer.api.challenge import ChallengeType
from signer.api.order import State

_STAYS: Rule = ("self == oldSelf", "spec cannot be changed; the object belongs to one issuance")


def _state(text: str) -> Schema:
    return string(text, enum=[state for state in get_args(State) if state])


def order_spec() -> Schema:
    """Spec of an Order; it cannot be changed."""
    return record(
        "What is ordered. It cannot be changed once it is made.",
        {
            "commonName": string("Common name of the request; one of dnsNames or ipAddresses too."),
            "dnsNames": strings("DNS names to prove."),
            "duration": string("Lifetime to ask for, where the issuer has enableDurationFeature."),
            "ipAddresses": strings("IP addresses to prove (RFC 8738)."),
            "issuerRef": issuer_reference("The ACME issuer."),
            "profile": string("Certificate profile to ask the server for."),
            "replaces": string("Identifier of the certificate that this one replaces (RFC 9773, 5)."),
            "request": string("The PKCS #10 request as PEM (RFC 2986), in base64.", format="byte"),
        },
        required=["issuerRef", "request"],
        rules=[_STAYS],
    )


def order_status() -> Schema:
    """Status of an Order."""
    offered = record(
        "One way to prove it that the server offers.",
        {
            "token": string("Token of the challenge."),
            "type": string("Type of the challenge, as http-01."),
            "url": string("URL of the challenge."),
        },
        required=["token", "type", "url"],
    )
    authorization = record(
        "What must be proven for one name.",
        {
            "challenges": list_of("What the server offers.", offered),
            "identifier": string("The name, without *."),
            "initialState": _state("State when the order was made; a valid one needs no challenge."),
            "url": string("URL of the authorization."),
            "wildcard": boolean("Whether it is for the names below, as *.example.com."),
        },
        required=["url"],
    )
    return record(
        "What came of it; written by mesh-signer.",
        {
            "authorizations": list_of("What must be proven.", authorization),
            "certificate": string("The certificate and its chain as PEM, in base64.", format="byte"),
            "expires": string("When the order ends, as the server says.", format="date-time"),
            "failureTime": string("When the order failed for good.", format="date-time"),
            "finalizeURL": string("URL to send the request to."),
            "placedAt": string("When the server gave the order.", format="date-time"),
            "reason": string("Why it is in its state, for people."),
            "state": _state("State of the order, as the server last said; errored: it would not have it."),
            "url": string(
                "URL of the order; set before anything else is done with it, so that it is never made twice."
            ),
        },
    )


def challenge_spec() -> Schema:
    """Spec of a Challenge; it cannot be changed."""
    return record(
        "What is to be proven, and how. It cannot be changed once it is made.",
        {
            "authorizationURL": string("URL of the authorization."),
            "dnsName": string("The name to prove, without *."),
            "issuerRef": issuer_reference("The ACME issuer."),
            "key": string(
                "What is answered: the key authorization (HTTP-01), its digest (DNS-01), or the account (DNS-PERSIST-01)."
            ),
            "solver": solver(),
            "token": string("Token of the challenge."),
            "type": string("How it is proven.", enum=list(get_args(ChallengeType))),
            "url": string("URL of the challenge."),
            "wildcard": boolean("Whether it is for the names below, as *.example.com."),
        },
        required=["authorizationURL", "dnsName", "issuerRef", "key", "solver", "token", "type", "url"],
        rules=[_STAYS],
    )


def challenge_status() -> Schema:
    """Status of a Challenge."""
    return record(
        "How far it is; written by mesh-signer.",
        {
            "presented": boolean("Whether the answer is in place, as far as we did it."),
            "presentedAt": string("When the answer was put in place.", format="date-time"),
            "processing": boolean("Whether it is being worked on; false while it waits for its turn, and at the end."),
            "reason": string("What it waits for, or why it failed, for people."),
            "state": _state("State of the challenge, as the server last said."),
        },
    )
