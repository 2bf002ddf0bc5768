"""Which CA keys are behind the wall: those of mesh signers, those above them, and those below either.

A workload trusts a key, whoever has it and however much of its chain a Secret shows. So the keys of mesh signers count
whatever other issuer has them too, the roots of the mesh config and whatever else stands in a mesh CA's chain count, and
so does every CA that one of these signed: where a Secret leaves out what is above its CA, the signature tells.

A key that was a mesh signer's stays so after it changed, and after its issuer was deleted: certificates under it are
still trusted. Pure, apart from what it remembers; used by the Index (index.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from issuers.chain import Chain, ChainCertificate, folded_name, key_id_of, was_signed_with
from signer.api.issuer import IssuerRef
from signer.tenancy.records import Record
from signer.tenancy.world import CertificateAuthorityEntry

_LARGEST_PEM = 1 << 16
_KEYS_OF_AN_ISSUER = 16
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# A chain's top is held against every key whose certificate has the name of its issuer, and no verifier looks at
# others; against so many more in case that name is not known. Whom so many have signed is taken for one of them.
_NAMESAKES = 64
_OTHERS = 256
# CAs below CAs below CAs: what is not settled after so many looks stays undecided, and is granted nothing.
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class MeshKeys:
    """The keys that count, by their hashes.

    `keys` maps a mesh signer's CA keys to the mesh signers that have them; `roots` has the roots of the mesh config for a
    signer; `above` all of these roots, and what else stands above a mesh CA; `below` the keys of other CAs below any of
    these. `judged` are the open chains (Chain.identity) of which that is known.
    """

    keys: dict[str, frozenset[IssuerRef]] = field(default_factory=dict)
    roots: dict[IssuerRef, frozenset[str]] = field(default_factory=dict)
    above: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key, and the folded subject of a certificate with it."""

    spki: bytes
    name: str


class CAKeys:
    """The CAs that were seen of each issuer, by the SHA-256 of the SubjectPublicKeyInfo (Authority.key_id)."""

    def __init__(self) -> None:
        self._seen: dict[IssuerRef, dict[str, Chain | None]] = {}
        self._now: dict[IssuerRef, Chain | None] = {}
        self._recorded: dict[IssuerRef, Record] = {}
        self._roots: dict[str, dict[str, _Key]] = {}
        self._unsigned: dict[str, set[str]] = {}  # by open chain: the keys that did not sign its top

    def put(self, signer: IssuerRef, key_id: str, chain: Chain | None = None) -> bool:
        """Take the key that an issuer's CA has now, and what is above it; whether something is new.

        Of an Issuer only the latest ones stay known: it is its tenant's, who may change its key all the time.
        """
        known = self._seen.setdefault(signer, {})
        if key_id in known and _same(known[key_id], chain) and _same(self._now.get(signer), chain):
            return False
        known[key_id] = chain
        self._now[signer] = chain
        if signer.kind == "Issuer" and len(known) > _KEYS_OF_AN_ISSUER:
            del known[next(iter(known))]
        return True

    def recorded(self, signer: IssuerRef, record: Record | None) -> bool:
        """Take what is stored of a signer's CAs (None: nothing); whether it is something new."""
        before = self._recorded.pop(signer, None)
        if record is not None:
            self._recorded[signer] = record
        return _key_ids(before) != _key_ids(record)

    def chains(self, signer: IssuerRef) -> tuple[Chain, ...]:
        """Return the CAs that were seen of an issuer, the latest last."""
        return tuple(chain for chain in self._seen.get(signer, {}).values() if chain is not None)

    def forget(self, signer: IssuerRef) -> None:
        """Forget an issuer."""
        self._seen.pop(signer, None)
        self._now.pop(signer, None)

    def gone(self, signer: IssuerRef) -> None:
        """Take that a mesh signer's issuer is gone: its keys are not free because of that."""
        self._now.pop(signer, None)

    def look(self, signers: Iterable[IssuerRef], authorities: Iterable[CertificateAuthorityEntry]) -> MeshKeys:
        """Tell which keys are behind the wall, where these are the mesh's signers and the entries of its mesh config."""
        signers, authorities = frozenset(signers), tuple(authorities)
        roots = self.roots(authorities)
        trusted = {key_id: key for pem in self._roots.values() for key_id, key in pem.items()}
        above = set(trusted)
        for signer in signers:
            for chain in self._seen.get(signer, {}).values():
                if chain is not None:
                    above.update(chain.key_ids[1:])
                    trusted.update({one.key_id: _Key(one.fields.spki, one.name) for one in chain.certificates})
            if (record := self._recorded.get(signer)) is not None:
                above.update(one.key_id for one in record.above)
                trusted.update({one.key_id: _Key(one.fields.spki, one.name) for one in (*record.own, *record.above)})
        keys = self._keys(signers, roots)
        below, judged = self._below(signers, trusted, keys.keys() | above)
        return MeshKeys(keys, roots, frozenset(above), frozenset(below), frozenset(judged))

    def of(
        self, signers: Iterable[IssuerRef], authorities: Iterable[CertificateAuthorityEntry]
    ) -> dict[str, frozenset[IssuerRef]]:
        """Map each key of mesh signers to them. One whose CA was never seen is known by its root in the mesh config."""
        return self._keys(signers, self.roots(authorities))

    def _keys(
        self, signers: Iterable[IssuerRef], roots: dict[IssuerRef, frozenset[str]]
    ) -> dict[str, frozenset[IssuerRef]]:
        keys: dict[str, set[IssuerRef]] = defaultdict(set)
        for signer in signers:
            seen: dict[str, object] = dict(self._seen.get(signer, {}))
            if (record := self._recorded.get(signer)) is not None:
                seen.update({one.key_id: None for one in record.own})
            for key_id in seen or roots.get(signer) or ():
                keys[key_id].add(signer)
        return {key_id: frozenset(found) for key_id, found in keys.items()}

    def roots(self, authorities: Iterable[CertificateAuthorityEntry]) -> dict[IssuerRef, frozenset[str]]:
        """Map each signer to the keys of the roots that the mesh config has for it; what cannot be read has none."""
        authorities = tuple(authorities)
        pems = {entry.pem for entry in authorities}
        self._roots = {pem: known if (known := self._roots.get(pem)) is not None else _read(pem) for pem in pems}
        roots: dict[IssuerRef, frozenset[str]] = defaultdict(frozenset)
        for entry in authorities:
            for signer in entry.signers:
                roots[signer] |= self._roots[entry.pem].keys()
        return dict(roots)

    def _below(
        self, signers: frozenset[IssuerRef], trusted: dict[str, _Key], key_ids: set[str]
    ) -> tuple[set[str], set[str]]:
        """Find the CAs of other issuers below these keys, and the open chains of which it was found out."""
        waiting = {
            chain.identity: chain for signer, chain in self._now.items() if chain is not None and signer not in signers
        }
        self._unsigned = {identity: self._unsigned.get(identity, set()) for identity in waiting}
        known, below, judged = _Known(trusted), set[str](), set[str]()
        for _ in range(_LOOKS):
            found = False
            for identity, chain in list(waiting.items()):
                part = self._part_below(chain, known, key_ids | below)
                if not part:
                    continue
                del waiting[identity]
                judged.add(identity)
                for one in part:
                    if one.key_id not in key_ids and one.key_id not in below:
                        found = True
                    below.add(one.key_id)
                    known.add(one.key_id, _Key(one.fields.spki, one.name))
            if not found:
                return below, judged | waiting.keys()
        return below, judged

    def _part_below(self, chain: Chain, known: "_Known", key_ids: set[str]) -> tuple[ChainCertificate, ...]:
        """Return the certificates of a chain that are at or below one of the keys; none when none is."""
        for at in reversed(range(len(chain.certificates))):
            if chain.certificates[at].key_id in key_ids:
                return chain.certificates[: at + 1]
        if chain.open and known.signed(chain, self._unsigned[chain.identity]):
            return chain.certificates
        return ()


