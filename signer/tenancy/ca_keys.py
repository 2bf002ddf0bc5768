"""Which CA keys are behind the wall: those of mesh signers, whatever other issuer has them too.

A key that was a mesh signer's stays so after it changed, and after its issuer was deleted: certificates under it are
still trusted. Pure, apart from what it remembers; used by the Index (index.py).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signer.api.issuer import IssuerRef
from signer.tenancy.world import CertificateAuthorityEntry

_LARGEST_PEM = 1 << 16
_KEYS_OF_AN_ISSUER = 16


class CAKeys:
    """The keys that were seen of each issuer, by the SHA-256 of the SubjectPublicKeyInfo (Authority.key_id)."""

    def __init__(self) -> None:
        self._seen: dict[IssuerRef, dict[str, None]] = {}
        self._roots: dict[str, frozenset[str]] = {}

    def put(self, signer: IssuerRef, key_id: str) -> bool:
        """Take the key that an issuer's CA has now; whether it is a new one.

        Of an Issuer only the latest ones stay known: it is its tenant's, who may change its key all the time.
        """
        known = self._seen.setdefault(signer, {})
        if key_id in known:
            return False
        known[key_id] = None
        if signer.kind == "Issuer" and len(known) > _KEYS_OF_AN_ISSUER:
            del known[next(iter(known))]
        return True

    def forget(self, signer: IssuerRef) -> None:
        """Forget an issuer."""
        self._seen.pop(signer, None)

    def of(
        self, signers: Iterable[IssuerRef], authorities: Iterable[CertificateAuthorityEntry]
    ) -> dict[str, frozenset[IssuerRef]]:
        """Map each key of mesh signers to them. One whose CA was never seen is known by its root in the mesh config."""
        roots = self.roots(authorities)
        keys: dict[str, set[IssuerRef]] = defaultdict(set)
        for signer in signers:
            for key_id in self._seen.get(signer) or roots.get(signer) or ():
                keys[key_id].add(signer)
        return {key_id: frozenset(found) for key_id, found in keys.items()}

    def roots(self, authorities: Iterable[CertificateAuthorityEntry]) -> dict[IssuerRef, frozenset[str]]:
        """Map each signer to the keys of the roots that the mesh config has for it; a text that cannot be read has none."""
        authorities = tuple(authorities)
        pems = {entry.pem for entry in authorities}
        self._roots = {pem: known if (known := self._roots.get(pem)) is not None else _key_ids(pem) for pem in pems}
        roots: dict[IssuerRef, frozenset[str]] = defaultdict(frozenset)
        for entry in authorities:
            for signer in entry.signers:
                roots[signer] |= self._roots[entry.pem]
        return dict(roots)


def _key_ids(pem: str) -> frozenset[str]:
    """The keys of all certificates of a text; none of one that cannot be read."""
    if len(pem) > _LARGEST_PEM:
        return frozenset()
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        keys = [one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in found]
    except Exception:  # noqa: BLE001 - a root that cannot be read gives no key, whatever it trips over
        return frozenset()
    return frozenset(hashlib.sha256(key).hexdigest() for key in keys)
