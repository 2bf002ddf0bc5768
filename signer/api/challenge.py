"""Challenges: acme.cert-manager.io/v1, the proof of one name of an Order.

Pure: reading never fails; what cannot be read is told in `problem`. The key is an answer that the whole world may read.
"""

from functools import cached_property
from typing import Any, Literal

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.meta import ObjectMeta, read_part
from signer.api.order import ACME_GROUP, State
from signer.kube.resource import Resource

CHALLENGES = Resource(ACME_GROUP, "v1", "challenges", "Challenge", namespaced=True)
FINALIZER = "acme.cert-manager.io/finalizer"
"""Keeps a Challenge until what was presented for it is taken away."""

ChallengeType = Literal["HTTP-01", "DNS-01"]


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


class Challenge(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """A Challenge. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)
    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def _spec(self) -> tuple[ChallengeSpec, str]:
        return read_part(self.raw_spec, ChallengeSpec, "spec")

    @property
    def spec(self) -> ChallengeSpec:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def problem(self) -> str:
        """Why the spec cannot be read, naming the field; "" when it can."""
        return self._spec[1]

    @cached_property
    def status(self) -> ChallengeStatus:
        """The status, empty when it cannot be read: what was done for a Challenge can be done again."""
        return read_part(self.raw_status, ChallengeStatus, "status")[0]
