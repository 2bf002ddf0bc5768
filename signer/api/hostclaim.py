"""HostClaims of mesh-signer.dev/v1alpha1: which namespace has a public host. We write them, admins may remove them.

Pure: reading never fails; what cannot be read is told in `problem`. signer/edge/hosts/decide.py says what one means.
"""

import msgspec

from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

HOST_CLAIMS = Resource(MESH_GROUP, "v1alpha1", "hostclaims", "HostClaim", namespaced=False)


class HostClaimSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written: the host, and the namespace that has it with the uid that it had.

    `since`, RFC 3339 text: when it was given back to a namespace that was made again.
    """

    host: str = ""
    namespace: str = ""
    namespace_uid: str = msgspec.field(name="namespaceUID", default="")
    since: str | None = None


class SecretRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A Secret that we made for the namespace. Before it is made, `uid` is "" and `public_key` says which it will be.

    `public_key`: SHA-256 of the public key in its certificate (SubjectPublicKeyInfo, DER), in hex.
    """

    namespace: str = ""
    name: str = ""
    uid: str = ""
    public_key: str = ""


class IssuanceRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was ordered for one set of names at one account of a CA, and what came of it; times are RFC 3339 text.

    `names` is issuers.acme.identifiers.set_key of the set; `certificate` is the last one's CertID (RFC 9773, 4.1).
    """

    names: str = ""
    account: str = ""
    orders: tuple[str, ...] = ()
    renewals: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    failures: int = 0
    failed_at: str | None = None
    not_before: str | None = None
    reason: str = ""
    certificate: str = ""
    issued_at: str | None = None
    expires_at: str | None = None


class HostClaimStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; times are RFC 3339 text."""

    conditions: tuple[Condition, ...] = ()
    contenders: tuple[str, ...] = ()
    unused_since: str | None = None
    secrets: tuple[SecretRecord, ...] = ()
    issuances: tuple[IssuanceRecord, ...] = ()


class HostClaim(HasStatus[HostClaimSpec, HostClaimStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """A HostClaim. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = HostClaimSpec
    status_type = HostClaimStatus
