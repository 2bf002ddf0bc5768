"""Which CA keys are behind the wall: those of mesh signers, those above them, and those below either.

A workload trusts a key, whoever has it and however much of its chain a Secret shows. So the keys of mesh signers count
whatever other issuer has them too, the roots of the mesh config and whatever else stands in a mesh CA's chain count, and
so does every CA that one of these signed: where a Secret leaves out what is above its CA, the signature tells.

A key with which a mesh signer signed stays behind the wall after it changed, and after its issuer was deleted:
certificates under it are still trusted. That it signed is in the SignerRecord, which is written before. Pure, apart from
what it remembers; used by the Index (index.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from issuers.chain import Chain, ChainCertificate, anchor_of, folded_name, key_id_of, was_signed_with
from issuers.inspection import read_certificate
from issuers.x509 import loading
from issuers.x509.der import DerError
from issuers.x509.pem import usual_labels
from signer.api.issuer import IssuerRef
from signer.tenancy.records import Record
from signer.tenancy.world import CertificateAuthorityEntry, Roots

_LARGEST_PEM = 1 << 16
_KEYS_OF_AN_ISSUER = 16
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# A chain's top is held against every key whose certificate has the name of its issuer, and no verifier looks at
# others; against so many more in case that name is not known. Whom so many have signed is taken for one of them.
_NAMESAKES = 64
_OTHERS = 256
# CAs below CAs below CAs: what is not settled after so many looks stays undecided, and is granted nothing.
_LOOKS = 8


class MeshKeys(msgspec.Struct, frozen=True):
    """The keys that count, by their hashes.

    `keys` maps a mesh signer's CA keys to the mesh signers that have them; `roots` has the roots of the mesh config for a
    signer; `above` all of these roots, and what else stands above a mesh CA; `below` the keys of other CAs below any of
    these. `judged` are the open chains (Chain.identity) of which that is known. `since` says since when a key of `keys` is
    recorded as a mesh signer's. `tops` maps the key of a root to the mesh signers whose CA of now is below it.
    """

    keys: dict[str, frozenset[IssuerRef]] = msgspec.field(default_factory=dict)
    since: dict[tuple[str, IssuerRef], datetime] = msgspec.field(default_factory=dict)
    roots: dict[IssuerRef, Roots] = msgspec.field(default_factory=dict)
    above: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()
    tops: dict[str, frozenset[IssuerRef]] = msgspec.field(default_factory=dict)


class _Key(msgspec.Struct, frozen=True):
    """A public key, and the folded subject of a certificate with it; `subject` is that of a root as it stands (DER)."""

    spki: bytes
    name: str
    subject: bytes = b""


class CAKeys:
    """The CAs of each issuer, by the SHA-256 of the SubjectPublicKeyInfo (Authority.key_id): that of now, and those recorded.

    With `every` all that were seen count: where refusals are only told (audit mode), a CA signs without being recorded.
    """

    def __init__(self, *, every: bool = True) -> None:
        self._every = every
        self._seen: dict[IssuerRef, dict[str, Chain | None]] = {}
        self._now: dict[IssuerRef, Chain | None] = {}
        self._recorded: dict[IssuerRef, Record] = {}
        # By text: each anchor, with its key and its subject.
        self._roots: dict[str, dict[str, _Key]] = {}
        # What came of the last look: the keys to hold others against, and what was found of each other issuer's chain.
        self._signers: frozenset[IssuerRef] = frozenset()
        self._known = _Known()
        self._counting: set[str] = set()
        self._below: set[str] = set()
        self._judged: dict[IssuerRef, str] = {}
        # By open chain: which keys did not sign which of its certificates.
        self._unsigned: dict[str, set[tuple[bytes, str]]] = {}
        self._last = MeshKeys()

    def put(self, signer: IssuerRef, key_id: str, chain: Chain | None = None) -> bool:
        """Take the key that an issuer's CA has now, and what is above it; whether something is new.

        Of an Issuer only the latest ones stay known: it is its tenant's, who may change its key all the time.
        """
        known = self._seen.setdefault(signer, {})
        if key_id in known and _same(known[key_id], chain) and _same(self._now.get(signer), chain):
            return False
        if not self._every:
            # What a mistake put there, and what never signed, is nobody's former key.
            known.clear()
        known.pop(key_id, None)
        known[key_id] = chain  # the latest last
        self._now[signer] = chain
        if signer.kind == "Issuer" and len(known) > _KEYS_OF_AN_ISSUER:
            del known[next(iter(known))]
        return True

    def recorded(self, signer: IssuerRef, record: Record | None) -> bool:
        """Take what is stored of a signer's CAs (None: nothing); whether it is something new."""
        before = self._recorded.pop(signer, None)
        if record is not None:
            self._recorded[signer] = record
        elif before is not None and (known := self._seen.get(signer)) is not None:
            # An admin has its former keys forgotten; the one of now is there.
            now = self._now.get(signer)
            self._seen[signer] = {
                key_id: chain for key_id, chain in known.items() if chain is now and signer in self._now
            }
        return _known(before) != _known(record)

    def chains(self, signer: IssuerRef) -> tuple[Chain, ...]:
        """Return the CAs that were seen of an issuer, the latest last."""
        return tuple(chain for chain in self._seen.get(signer, {}).values() if chain is not None)

    def forget(self, signer: IssuerRef) -> None:
        """Forget an issuer."""
        self._seen.pop(signer, None)
        self._now.pop(signer, None)
        self._unsigned.pop(self._judged.pop(signer, ""), None)

    def gone(self, signer: IssuerRef) -> None:
        """Take that a mesh signer's issuer is gone: the keys that it signed with are not free because of that."""
        self._now.pop(signer, None)
        if not self._every:
            self._seen.pop(signer, None)

    def look(self, signers: Iterable[IssuerRef], authorities: Iterable[CertificateAuthorityEntry]) -> MeshKeys:
        """Tell which keys are behind the wall, where these are the mesh's signers and the entries of its mesh config."""
        self._signers, authorities = frozenset(signers), tuple(authorities)
        given = self.roots(authorities)
        roots = {signer: one.key_ids for signer, one in given.items()}
        known, above = _Known(), set[str]()
        for pem in self._roots.values():
            for key in pem.values():
                above.add(key_id_of(key.spki))
                known.add(key_id_of(key.spki), key)
        for signer in self._signers:
            for chain in self._seen.get(signer, {}).values():
                if chain is not None:
                    trusted = self._trusted(signer, chain, roots.get(signer))
                    above.update(one.key_id for one in trusted[1:])
                    known.add_all(trusted)
            if (record := self._recorded.get(signer)) is not None:
                # What stood above an Issuer's CA and is a root of the mesh config counts as that.
                recorded = () if _tenants(signer, roots.get(signer)) else record.above
                above.update(one.key_id for one in recorded)
                known.add_all((*record.own, *recorded))
        keys = self._keys(self._signers, roots)
        self._known, self._counting = known, keys.keys() | above
        self._below, self._judged = set(), {}
        self._look_below()
        since = {
            (key_id, signer): at
            for signer in self._signers
            if (record := self._recorded.get(signer)) is not None
            for key_id, at in record.since.items()
        }
        below = frozenset(self._below)
        self._last = MeshKeys(keys, since, given, frozenset(above), below, self._judged_now(), self._tops())
        return self._last

    def look_at(self, changed: Iterable[IssuerRef]) -> MeshKeys | None:
        """As `look`, where nothing has changed since but CAs of these other issuers; None when all has to be looked at."""
        for signer in changed:
            if (before := self._judged.pop(signer, None)) is not None:
                self._unsigned.pop(before, None)
            chain = self._now.get(signer)
            if signer in self._signers or (chain is not None and self._judge(signer, chain)):
                return None
        self._last = replace(self._last, judged=self._judged_now())
        return self._last

    def of(
        self, signers: Iterable[IssuerRef], authorities: Iterable[CertificateAuthorityEntry]
    ) -> dict[str, frozenset[IssuerRef]]:
        """Map each key of mesh signers to them. One whose CA was never seen is known by its root in the mesh config."""
        return self._keys(signers, {signer: one.key_ids for signer, one in self.roots(authorities).items()})

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

    def roots(self, authorities: Iterable[CertificateAuthorityEntry]) -> dict[IssuerRef, Roots]:
        """Map each signer to the roots that the mesh config has for it; what cannot be read has none."""
        authorities = tuple(authorities)
        pems = {entry.pem for entry in authorities}
        self._roots = {pem: known if (known := self._roots.get(pem)) is not None else _read(pem) for pem in pems}
        found: dict[IssuerRef, dict[str, _Key]] = defaultdict(dict)
        for entry in authorities:
            for signer in entry.signers:
                found[signer].update(self._roots[entry.pem])
        return {
            signer: Roots(
                frozenset(keys),
                frozenset(key.subject for key in keys.values()),
                frozenset(key_id_of(key.spki) for key in keys.values()),
            )
            for signer, keys in found.items()
        }

    def _tops(self) -> dict[str, frozenset[IssuerRef]]:
        found: dict[str, set[IssuerRef]] = defaultdict(set)
        for signer in self._signers:
            if (chain := self._now.get(signer)) is not None:
                for key_id in chain.tops:
                    found[key_id].add(signer)
        return {key_id: frozenset(signers) for key_id, signers in found.items()}

    def _trusted(self, signer: IssuerRef, chain: Chain, roots: frozenset[str] | None) -> tuple[ChainCertificate, ...]:
        """Return the part of a mesh CA's chain that counts: all of it, or of a tenant's own Secret what is below a root."""
        if roots is None or not _tenants(signer, roots):
            return chain.certificates
        keys = [key for pem in self._roots.values() for key in pem.values() if key_id_of(key.spki) in roots]

        def below(one: ChainCertificate) -> bool:
            issuer = folded_name(one.fields.issuer)
            return any(key.name == issuer and was_signed_with(one.fields, key.spki) for key in keys)

        found = [one.key_id for one in chain.certificates if one.key_id in roots or below(one)]
        return chain.at_or_below(found) or chain.certificates[:1]

    def _look_below(self) -> None:
        """Find the CAs of other issuers below the keys that count, and those below these."""
        waiting = {
            signer: chain for signer, chain in self._now.items() if chain is not None and signer not in self._signers
        }
        alive = {chain.identity for chain in waiting.values()}
        self._unsigned = {identity: tried for identity, tried in self._unsigned.items() if identity in alive}
        for _ in range(_LOOKS):
            found = [self._judge(signer, chain) for signer, chain in waiting.items()]
            if not any(found):
                return
        # Somebody builds towers of CAs: what is not settled yet is not judged.
        for signer, chain in waiting.items():
            if chain.key_ids[0] not in self._below:
                self._judged.pop(signer, None)

    def _judge(self, signer: IssuerRef, chain: Chain) -> bool:
        """Judge one chain by what is known now; whether keys were found below the others that were not known to be."""
        part = self._part_below(chain)
        self._judged[signer] = chain.identity
        new = {one.key_id for one in part} - self._counting - self._below
        self._below.update(one.key_id for one in part)
        if new:
            self._known.add_all(part)
        return bool(new)

    def _part_below(self, chain: Chain) -> tuple[ChainCertificate, ...]:
        """Return the certificates of a chain that are at or below one of the keys; none when none is."""
        behind = [key_id for key_id in chain.key_ids if key_id in self._counting or key_id in self._below]
        known = {one.key_id for one in chain.at_or_below(behind)}
        if others := [one for one in (*chain.loose, *chain.beside) if one.key_id not in known]:
            tried = self._unsigned.setdefault(chain.identity, set())
            behind += [one.key_id for one in others if self._known.signed(one, tried)]
        return chain.at_or_below(behind)

    def _judged_now(self) -> frozenset[str]:
        return frozenset(self._judged.values())


