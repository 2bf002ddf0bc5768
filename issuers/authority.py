"""One CA: its key and chain, checked once, ready to sign fast.

Whatever would make certificates that nobody can verify is found here and not by the workloads: a key of another
certificate, a CA without the CA flag, an expired one, a broken chain. cert-manager checks the CA flag alone. Loading
is slow for RSA (39 ms): callers run it off the event loop. An Authority is frozen and safe in any thread.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from issuers import der, extensions, keys, pem, usages
from issuers.errors import InvalidAuthority
from issuers.inspection import CertificateFields, read_certificate
from issuers.keys import PrivateKey
from issuers.private_key import load_key
from issuers.subject import name_text, read_name

# cert-manager's limit for a chain is 95,000 bytes; ten certificates are far more than any mesh has.
_MAX_PEM_BYTES = 128 * 1024
_MAX_CHAIN = 10
_CERT_SIGN = 1 << usages.KEY_USAGES.index("cert sign")
_LONGEST_WARNING = timedelta(days=30)


@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """A CA that passed every check. Times are UTC and those of the whole chain: its latest start, its earliest end.

    `chain_pem` follows a leaf: this CA and what is above it, without a self-signed root; `root_pem` is that root, if
    known. `key_id` is the SHA-256 of the public key (SubjectPublicKeyInfo) in hex.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    key_id: str
    chain_pem: bytes
    root_pem: bytes | None
    not_before: datetime
    not_after: datetime
    subject: str
    subject_der: bytes
    spki: bytes
    subject_key_id: bytes | None
    path_length: int | None
    algorithm: bytes
    signer: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Member:
    """One certificate of the chain and the Secret's field that it stands in."""

    field: str
    fields: CertificateFields
    certificate: x509.Certificate
    is_ca: bool
    path_length: int | None

    @property
    def self_signed(self) -> bool:
        return self.fields.issuer == self.fields.subject and _verifies(self, self)

    def pem(self) -> bytes:
        return pem.encode("CERTIFICATE", self.certificate.public_bytes(Encoding.DER))


def load_authority(tls_crt: bytes, tls_key: bytes, ca_crt: bytes | None, *, now: datetime) -> Authority:
    """Load a CA from the three fields of its Secret; `ca_crt` may be missing or empty. `now` is UTC.

    tls.crt begins with the CA's own certificate; what is above it, up to the root, may follow. Raises
    InvalidAuthority with one of the reasons InvalidCertificate, InvalidKey, EncryptedKey, WeakKey, KeyMismatch,
    NotCA, KeyUsageMissing, PathLength, Expired, NotYetValid, ChainBroken, RootMismatch.
    """
    members = _read_members("tls.crt", tls_crt)
    own = members[0]
    roots = _read_members("ca.crt", ca_crt) if ca_crt else []
    if len(roots) > 1:
        raise InvalidAuthority("InvalidCertificate", "ca.crt", f"{len(roots)} certificates, one is expected")
    key = load_key(tls_key)
    if keys.public_bytes(key.public_key()) != own.fields.spki:
        raise InvalidAuthority("KeyMismatch", "tls.key", "it is not the key of the certificate in tls.crt")
    chain = _link(members, roots)
    for depth, member in enumerate(chain):
        _check_ca(member, depth)
        _check_dates(member, now)
    algorithm = keys.algorithm_for(key)
    signer = algorithm.signer(key)
    _prove(algorithm, signer, own)
    top = chain[-1] if chain[-1].self_signed else None
    return Authority(
        certificate=own.certificate,
        key=key,
        key_id=hashlib.sha256(own.fields.spki).hexdigest(),
        chain_pem=b"".join(member.pem() for member in chain if member is not top),
        root_pem=None if top is None else top.pem(),
        not_before=max(member.fields.not_before for member in chain),
        not_after=min(member.fields.not_after for member in chain),
        subject=_show(own),
        subject_der=own.fields.subject,
        spki=own.fields.spki,
        subject_key_id=_subject_key_id(own),
        path_length=own.path_length,
        algorithm=algorithm.identifier,
        signer=signer,
    )


def _read_members(name: str, text: bytes) -> list[_Member]:
    if len(text) > _MAX_PEM_BYTES:
        raise InvalidAuthority("InvalidCertificate", name, f"{len(text)} bytes are too many for a chain")
    blocks = pem.read_blocks(text)
    if not blocks:
        raise InvalidAuthority("InvalidCertificate", name, "there is no PEM block" if text.strip() else "it is empty")
    members: list[_Member] = []
    for label, block in blocks:
        if label != "CERTIFICATE":
            raise InvalidAuthority("InvalidCertificate", name, f"a PEM block {label!r} among the certificates")
        member = _read_member(name, block)
        # A certificate that stands there twice is one (tools write bundles that overlap).
        if all(member.certificate != other.certificate for other in members):
            members.append(member)
    if len(members) > _MAX_CHAIN:
        raise InvalidAuthority("ChainBroken", name, f"{len(members)} certificates; at most {_MAX_CHAIN} make a chain")
    return members


