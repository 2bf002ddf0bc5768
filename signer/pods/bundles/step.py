"""Which roots a signer's ClusterTrustBundle has: those of today and of tomorrow, and those of yesterday as long as they are needed.

Today's are the root of its CA and what the mesh config has for this signer alone; who changes a root writes the next one there
first, and so it is tomorrow's. A root that is in neither any more stays until every certificate that was signed below it has ended.
Pure.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.x509 import loading, parts
from signer.api.clustertrustbundle import FORMER_ROOTS, ClusterTrustBundle
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.notes import Bounds, json_note
from signer.tenancy.world import CertificateAuthorityEntry, World

# Two for a change, and room for an organization's; what the mesh config has beyond is left out.
MOST = 16
# An entry has a digest and a time, some 90 characters.
_NOTE = Bounds(MOST * 100, 1, MOST + 1)
# Clocks differ, and a certificate begins before it is asked for.
_SPARE = timedelta(minutes=10)


class Root(msgspec.Struct, frozen=True):
    """A root: the SHA-256 of its DER in hexadecimal, itself (PEM), its end (UTC)."""

    digest: str
    pem: str
    ends: datetime


class Content(msgspec.Struct, frozen=True):
    """What a bundle says: its roots (PEM), and until when those stay that are former ones (RFC 3339 text by digest)."""

    trust_bundle: str
    former: Mapping[str, str]

    @property
    def annotation(self) -> str:
        """The former roots as they stand in the annotation; "" for none."""
        return msgspec.json.encode(dict(sorted(self.former.items()))).decode() if self.former else ""


def bundle_roots(texts: Iterable[bytes], now: datetime) -> tuple[Root, ...]:
    """Read the CA certificates in PEM texts that the API server takes, each once, in order: none that has ended."""
    found: dict[str, Root] = {}
    for text in texts:
        for one in loading.readable_certificates(text):
            if len(found) == MOST:
                return tuple(found.values())
            root = Root(
                hashlib.sha256(one.public_bytes(Encoding.DER)).hexdigest(),
                one.public_bytes(Encoding.PEM).decode(),
                one.not_valid_after_utc,
            )
            if parts.is_ca(one) and root.ends > now:
                found.setdefault(root.digest, root)
    return tuple(found.values())


def own_entries(authorities: Iterable[CertificateAuthorityEntry]) -> dict[IssuerRef, tuple[str, ...]]:
    """The roots that the mesh config has for one signer alone: in an entry for several, one tenant's root is another's too."""
    found: defaultdict[IssuerRef, tuple[str, ...]] = defaultdict(tuple)
    for entry in authorities:
        if len(entry.signers) == 1:
            (ref,) = entry.signers
            found[ref] = (*found[ref], entry.pem)
    return found


def longest_life(world: World, signer: IssuerRef) -> timedelta:
    """Tell how long a certificate of a signer lasts at most, as the policies are now."""
    limits = [policy.max_lifetime for policy in world.policies.get(signer, ()) if policy.max_lifetime is not None]
    return max(world.settings.max_workload_lifetime, *limits) if limits else world.settings.max_workload_lifetime


def wanted(today: tuple[Root, ...], bundle: ClusterTrustBundle | None, *, stays: timedelta, now: datetime) -> Content:
    """Say what a bundle is to have. `today` are its roots now, none for an issuer that is gone; `stays` how long a certificate lasts at most."""
    mine = {root.digest for root in today}
    there = bundle_roots([bundle.spec.trust_bundle.encode()], now) if bundle is not None else ()
    until = _former(bundle)
    former: dict[str, str] = {}
    kept = list(today)
    for root in there:
        if root.digest in mine or len(kept) == MOST:
            continue
        end = until.get(root.digest) or now + stays + _SPARE
        if end > now:
            kept.append(root)
            former[root.digest] = to_rfc3339(end)
    return Content("".join(root.pem for root in kept), former)


def content_of(bundle: ClusterTrustBundle) -> Content:
    """Return what a bundle says now."""
    return Content(bundle.spec.trust_bundle, {digest: to_rfc3339(end) for digest, end in _former(bundle).items()})


def _former(bundle: ClusterTrustBundle | None) -> dict[str, datetime]:
    """Read the annotation; what is none is as good as not there: then those roots stay for a whole time more."""
    found = json_note(bundle.metadata.annotations, FORMER_ROOTS, _NOTE) if bundle is not None else None
    if not isinstance(found, dict):
        return {}
    times = {digest: from_rfc3339(until) for digest, until in found.items() if isinstance(until, str)}
    return {digest: end for digest, end in times.items() if end is not None}