class _Known:
    """The keys that a chain's top may have been signed with, by the folded names of their certificates."""

    def __init__(self, keys: dict[str, _Key]) -> None:
        self._keys: dict[str, _Key] = {}
        self._named: dict[str, dict[str, None]] = defaultdict(dict)
        for key_id in sorted(keys):
            self.add(key_id, keys[key_id])

    def add(self, key_id: str, key: _Key) -> None:
        """Take one more."""
        self._keys.setdefault(key_id, key)
        self._named[key.name][key_id] = None

    def signed(self, chain: Chain, unsigned: set[str]) -> bool:
        """Tell whether one of them signed the top of an open chain; `unsigned` keeps those that did not."""
        top = chain.certificates[-1].fields
        namesakes = [key_id for key_id in self._named.get(folded_name(top.issuer), ()) if key_id not in unsigned]
        if len(namesakes) > _NAMESAKES:
            return True
        others = (key_id for key_id in self._keys if key_id not in unsigned)
        room = _OTHERS - len(unsigned)
        for key_id in (*namesakes, *(key_id for key_id, _ in zip(others, range(room), strict=False))):
            if was_signed_with(top, self._keys[key_id].spki):
                return True
            unsigned.add(key_id)
        return False


def _key_ids(record: Record | None) -> tuple[frozenset[str], frozenset[str]]:
    if record is None:
        return frozenset(), frozenset()
    return frozenset(one.key_id for one in record.own), frozenset(one.key_id for one in record.above)


def _same(one: Chain | None, other: Chain | None) -> bool:
    return (one.identity if one is not None else "") == (other.identity if other is not None else "")


def _read(pem: str) -> dict[str, _Key]:
    """The keys of all certificates of a text that can be read, by their hashes."""
    if len(pem) > _LARGEST_PEM:
        return {}
    return {key_id: key for block in _BLOCK.findall(pem) for key_id, key in _read_one(block)}


def _read_one(block: str) -> list[tuple[str, _Key]]:
    try:
        one = x509.load_pem_x509_certificate(block.encode())
        spki = one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return [(key_id_of(spki), _Key(spki, folded_name(one.subject.public_bytes())))]
    except Exception:  # noqa: BLE001 - a root that cannot be read gives no key, whatever it trips over
        return []
