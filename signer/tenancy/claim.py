"""What is put to the wall: a claim, and the operator's limits. Values."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from issuers.request import SigningRequest
from signer.api.issuer import IssuerRef


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks for what from whom.

    `requester` is the user name that the API server recorded; `signer` the issuer that was named; `ca_key_id` the
    SHA-256 of the public key of the CA that would sign ("" for a self-signed certificate), `root_key_id` that of the root
    above it, if known, and `ca_not_after` its end;
    `lifetime` what was asked, None for nothing; `created` when. A CertificateRequest has a `namespace`, and no
    requester: what it says of him is his own word.
    """

    requester: str
    signer: IssuerRef
    ca_key_id: str
    request: SigningRequest
    usages: tuple[str, ...]
    is_ca: bool
    lifetime: timedelta | None
    resource: Literal["CertificateSigningRequest", "CertificateRequest"] = "CertificateSigningRequest"
    namespace: str = ""
    created: datetime | None = None
    ca_not_after: datetime | None = None
    root_key_id: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows at all, whoever asks."""

    allow_ca_requests: bool = True
