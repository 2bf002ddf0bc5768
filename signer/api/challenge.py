"""Challenges: acme.cert-manager.io/v1, the proof of one name of an Order.

Pure: reading never fails; what cannot be read is told in `problem`. The key is an answer that the whole world may read.
"""

from typing import Any, Literal

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.order import ACME_GROUP, State
from signer.api.parts import HasStatus
from signer.kube.resource import Resource

CHALLENGES = Resource(ACME_GROUP, "v1", "challenges", "Challenge", namespaced=True)
FINALIZER = "acme.cert-manager.io/finalizer"
"""Keeps a Challenge until what was presented for it is taken away."""

ChallengeType = Literal["HTTP-01", "DNS-01", "DNS-PERSIST-01"]


class ChallengeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written; it never changes. `solver` is one entry of the issuer's spec.acme.solvers."""

    url: str = ""
    authorization_url: str = msgspec.field(name="authorizationURL", default="")
    dns_name: str = ""
    wildcard: bool = False
    type: ChallengeType = "HTTP-01"
    token: str = ""
    key: str = ""
    issuer_ref: IssuerReference = IssuerReference()
    solver: dict[str, Any] = {}


class ChallengeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; times are RFC 3339 text."""

    processing: bool = False
    presented: bool = False
    presented_at: str | None = None
    reason: str = ""
    state: State = ""


class Challenge(HasStatus[ChallengeSpec, ChallengeStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """A Challenge. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = ChallengeSpec
    status_type = ChallengeStatus
