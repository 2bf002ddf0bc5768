"""How long the certificate in a Secret can be verified with what stands beside it, and with what its CA has become.

A certificate is worth nothing once a CA above it, or the root in its ca.crt, has ended. And a CA that was renewed with its
key verifies what it signed before, so the Secrets of its leaves get the new chain and root, without a new certificate:
whoever trusts that ca.crt goes on verifying what the CA signs from now on. With another key nothing is changed
(ADR 37), and that is told of the leaf. Pure; verifying a chain costs up to a millisecond for each certificate, so callers do it off the loop.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import Authority, signed
from issuers.x509 import loading, parts, pem
from issuers.x509.not_pem import instead_of_pem
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.secret import TLS_CERT, Secret
from signer.api.text import shown
from signer.certificates.renewal import useful_until
from signer.certificates.secrets.content import IssuedData
from signer.certificates.spec.check import Defect

OTHER_CA = "IssuerHasAnotherCA"
CA_ENDS_SOON = "CAEndsSoon"
UNREADABLE_CA = "UnreadableCA"
BROKEN_CHAIN = "BrokenChain"
_MAX_CHAIN = 10
_MAX_ROOTS = 100
MOST_OF_A_NAME = 16
# Bytes of what is remembered of one Secret.
_SMALL = 8 * 1024


class SecretLike(Protocol):
    """What is read of a Secret (signer/certificates/secrets/view.py, which asks here)."""

    @property
    def secret(self) -> Secret:
        """The Secret."""

    @property
    def leaf(self) -> x509.Certificate | None:
        """The certificate in it."""

    @property
    def trust_ends(self) -> datetime | None:
        """When the first of those above the certificate ends; None where they do not verify it."""


def trusted_until(chain: bytes, ca: bytes) -> datetime | None:
    """When the first of the certificates above a leaf ends, its root in ca.crt included; None when they do not verify it."""
    # A Certificate is looked at again and again, and rarely changes.
    return _remembered(chain, ca) if len(chain) + len(ca) <= _SMALL else _until(chain, ca)


@lru_cache(maxsize=512)
def _remembered(chain: bytes, ca: bytes) -> datetime | None:
    return _until(chain, ca)


def _until(chain: bytes, ca: bytes) -> datetime | None:
    members = _read(chain)[:_MAX_CHAIN]
    roots = list(islice(loading.readable_certificates(ca), _MAX_ROOTS))
    if not members or not roots:
        return None
    signed_by = _Signed()
    if _stranger(members, signed_by) is not None:
        return None
    # What is no root ends a path where it is the last: not every verifier stops at it.
    whole = [root for root in roots if _names(root)[0] == _names(root)[1]]
    ends = [_anchored(member, whole, signed_by) for member in members[:-1]]
    ends.append(_anchored(members[-1], roots, signed_by))
    # A path up may lead over certificates in any order: the way that lasts longest counts.
    for _ in members:
        for at, below in enumerate(members):
            above = [(upper, end) for upper, end in zip(members, ends, strict=True) if end is not None]
            ways = [min(end, upper.not_valid_after_utc) for upper, end in above if signed_by(below, upper)]
            ends[at] = max((end for end in (ends[at], *ways) if end is not None), default=None)
    return ends[0]


class _Signed:
    """Which certificate was signed by which: each pair of one name is verified once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def __call__(self, lower: x509.Certificate, upper: x509.Certificate) -> bool:
        if _names(lower)[1] != _names(upper)[0]:
            return False
        pair = (id(lower), id(upper))
        if pair not in self._known:
            self._known[pair] = loading.signed_by(lower, upper)
        return self._known[pair]


def _anchored(member: x509.Certificate, roots: Sequence[x509.Certificate], signed_by: _Signed) -> datetime | None:
    """When the last of these roots ends that a certificate is, or that signed it; None where there is none."""
    # Of a name there are few roots, unless somebody wants many signatures verified.
    issuer = _names(member)[1]
    named = [root for root in roots if root != member and _names(root)[0] == issuer][:MOST_OF_A_NAME]
    anchors = [root for root in roots if root == member]
    anchors += [root for root in named if signed_by(member, root)]
    return max((root.not_valid_after_utc for root in anchors), default=None)


def _stranger(members: Sequence[x509.Certificate], signed_by: _Signed) -> int | None:
    """The place of the first certificate that neither signed one before it nor is another issue of one; None where there is none.

    Cross certificates may follow the others, for those who trust another root (RFC 8446, 4.4.2).
    """
    for at, one in enumerate(members[1:], 1):
        if not any(signed_by(lower, one) or _issues(lower, one) for lower in reversed(members[:at])):
            return at
    return None