def _read_member(name: str, block: bytes) -> _Member:
    try:
        data = pem.decode(block)
        fields = read_certificate(data)
        read_name(fields.subject, 0, len(fields.subject))
        constraints = fields.extensions.get(extensions.BASIC_CONSTRAINTS)
        is_ca, path_length = (
            (False, None) if constraints is None else extensions.decode_basic_constraints(constraints[1])
        )
        certificate = x509.load_der_x509_certificate(data)
    except (pem.PemError, der.DerError) as error:
        raise InvalidAuthority("InvalidCertificate", name, f"a certificate that cannot be read: {error}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidAuthority("InvalidCertificate", name, "a certificate that cannot be read") from None
    return _Member(name, fields, certificate, is_ca, path_length)


def _link(members: list[_Member], roots: list[_Member]) -> list[_Member]:
    """Order the certificates from the signing CA upwards. Every one must have its place in one line."""
    chain = [members[0]]
    rest = members[1:]
    for root in roots:
        if all(root.certificate != member.certificate for member in members):
            rest.append(root)
    while rest:
        last = chain[-1]
        above = next((member for member in rest if _signed_by(last, member)), None)
        if above is None:
            lost = rest[0]
            if lost.field == "ca.crt":
                raise InvalidAuthority(
                    "RootMismatch", "ca.crt", f"{_show(lost)!r} did not sign {_show(last)!r} of tls.crt"
                )
            raise InvalidAuthority("ChainBroken", "tls.crt", f"{_show(lost)!r} did not sign {_show(last)!r}")
        rest.remove(above)
        chain.append(above)
    return chain


def _signed_by(member: _Member, above: _Member) -> bool:
    return member.fields.issuer == above.fields.subject and _verifies(member, above)


def _verifies(member: _Member, above: _Member) -> bool:
    try:
        member.certificate.verify_directly_issued_by(above.certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_ca(member: _Member, depth: int) -> None:
    """Check one certificate of the line; `depth` CAs stand between it and a leaf (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    if not member.is_ca:
        raise InvalidAuthority("NotCA", member.field, f"{_show(member)!r} is not a CA")
    usage = member.fields.extensions.get(extensions.KEY_USAGE)
    try:
        if usage is not None and not usages.decode_key_usage(usage[1]) & _CERT_SIGN:
            raise InvalidAuthority("KeyUsageMissing", member.field, f"{_show(member)!r} lacks the key usage cert sign")
    except der.DerError as error:
        raise InvalidAuthority("InvalidCertificate", member.field, f"KeyUsage of {_show(member)!r}: {error}") from None
    if member.path_length is not None and member.path_length < depth:
        raise InvalidAuthority(
            "PathLength",
            member.field,
            f"{_show(member)!r} allows {member.path_length} CAs below it, there are {depth}",
        )
    try:
        keys.check_public_key(member.fields.spki)
    except (keys.KeyRefused, der.DerError) as error:
        raise InvalidAuthority("WeakKey", member.field, f"{_show(member)!r} has {error}") from None


def _check_dates(member: _Member, now: datetime) -> None:
    fields = member.fields
    if now >= fields.not_after:
        raise InvalidAuthority(
            "Expired", member.field, f"{_show(member)!r} expired at {fields.not_after:%Y-%m-%dT%H:%M:%SZ}"
        )
    if now < fields.not_before:
        raise InvalidAuthority(
            "NotYetValid", member.field, f"{_show(member)!r} is valid from {fields.not_before:%Y-%m-%dT%H:%M:%SZ}"
        )


def _subject_key_id(member: _Member) -> bytes | None:
    extension = member.fields.extensions.get(extensions.SUBJECT_KEY_IDENTIFIER)
    if extension is None:
        return None
    try:
        return extensions.decode_subject_key_id(extension[1]) or None
    except der.DerError as error:
        raise InvalidAuthority(
            "InvalidCertificate", member.field, f"SubjectKeyIdentifier of {_show(member)!r}: {error}"
        ) from None


def _prove(algorithm: keys.SignatureAlgorithm, signer: Callable[[bytes], bytes], own: _Member) -> None:
    """Sign fresh bytes and verify with the certificate's key: this stands for checking each signature later."""
    sample = secrets.token_bytes(32)
    try:
        key = keys.load_public_key(own.fields.spki)
        proven = algorithm.verify(key, signer(sample), sample)
    except (keys.KeyRefused, ValueError):
        proven = False
    if not proven:
        raise InvalidAuthority("KeyMismatch", "tls.key", "its signatures do not verify with the certificate in tls.crt")


def _show(member: _Member) -> str:
    subject = member.fields.subject
    return name_text(read_name(subject, 0, len(subject))) or "the certificate without a name"


def expiry_warning(authority: Authority, now: datetime) -> str | None:
    """Say when a CA ends, within the last third of its life or the last 30 days, whichever is shorter; else None."""
    life = authority.not_after - authority.not_before
    left = authority.not_after - now
    if left > min(life / 3, _LONGEST_WARNING):
        return None
    return f"the CA {authority.subject!r} expires at {authority.not_after:%Y-%m-%dT%H:%M:%SZ}"
