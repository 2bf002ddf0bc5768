"""Which keys stand above a CA: the certificates of its chain, and who signed the uppermost of them.

Whom a client trusts is decided by keys, and a Secret rarely shows all of them: `kubectl create secret tls` leaves the
root out. So what is above the last certificate is found by its signature. Pure; frozen values, safe in any thread.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from issuers.inspection import CertificateFields, read_certificate
from issuers.x509 import der, keys
from issuers.x509.subject import name_text, read_name


@dataclass(frozen=True, slots=True)
class ChainCertificate:
    """One certificate of a chain.

    `key_id` is the SHA-256 of its SubjectPublicKeyInfo in hex, `name` its folded subject, `anchor` what a verifier goes by
    that has it as a root (anchor_of).
    """

    der: bytes = field(repr=False)
    fields: CertificateFields = field(repr=False)
    key_id: str
    name: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A CA's certificate and all that stands above it, its own first, the end of the path that it goes by last; 32 at most.

    Where CAs are cross-signed there are several ways up, and `links` say who signed whom: pairs of keys, the lower one first.
    `identity` tells one chain from another. `loose` are those above which something is missing. `beside` are further certificates
    that were shown of keys of the chain, under other names. `rooted`: the last one is self-signed. `open`: not all that is above it is here, as
    some are loose, or there are some beside. `tops` are the keys of its roots.
    """

    certificates: tuple[ChainCertificate, ...]
    identity: str
    open: bool
    beside: tuple[ChainCertificate, ...] = ()
    rooted: bool = False
    links: frozenset[tuple[str, str]] = frozenset()
    loose: tuple[ChainCertificate, ...] = ()
    tops: frozenset[str] = frozenset()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The key of each certificate, the CA's own first."""
        return tuple(one.key_id for one in self.certificates)

    def at_or_below(self, key_ids: Iterable[str]) -> tuple[ChainCertificate, ...]:
        """Return the certificates that have one of these keys, or that somebody signed who is at or below one of them."""
        found = set(key_ids)
        while more := {lower for lower, upper in self.links if upper in found} - found:
            found |= more
        return tuple(one for one in self.certificates if one.key_id in found)


def chain_of(
    linked: Sequence[tuple[bytes, CertificateFields]],
    links: Iterable[tuple[int, int]],
    shown: Sequence[tuple[bytes, CertificateFields]] = (),
    signed_with: Callable[[CertificateFields, bytes], bool] | None = None,
) -> Chain:
    """Make the value of certificates (DER, and what was read of it): a CA's own, and all above it.

    `links` are pairs of places: the first was signed with the key of the second. `shown` are all that stand with them: those of
    the chain's keys that somebody else signed count too. `signed_with` is was_signed_with, or one that remembers and counts.
    """
    signed_with = signed_with or was_signed_with
    links = frozenset(links)
    certificates = tuple(_certificate(data, fields) for data, fields in linked)
    mine, there = {one.key_id for one in certificates}, {one.der for one in certificates}
    beside = tuple(
        _certificate(data, fields)
        for data, fields in shown
        if data not in there and key_id_of(fields.spki) in mine and not signed_with(fields, fields.spki)
    )
    digest = hashlib.sha256()
    for one in (*certificates, *beside):
        digest.update(hashlib.sha256(one.der).digest())
    signed = {lower for lower, _ in links}
    loose = tuple(one for at, one in enumerate(certificates) if at not in signed)
    tops = frozenset(one.key_id for at, one in enumerate(certificates) if (at, at) in links)
    return Chain(
        certificates,
        digest.hexdigest(),
        open=bool(loose or beside),
        beside=beside,
        rooted=(len(certificates) - 1, len(certificates) - 1) in links,
        links=frozenset((certificates[lower].key_id, certificates[upper].key_id) for lower, upper in links),
        loose=loose,
        tops=tops,
    )


def chain_certificate(data: bytes) -> ChainCertificate:
    """Read one certificate (DER) that stands in somebody's chain. Raises DerError, KeyRefused."""
    fields = read_certificate(data)
    keys.check_public_key(fields.spki)
    return _certificate(data, fields)


def _certificate(data: bytes, fields: CertificateFields) -> ChainCertificate:
    anchor = anchor_of(fields.subject, fields.spki)
    return ChainCertificate(data, fields, key_id_of(fields.spki), folded_name(fields.subject), anchor)


def key_id_of(spki: bytes) -> str:
    """Return the SHA-256 of a SubjectPublicKeyInfo in hex."""
    return hashlib.sha256(spki).hexdigest()


def anchor_of(subject: bytes, spki: bytes) -> str:
    """Return what a verifier goes by that trusts a root, in hex: its subject (Name, DER) and its key, and nothing else of it.

    A path is built by names and checked by keys: the same key under another subject verifies nothing of what was issued
    before (RFC 5280, 6.1.1 (d) and 6.1.3 (a) (4)). Names are compared byte by byte, as Go and so istiod does.
    """
    return hashlib.sha256(hashlib.sha256(subject).digest() + spki).hexdigest()


def folded_name(name: bytes) -> str:
    """Return a Name (DER) so that all that a verifier may take for equal is equal: case, spaces, kind of text (RFC 5280, 7.1)."""
    try:
        return "".join(name_text(read_name(name, 0, len(name))).casefold().split())
    except der.DerError:
        return name.hex()


def was_signed_with(fields: CertificateFields, spki: bytes) -> bool:
    """Tell whether a certificate was signed with the key of this SubjectPublicKeyInfo, whatever names they have.

    SHA-1 counts where a certificate signed itself, as old roots did: nobody verifies that, and nothing rests on it.
    """
    itself = spki == fields.spki and fields.issuer == fields.subject
    try:
        algorithm = keys.read_signature_algorithm(fields.algorithm, itself=itself)
        if algorithm.kind != keys.check_public_key(spki):
            return False
        key = keys.load_public_key(spki)
    except (keys.KeyRefused, der.DerError):
        return False
    return algorithm.verify(key, fields.signature, fields.tbs)
