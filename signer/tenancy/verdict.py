"""What is put to the wall (a claim, the operator's limits), and what it answers: a verdict is a value, never an exception.

An exception says that something could not be determined; a verdict says what was found. Every reason of a refusal is
kept, so that a person mends all of them at once. Immutable, shared freely.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from issuers.chain import Chain
from issuers.request import SigningRequest
from issuers.spiffe import SpiffeId
from signer.api.issuer import IssuerRef
from signer.api.text import fitted
from signer.tenancy.world import Confirmed, Rate


class Route(msgspec.Struct, frozen=True):
    """What is asked of `asked` for a workload of `namespace` is signed by `signer`, since SignerPolicy `policy` routes it."""

    asked: IssuerRef
    signer: IssuerRef
    namespace: str
    policy: str


class Bridge(msgspec.Struct, frozen=True):
    """A bridge between tenants as both hands allow it: `client` may have a certificate by the CA of namespace `server`.

    `name` is the TenantBridge's, NAMESPACE/NAME, `policy` that of the TenantBridgePolicy that allows it. The uids are of
    the namespaces that both were read for. `lifetime` is the longest that a certificate lives, and none outlives `ends`.
    """

    name: str
    policy: str
    server: str
    server_uid: str
    client: SpiffeId
    client_uid: str
    lifetime: timedelta
    ends: datetime | None = None


class Claim(msgspec.Struct, frozen=True):
    """Who asks for what from whom.

    `requester` is the user name that the API server recorded; `signer` the issuer that was named; `ca_key_id` the
    SHA-256 of the public key of the CA that would sign ("" for a self-signed certificate), `root_key_id` that of the root
    above it, if known, `chain` the whole of it, and `ca_not_after` its end;
    `lifetime` what was asked, None for nothing; `created` when. A CertificateRequest has a `namespace`, and a requester
    only where the API server vouches for him (signer/certificates/requests/requester.py): else he is "", unknown. The requester of
    a PodCertificateRequest is the node that it names, the only one that admission lets ask for that Pod.
    A TenantBridge has a `bridge`, which is all that it can be granted by. With a `route` the request named another signer, and
    `signer` is the one that identity chose.
    """

    requester: str
    signer: IssuerRef
    ca_key_id: str
    request: SigningRequest
    usages: tuple[str, ...]
    is_ca: bool
    lifetime: timedelta | None
    resource: Literal["CertificateSigningRequest", "CertificateRequest", "PodCertificateRequest", "TenantBridge"] = (
        "CertificateSigningRequest"
    )
    namespace: str = ""
    created: datetime | None = None
    ca_not_after: datetime | None = None
    root_key_id: str = ""
    chain: Chain | None = None
    bridge: Bridge | None = None
    route: Route | None = None


class Limits(msgspec.Struct, frozen=True):
    """What the operator allows at all, whoever asks."""

    allow_ca_requests: bool = True


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: `code` is CamelCase for programs (a condition's reason), `message` is for people.

    `others` names what the message leaves out since its reader may be another tenant; it is for admins: the log, commands.
    """

    code: str
    message: str
    others: str = ""

    def __post_init__(self) -> None:
        """Keep no more of what others wrote than is read: a name in a request may have 40,000 characters."""
        object.__setattr__(self, "message", fitted(self.message))
        object.__setattr__(self, "others", fitted(self.others))


class Grant(msgspec.Struct, frozen=True):
    """The wall lets it pass: what is asked for may be issued, for `lifetime` at most.

    `source` says in words where the grant comes from, `policy` names the SignerPolicy that allowed it, if one did. For a mesh request `namespace` is the tenant's, `not_before`
    when the certificate begins, and `usages` all that it may have; the certificate is built from these and the SPIFFE
    ID alone. `would_refuse` holds the reasons that count for nothing in audit mode.
    """

    lifetime: timedelta
    source: str = ""
    policy: str = ""
    mesh: bool = False
    namespace: str = ""
    not_before: datetime | None = None
    usages: tuple[str, ...] = ()
    append_root: bool = False
    rate: Rate | None = None
    would_refuse: tuple[Reason, ...] = ()


class Bind(msgspec.Struct, frozen=True):
    """First store that this namespace owns this signer (a SignerBinding, by atomic create), then decide again."""

    signer: IssuerRef
    namespace: str
    namespace_uid: str


class Reread(msgspec.Struct, frozen=True):
    """First read this namespace's ProxyConfigs and the mesh config once more, live, then decide again (`fresh`)."""

    namespace: str


class Confirm(msgspec.Struct, frozen=True):
    """First read live whether this very namespace may still have this signer, then decide again.

    Asked before the first certificate of a namespace's uid, and now and then after it (World.confirmed). `policy` is the
    SignerPolicy that a CertificateRequest rests on; "" for a request of istiod's. `asked` is the signer that was asked where
    identity chose this one: that it does is read live as well.
    """

    signer: IssuerRef
    namespace: str
    namespace_uid: str
    policy: str = ""
    asked: IssuerRef | None = None

    @property
    def key(self) -> Confirmed:
        """By what it is remembered."""
        return self.namespace_uid, self.signer, self.policy, self.asked


Inquiry = Bind | Reread | Confirm
"""What the wall must have answered before it decides."""


class Refuse(msgspec.Struct, frozen=True):
    """Never to be issued. `reasons` holds at least one, the first one names the condition."""

    reasons: tuple[Reason, ...]

    @property
    def code(self) -> str:
        """The reason of the condition: the first that was found."""
        return self.reasons[0].code

    @property
    def message(self) -> str:
        """All reasons in one text."""
        return "; ".join(reason.message for reason in self.reasons)

    @property
    def others(self) -> str:
        """What admins are told beside it; "" for nothing."""
        return "; ".join(reason.others for reason in self.reasons if reason.others)


class Unready(msgspec.Struct, frozen=True):
    """Nothing can be decided yet: a source was not read, or not heard of for too long. Never a refusal, never a grant."""

    reason: Reason


class Wait(msgspec.Struct, frozen=True):
    """Not now: taken up again by itself when what it waits for changes.

    `issuer` is the issuer whose change ends the wait; `secret` is the Secret's (namespace, name), when it is one.
    """

    reason: Reason
    issuer: IssuerRef
    secret: tuple[str, str] | None = None
