"""How long the certificate in a Secret can be verified with what stands beside it, and with what its CA has become.

A certificate is worth nothing once a CA above it, or the root in its ca.crt, has ended. And a CA that was renewed with its
key verifies what it signed before, so the Secrets of its leaves get the new chain and root, without a new certificate:
whoever trusts that ca.crt goes on verifying what the CA signs from now on. With another key nothing is changed
(ADR 37). Pure; verifying a chain costs up to a millisecond for each certificate, so callers do it off the loop.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import Authority, signed
from issuers.x509 import loading, pem
from signer.certificates.secrets.content import IssuedData

_MAX_CHAIN = 10
_MAX_ROOTS = 100
MOST_OF_A_NAME = 16
# Bytes of what is remembered of one Secret.
_SMALL = 8 * 1024


def trusted_until(chain: bytes, ca: bytes) -> datetime | None:
    """When the first of the certificates above a leaf ends, its root in ca.crt included; None when they do not verify it."""
    # A Certificate is looked at again and again, and rarely changes.
    return _remembered(chain, ca) if len(chain) + len(ca) <= _SMALL else _until(chain, ca)


@lru_cache(maxsize=512)
def _remembered(chain: bytes, ca: bytes) -> datetime | None:
    return _until(chain, ca)


def _until(chain: bytes, ca: bytes) -> datetime | None:
    members = _read(chain)[:_MAX_CHAIN]
    roots = list(itertools.islice(loading.readable_certificates(ca), _MAX_ROOTS))
    if not members or not roots:
        return None
    ends: list[datetime] = []
    for below, above in itertools.pairwise(members):
        if not loading.signed_by(below, above):
            return None
        ends.append(above.not_valid_after_utc)
    last = members[-1]
    # Of a name there are few roots, unless somebody wants many signatures verified.
    named = [root for root in roots if root != last and root.subject == last.issuer][:MOST_OF_A_NAME]
    anchors = [root.not_valid_after_utc for root in roots if root == last]
    anchors += [root.not_valid_after_utc for root in named if loading.signed_by(last, root)]
    return min([*ends, max(anchors)]) if anchors else None


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


def _read(text: bytes) -> Sequence[x509.Certificate]:
    try:
        return loading.certificates(text)
    except loading.Unreadable:
        return []
