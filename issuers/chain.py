"""Which keys stand above a CA: the certificates of its chain, and who signed the uppermost of them.

Whom a client trusts is decided by keys, and a Secret rarely shows all of them: `kubectl create secret tls` leaves the
root out. So what is above the last certificate is found by its signature. Pure; frozen values, safe in any thread.
"""

import hashlib
from collections.abc import Callable, Sequence
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
    """A CA's certificates as they are linked, its own first, at most ten or so.

    `identity` tells one chain from another. `beside` are further certificates that were shown of keys of the chain, as cross
    certificates are. `rooted`: the last one is self-signed. `open`: not all that is above it is here, as it is not rooted, or there are some
    beside.
    """

    certificates: tuple[ChainCertificate, ...]
    identity: str
    open: bool
    beside: tuple[ChainCertificate, ...] = ()
    rooted: bool = False

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The key of each certificate, the CA's own first."""
        return tuple(one.key_id for one in self.certificates)


def chain_of(
    linked: Sequence[tuple[bytes, CertificateFields]],
    shown: Sequence[tuple[bytes, CertificateFields]] = (),
    signed_with: Callable[[CertificateFields, bytes], bool] | None = None,
) -> Chain:
    """Make the value of certificates (DER, and what was read of it) of which each was signed by the next one.

    `shown` are all that stand with them: those of the chain's keys that somebody else signed count too. `signed_with` is
    was_signed_with, or one that remembers and counts.
    """
    signed_with = signed_with or was_signed_with
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
    top = certificates[-1].fields
    own = top.issuer == top.subject and signed_with(top, top.spki)
    return Chain(certificates, digest.hexdigest(), open=not own or bool(beside), beside=beside, rooted=own)


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