def _issues(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Tell whether two certificates have one subject and key."""
    here, there = parts.parts_of(one), parts.parts_of(other)
    return (here.subject, here.spki) == (there.subject, there.spki)


def _names(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Subject and issuer as they stand: verifiers compare their bytes, be there text in them or not."""
    found = parts.parts_of(certificate)
    return found.subject, found.issuer


def readable_ca(text: bytes) -> tuple[bytes, str]:
    """What of a root that another group's issuer answered goes into ca.crt, and why that is not all: one that nobody can read does not."""
    if not text:
        return b"", ""
    try:
        loading.certificates(text)
    except loading.Unreadable as error:
        why = instead_of_pem(text) or str(error)
        if next(loading.readable_certificates(text), None) is None:
            return b"", f"{why}: ca.crt is left out"
        return pem.usual_labels(text), f"{why}: some readers refuse all of ca.crt for it"
    return pem.usual_labels(text), ""


def stored_ca(request: CertificateRequest) -> bytes:
    """The root in an answered request as it is to be stored. What this program answered is not read again."""
    ca = request.status.ca
    return ca if request.spec.issuer_ref.ours else readable_ca(ca)[0]


def answer_doubts(request: CertificateRequest | None, chain: bytes, ca: bytes, *, verified: bool) -> list[Defect]:
    """Say of what another group's issuer answered why verifiers will not make use of it: no refusal, since such issuers exist.

    `chain` and `ca` are what is in the Secret; `verified` where they are known to lead from the leaf to a root of ca.crt.
    """
    found: list[Defect] = []
    if request is not None and (why := readable_ca(request.status.ca)[1]):
        found.append(Defect(UNREADABLE_CA, f"the issuer's answer has a root (status.ca) that cannot be read: {why}"))
    if not verified and (why := _broken(chain, ca)):
        found.append(
            Defect(BROKEN_CHAIN, f"the issuer's answer is stored as it is, but verifiers may refuse it: {why}")
        )
    return found


def _broken(chain: bytes, ca: bytes) -> str:
    """Why a chain does not lead from its first certificate upwards, and on to one of ca.crt where there is any; "" when it does."""
    members = _read(chain)
    if not members:
        return "tls.crt holds what is no certificate after the first one"
    if len(members) > _MAX_CHAIN:
        return f"tls.crt holds {len(members)} certificates; {_MAX_CHAIN} are looked at"
    if (at := _stranger(members, _Signed())) is not None:
        return f"{_named(members[at])} of tls.crt did not sign {_named(members[at - 1])}, which stands before it"
    if not ca or trusted_until(chain, ca) is not None:
        return ""
    return f"no certificate of ca.crt signed {_named(members[-1])}, the last of tls.crt"


def _named(certificate: x509.Certificate) -> str:
    subject = parts.subject_text(certificate)
    return shown(subject) if subject else "a certificate whose subject is empty, or cannot be read"


def longest(issued: IssuedData, held: IssuedData | None, authority: Authority | None) -> IssuedData:
    """The same certificate with the chain and root that verify it longest: as issued, as its CA has them now, or as held.

    `held` is what is in the Secret; it counts while its CA is not known. What ends sooner replaces nothing.
    """
    leaf = _read(issued.chain)[:1]
    if not leaf:
        return issued
    data = leaf[0].public_bytes(Encoding.DER)
    other: IssuedData | None = None
    if authority is not None:
        if signed(data, authority):
            chain = pem.encode("CERTIFICATE", data) + authority.chain_pem
            other = replace(issued, chain=chain, ca=authority.anchor_pem)
    elif held is not None and _read(held.chain)[:1] == leaf:
        other = replace(issued, chain=held.chain, ca=held.ca)
    if other is None or (other.chain, other.ca) == (issued.chain, issued.ca):
        return issued
    now, then = trusted_until(issued.chain, issued.ca), trusted_until(other.chain, other.ca)
    return other if then is not None and (now is None or then >= now) else issued


def another_ca(
    view: SecretLike, authority: Authority, issuer: IssuerRef, renewed_at: datetime, name: str
) -> Defect | None:
    """Say that a certificate was not signed by the CA that its issuer has now: it was re-keyed, or is another Secret's.

    The certificate is left as it is until its renewal (ADR 37), so whoever has it must know.
    """
    if view.leaf is None or signed(view.leaf.public_bytes(Encoding.DER), authority):
        return None
    chain = view.secret.data.get(TLS_CERT, b"")
    if trusted_until(chain, authority.anchor_pem) is not None:
        worth = "Both lead to the same root, so whoever trusts that accepts it"
    elif view.trust_ends is None:
        worth = "Whoever trusts the present CA refuses it, and the ca.crt beside it does not verify it either"
    else:
        worth = f"Whoever trusts the present CA alone refuses it; the ca.crt beside it verifies it until {to_rfc3339(view.trust_ends)}"
    return Defect(
        OTHER_CA,
        f"{issuer} has another CA now, {authority.subject!r}, which did not sign this certificate. {worth}. It is issued anew "
        f"at {to_rfc3339(renewed_at)}, or at once by `mesh-signer renew {name}`",
    )


def renewal_in_vain(view: SecretLike, authority: Authority, issuer: IssuerRef) -> Defect | None:
    """Say that a renewal would give a certificate that ends no later, since its CA, or one above, ends as soon.

    Without this the last days of a CA would be renewals without end, each after two thirds of what is left.
    """
    if view.leaf is None:
        return None
    ends = useful_until(view.leaf.not_valid_before_utc, view.leaf.not_valid_after_utc, view.trust_ends)
    if authority.not_after > ends or not signed(view.leaf.public_bytes(Encoding.DER), authority):
        return None
    return Defect(
        CA_ENDS_SOON,
        f"the renewal waits: the CA of {issuer}, {authority.subject!r}, ends at {to_rfc3339(authority.not_after)}, and a new "
        "certificate would end no later than this one. Renew the CA, and the one above it if that ends then",
    )


def _read(text: bytes) -> Sequence[x509.Certificate]:
    try:
        return loading.certificates(text)
    except loading.Unreadable:
        return []
