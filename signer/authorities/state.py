"""What is known of one issuer: may it sign, with what, and if not, why. Pure, given its time.

The reasons are cert-manager's (pkg/issuer/ca/setup.go), so that alerts and habits stay; the messages say more, since
more is checked here than there (issuers/authority.py).
"""

import binascii
import re
from binascii import a2b_base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from issuers.authority import MAX_PEM_BYTES, Authority, clock_here, expiry_warning
from issuers.errors import InvalidAuthority
from signer.api.issuer import CAIssuer, Issuer, IssuerRef
from signer.api.meant import nearest
from signer.api.meta import ObjectMeta, find_condition, slim_metadata, to_rfc3339

IssuerType = Literal["ca", "selfSigned", "acme", "vault", "venafi", ""]

VERIFIED = "KeyPairVerified"
NO_KEY_PAIR = "ErrGetKeyPair"
BAD_KEY_PAIR = "ErrInvalidKeyPair"
SELF_SIGNED_READY = "IsReady"
TYPE_MISSING = "IssuerTypeMissing"
NOT_SUPPORTED = "UnsupportedField"
INVALID = "InvalidSpec"
PENDING = "Pending"
# Reasons of refusals and Events: nobody would accept the certificate, or not everybody would.
NOT_VERIFIABLE = "NotVerifiable"
NOT_BY_ALL = "NotVerifiableByAll"

_TOLD_DOUBTS = 3

# basicConstraints: its object identifier, perhaps critical, and cA TRUE.
_CA = re.compile(rb"\x06\x03\x55\x1d\x13(?:\x01\x01\xff)?\x04.\x30.\x01\x01\xff", re.DOTALL)

_TYPES: tuple[IssuerType, ...] = ("ca", "selfSigned", "acme", "vault", "venafi")


class CASecretData(msgspec.Struct, frozen=True, kw_only=True):
    """The three entries of a Secret that a CA is made of; the rest of it is never kept."""

    tls_crt: bytes = msgspec.field(name="tls.crt", default=b"")
    tls_key: bytes = msgspec.field(name="tls.key", default=b"")
    ca_crt: bytes = msgspec.field(name="ca.crt", default=b"")

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return "CASecretData(…)"


