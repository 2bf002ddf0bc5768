"""The wall: every signature, whatever resource asked for it, passes this one function.

Pure: no clock, no network, no state of its own. So far it lets everything pass that cert-manager would sign
(docs/architecture.md, "The wall").
"""

from dataclasses import dataclass
from datetime import timedelta

from issuers.request import SigningRequest
from signer.api.issuer import IssuerRef
from signer.tenancy.verdict import Grant, Reason, Refuse


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks for what from whom.

    `requester` is the user name that the API server recorded; `signer` the issuer that was named; `ca_key_id` the
    SHA-256 of the public key of the CA that would sign ("" for a self-signed certificate); `lifetime` what was asked.
    """

    requester: str
    signer: IssuerRef
    ca_key_id: str
    request: SigningRequest
    usages: tuple[str, ...]
    is_ca: bool
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows at all, whoever asks."""

    allow_ca_requests: bool = True


def decide(claim: Claim, limits: Limits) -> Grant | Refuse:
    """Tell whether the claim may be issued, and for how long at most."""
    if claim.is_ca and not limits.allow_ca_requests:
        return Refuse(
            (
                Reason(
                    "CARequestsNotAllowed",
                    f"{claim.signer} was asked for a CA certificate (annotation {'request-is-ca'}), which this signer "
                    "does not issue (--allow-ca-requests=false)",
                ),
            )
        )
    return Grant(claim.lifetime)
