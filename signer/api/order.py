"""Orders and what they say of authorizations: acme.cert-manager.io/v1, the state of one issuance by an ACME server.

Pure: reading never fails; what cannot be read is told in `problem`.
"""

from functools import cached_property
from typing import Any, Literal

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.meta import ObjectMeta, read_part
from signer.kube.resource import Resource

ACME_GROUP = "acme.cert-manager.io"
ORDERS = Resource(ACME_GROUP, "v1", "orders", "Order", namespaced=True)

State = Literal["", "valid", "ready", "pending", "processing", "invalid", "expired", "errored"]
"""RFC 8555, 7.1.6; "": the server was not asked yet; "errored": it would not have the order at all."""
FAILED_STATES: frozenset[State] = frozenset(("invalid", "expired", "errored"))
FINAL_STATES: frozenset[State] = FAILED_STATES | {"valid"}


class OrderSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written; it never changes. `request` is PEM."""

    request: bytes = b""
    issuer_ref: IssuerReference = IssuerReference()
    common_name: str = ""
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    duration: str | None = None
    profile: str = ""
    replaces: str = ""


class OfferedChallenge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One way to prove a name that the server offers."""

    type: str = ""
    url: str = ""
    token: str = ""


class Authorization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What must be proven for one name; `identifier` is without "*."."""

    url: str = ""
    identifier: str = ""
    wildcard: bool = False
    initial_state: State = ""
    challenges: tuple[OfferedChallenge, ...] = ()


class OrderStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; `url` is the one thing that must never be lost. `certificate` is PEM, times are RFC 3339 text.

    `placed_at` and `expires` are ours, not cert-manager's: when the CA gave the order, and when it said that it ends.
    """

    url: str = ""
    finalize_url: str = msgspec.field(name="finalizeURL", default="")
    state: State = ""
    reason: str = ""
    authorizations: tuple[Authorization, ...] = ()
    certificate: bytes = b""
    failure_time: str | None = None
    placed_at: str | None = None
    expires: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """An Order. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)
    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def _spec(self) -> tuple[OrderSpec, str]:
        return read_part(self.raw_spec, OrderSpec, "spec")

    @cached_property
    def _status(self) -> tuple[OrderStatus, str]:
        return read_part(self.raw_status, OrderStatus, "status")

    @property
    def spec(self) -> OrderSpec:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def status(self) -> OrderStatus:
        """The status, empty when there is a `problem`."""
        return self._status[0]

    @property
    def problem(self) -> str:
        """Why it cannot be read, naming the field. An unreadable status counts too: taken for empty, it would order twice."""
        return self._spec[1] or self._status[1]
