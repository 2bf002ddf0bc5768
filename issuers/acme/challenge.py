"""What proves a name: the answers of HTTP-01 and DNS-01 (RFC 8555, section 8). Pure.

The key authorization is put together from the token as the CA wrote it. The `acme` library decodes a token and encodes
it again, which changes one that is not canonical base64url, and then the CA finds another text than it asked for.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from issuers.acme.order import Authorization, Challenge, ChallengeStatus

HTTP01 = "http-01"
DNS01 = "dns-01"
HTTP01_PATH = "/.well-known/acme-challenge/"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """To be answered with status 200 on port 80 of `host`, at `path`, in plain text."""

    host: str
    path: str
    body: str


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """A TXT record: `name` without a trailing dot. Apex and wildcard have the same name and two values."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class NoChallenge:
    """None of the ways that are configured is offered for this name; `reason` tells a person what to change."""

    reason: str


def key_authorization(token: str, thumbprint: str) -> str:
    """RFC 8555, section 8.1."""
    return f"{token}.{thumbprint}"


def dns_value(token: str, thumbprint: str) -> str:
    """RFC 8555, section 8.4: the digest of the key authorization, base64url."""
    digest = hashlib.sha256(key_authorization(token, thumbprint).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def http_answer(authorization: Authorization, challenge: Challenge, thumbprint: str) -> HttpAnswer:
    """What to serve for HTTP-01."""
    return HttpAnswer(
        authorization.identifier.value, HTTP01_PATH + challenge.token, key_authorization(challenge.token, thumbprint)
    )


def dns_answer(authorization: Authorization, challenge: Challenge, thumbprint: str) -> DnsAnswer:
    """What to publish for DNS-01."""
    return DnsAnswer(f"_acme-challenge.{authorization.identifier.base}", dns_value(challenge.token, thumbprint))


def choose(authorization: Authorization, wanted: Sequence[str]) -> Challenge | NoChallenge:
    """The first of the `wanted` types ("http-01", "dns-01") that the CA offers for this name."""
    # One that failed is not tried again (RFC 8555, 7.1.6: `invalid` is final); another way may still be open.
    offered = {one.type: one for one in authorization.challenges if one.status is not ChallengeStatus.INVALID}
    name = authorization.identifier
    # CAs offer only dns-01 for a wildcard (Baseline Requirements 3.2.2.4.19) and only http-01 for an address (RFC 8738).
    usable = [
        kind for kind in wanted if not (name.wildcard and kind == HTTP01) and not (name.type == "ip" and kind == DNS01)
    ]
    for kind in usable:
        if kind in offered:
            return offered[kind]
    if not usable:
        needed = DNS01 if name.wildcard else HTTP01
        return NoChallenge(
            f"{name.value} can only be proven by {needed}, and the issuer has no solver of that type for it"
        )
    return NoChallenge(
        f"the CA offers {', '.join(sorted(offered)) or 'nothing'} for {name.value}, the issuer has {', '.join(wanted)}"
    )