def _tenants(signer: IssuerRef, roots: frozenset[str] | None) -> bool:
    """Tell whether a tenant chooses what stands above this signer's CA, and not workloads' trust in it.

    An Issuer's Secret is its tenant's: a CA of anybody's in there would be behind the wall for everybody. Workloads trust
    only what is below the roots that the mesh config has for the signer, so nothing is lost by leaving it out. Where it
    has none that can be read, everything counts.
    """
    return signer.kind == "Issuer" and bool(roots)


class _Known:
    """The keys that a chain's top may have been signed with, by the folded names of their certificates."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._named: dict[str, dict[str, None]] = defaultdict(dict)
        self._sorted: list[str] = []

    def add(self, key_id: str, key: _Key) -> None:
        """Take one more."""
        self._keys[key_id] = key.spki
        self._named[key.name][key_id] = None

    def add_all(self, certificates: Iterable[ChainCertificate]) -> None:
        """Take the keys of these certificates."""
        for one in certificates:
            self.add(one.key_id, _Key(one.fields.spki, one.name))

    def signed(self, one: ChainCertificate, tried: set[tuple[bytes, str]]) -> bool:
        """Tell whether one of them signed a certificate above which something is missing; `tried` keeps those that did not."""
        top = one.fields
        namesakes = self._named.get(folded_name(top.issuer), {})
        new = [key_id for key_id in namesakes if (one.der, key_id) not in tried]
        if len(new) > _NAMESAKES:
            return True
        if len(self._sorted) != len(self._keys):
            self._sorted = sorted(self._keys)  # which ones are tried does not depend on what came first
        others = [
            key_id for key_id in self._sorted[:_OTHERS] if (one.der, key_id) not in tried and key_id not in namesakes
        ]
        for key_id in (*new, *others):
            if was_signed_with(top, self._keys[key_id]):
                return True
            tried.add((one.der, key_id))
        return False


def _known(record: Record | None) -> tuple[object, ...]:
    if record is None:
        return ()
    keys = (frozenset(one.key_id for one in certificates) for certificates in (record.own, record.above))
    return *keys, frozenset(record.since.items())


def _same(one: Chain | None, other: Chain | None) -> bool:
    return (one.identity if one is not None else "") == (other.identity if other is not None else "")


def _read(pem: str) -> dict[str, _Key]:
    """The keys of all certificates of a text that can be read, with their subjects, by their anchors."""
    if len(pem) > _LARGEST_PEM:
        return {}
    blocks = _BLOCK.findall(usual_labels(pem.encode(errors="replace")))
    keys = [key for block in blocks for key in _read_one(block)]
    return {anchor_of(key.subject, key.spki): key for key in keys}


def _read_one(block: bytes) -> list[_Key]:
    try:
        one = loading.certificates(block)[0]
        subject, spki = root_key(one)
        return [_Key(spki, folded_name(subject), subject)]
    except Exception:  # noqa: BLE001 - a root that cannot be read gives no key, whatever it trips over
        return []


def root_key(one: x509.Certificate) -> tuple[bytes, bytes]:
    """Return subject (Name) and key (SubjectPublicKeyInfo) of a root, DER. Raises what cryptography does for odd ones.

    The subject is as it stands in the certificate: a library's copy of it may be written another way.
    """
    spki = one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        return read_certificate(one.public_bytes(Encoding.DER)).subject, spki
    except DerError:
        return one.subject.public_bytes(), spki