class CASecret(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret as a CA issuer sees it."""

    metadata: ObjectMeta
    data: CASecretData = CASecretData()
    # Why its data is not kept; "" where it is.
    withheld: str = ""


def slim_secret(secret: CASecret) -> CASecret:
    """Keep a Secret's name, and of each entry what shows that it is too large."""
    data = secret.data
    most = MAX_PEM_BYTES + 1
    if max(len(data.tls_crt), len(data.tls_key), len(data.ca_crt)) > most:
        data = CASecretData(tls_crt=data.tls_crt[:most], tls_key=data.tls_key[:most], ca_crt=data.ca_crt[:most])
    return CASecret(metadata=slim_metadata(secret.metadata), data=data)


def looks_like_a_ca(secret: CASecret) -> bool:
    """Tell whether the first certificate says that it is a CA's (RFC 5280, 4.2.1.9), without reading the rest of it."""
    text = secret.data.tls_crt.partition(b"-----BEGIN CERTIFICATE-----")[2].partition(b"-----END")[0]
    try:
        return _CA.search(a2b_base64(text)) is not None
    except binascii.Error:
        return False


def withheld(secret: CASecret, why: str) -> CASecret:
    """What is kept of a Secret for which its namespace has no room."""
    return CASecret(metadata=secret.metadata, withheld=why)


@dataclass(frozen=True, slots=True)
class IssuerState:
    """One issuer as it is now. `authority` is there when a `ca` issuer is ready; `warning` when its CA ends soon.

    `doubt` says which verifiers accept nothing that its CA signs, though others do. `missing` is the Secret that is not there.
    """

    ref: IssuerRef
    issuer: Issuer
    kind: IssuerType
    ready: bool
    reason: str
    message: str
    authority: Authority | None = field(default=None, repr=False)
    warning: str | None = None
    doubt: str = ""
    missing: "NeedsSecret | None" = None

    @property
    def ca(self) -> CAIssuer:
        """The settings of a `ca` issuer, empty for another kind."""
        return self.issuer.spec.ca or CAIssuer()


@dataclass(frozen=True, slots=True)
class NeedsSecret:
    """The issuer is a `ca` issuer: its state depends on this Secret."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class SecretMissing:
    """No such Secret, or it could not be read: `message` says which."""

    message: str


def not_found(namespace: str, name: str, others: Iterable[str] = ()) -> SecretMissing:
    """Say that there is no such Secret, and which of `others`, names of CAs' Secrets there, is called nearly so."""
    near = nearest(name, others, 0.75)
    hint = f": is {near} meant (spec.ca.secretName)?" if near else ""
    return SecretMissing(f'secret "{name}" not found in namespace "{namespace}"{hint}')


def issuer_type(issuer: Issuer) -> IssuerType:
    """Return the one type that the spec sets, "" for none or for an unreadable spec."""
    raw = issuer.raw_spec if isinstance(issuer.raw_spec, dict) else {}
    found = [kind for kind in _TYPES if raw.get(kind) is not None]
    return found[0] if len(found) == 1 else ""


def judge_spec(issuer: Issuer, cluster_resource_namespace: str) -> IssuerState | NeedsSecret:
    """Judge what the spec alone tells; a `ca` issuer needs its Secret looked at too.

    A ClusterIssuer's Secret lies in the cluster resource namespace, an Issuer's in its own.
    """
    ref, kind = issuer.ref, issuer_type(issuer)
    raw = issuer.raw_spec if isinstance(issuer.raw_spec, dict) else {}
    types = [name for name in _TYPES if raw.get(name) is not None]

    def unready(reason: str, message: str) -> IssuerState:
        return IssuerState(ref, issuer, kind, ready=False, reason=reason, message=message)

    if issuer.problem:
        return unready(INVALID, f"{ref}: {issuer.problem}")
    if len(types) > 1:
        return unready(INVALID, f"{ref}: spec sets {' and '.join(types)}; an issuer has one type")
    if kind == "":
        return unready(TYPE_MISSING, f"{ref}: spec names no issuer type (ca, selfSigned)")
    if kind == "acme":
        return _registered(issuer)
    if kind not in {"ca", "selfSigned"}:
        return unready(NOT_SUPPORTED, f"{ref}: spec.{kind} is not supported by this version of mesh-signer")
    if issuer.unsupported:
        return unready(NOT_SUPPORTED, f"{ref}: {', '.join(issuer.unsupported)} is not supported")
    if kind == "selfSigned":
        return IssuerState(ref, issuer, kind, ready=True, reason=SELF_SIGNED_READY, message="")
    if not issuer.spec.ca or not issuer.spec.ca.secret_name:
        return unready(INVALID, f"{ref}: spec.ca.secretName is empty")
    return NeedsSecret(ref.namespace or cluster_resource_namespace, issuer.spec.ca.secret_name)


def _registered(issuer: Issuer) -> IssuerState:
    """Judge an ACME issuer by its status: the controller that talks to its server alone knows more, and writes it there."""
    found = find_condition(issuer.status.conditions, "Ready")
    if found is None or found.observed_generation != issuer.metadata.generation:
        message = f"{issuer.ref}: its account is not registered yet"
        return IssuerState(issuer.ref, issuer, "acme", ready=False, reason=PENDING, message=message)
    return IssuerState(
        issuer.ref, issuer, "acme", ready=found.status == "True", reason=found.reason, message=found.message
    )


def judge_ca(
    issuer: Issuer, secret: NeedsSecret, found: Authority | InvalidAuthority | SecretMissing | None, now: datetime
) -> IssuerState:
    """Judge a `ca` issuer by what its Secret gave: a CA, a defect, nothing, or None while it is being looked at."""
    ref = issuer.ref
    where = f"Secret {secret.namespace}/{secret.name}"
    if isinstance(found, Authority):
        defect = _date_defect(found, now)
        if defect is None:
            return IssuerState(
                ref,
                issuer,
                "ca",
                ready=True,
                reason=VERIFIED,
                message="Signing CA verified",
                authority=found,
                warning=expiry_warning(found, now),
                doubt="; ".join(found.doubts[:_TOLD_DOUBTS]),
            )
        reason, message = BAD_KEY_PAIR, f"{where}: {defect}"
    elif isinstance(found, InvalidAuthority):
        reason = NO_KEY_PAIR if found.reason in {"InvalidCertificate", "InvalidKey", "EncryptedKey"} else BAD_KEY_PAIR
        message = f"Error getting keypair for CA issuer: {where}: {found}"
    elif isinstance(found, SecretMissing):
        message = f"Error getting keypair for CA issuer: {found.message}"
        return IssuerState(ref, issuer, "ca", ready=False, reason=NO_KEY_PAIR, message=message, missing=secret)
    else:
        reason, message = PENDING, f"{where} is being read"
    return IssuerState(ref, issuer, "ca", ready=False, reason=reason, message=message)


def _date_defect(authority: Authority, now: datetime) -> str | None:
    """Say what is wrong with the dates now: an authority that was loaded in time ends all the same."""
    if now >= authority.not_after:
        return f"tls.crt: the CA certificate expired at {to_rfc3339(authority.not_after)}"
    if now < authority.not_before:
        return f"tls.crt: the CA certificate is not valid before {to_rfc3339(authority.not_before)}; {clock_here(now, authority.not_before)}"
    return None
