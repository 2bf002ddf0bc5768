"""One CA: its key and chain, checked once, ready to sign fast.

Whatever would make certificates that nobody can verify is found here and not by the workloads: a key of another
certificate, a CA without the CA flag, an expired one, a broken chain. cert-manager checks the CA flag alone. Loading
is slow for RSA (39 ms): callers run it off the event loop. An Authority is frozen and safe in any thread.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from issuers.chain import Chain, chain_of, was_signed_with
from issuers.errors import InvalidAuthority
from issuers.inspection import CertificateFields, read_certificate
from issuers.private_key import load_key
from issuers.x509 import der, extensions, keys, pem, usages
from issuers.x509.keys import PrivateKey
from issuers.x509.subject import name_text, read_name

# cert-manager's limit for a chain is 95,000 bytes; ten certificates are far more than any mesh has.
MAX_PEM_BYTES = 128 * 1024
"""Of each entry of a CA's Secret."""
_MAX_CHAIN = 10
_CERT_SIGN = 1 << usages.KEY_USAGES.index("cert sign")
_LONGEST_WARNING = timedelta(days=30)


@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """A CA that passed every check. Times are UTC and those of the whole chain: its latest start, its earliest end.

    `chain_pem` follows a leaf: this CA and what is above it, without a self-signed root; `root_pem` is that root, if
    known. `key_id` is the SHA-256 of the public key (SubjectPublicKeyInfo) in hex, `root_key_id` that of the root's, ""
    where the root is not known; `chain` is all of it, the root included.
    """

    certificate_pem: bytes
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
    root_key_id: str = ""
    chain: Chain | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Member:
    """One certificate of the chain and the Secret's field that it stands in."""

    field: str
    der: bytes
    fields: CertificateFields
    subject: str
    is_ca: bool
    path_length: int | None
    key_usage: int | None
    subject_key_id: bytes | None

    def pem(self) -> bytes:
        return pem.encode("CERTIFICATE", self.der)


def load_authority(tls_crt: bytes, tls_key: bytes, ca_crt: bytes | None, *, now: datetime) -> Authority:
    """Load a CA from the three fields of its Secret; `ca_crt` may be missing or empty. `now` is UTC.

    tls.crt begins with the CA's own certificate; what is above it, up to the root, may follow. Raises
    InvalidAuthority with one of the reasons InvalidCertificate, InvalidKey, EncryptedKey, WeakKey, KeyMismatch,
    NotCA, KeyUsageMissing, PathLength, Expired, NotYetValid, ChainBroken, RootMismatch.
    """
    members = _read_members("tls.crt", tls_crt)
    own = members[0]
    above = _read_members("ca.crt", ca_crt) if ca_crt else []
    if len(above) > 1:
        raise InvalidAuthority("InvalidCertificate", "ca.crt", f"{len(above)} certificates, one is expected")
    key = load_key(tls_key)
    if keys.public_bytes(key.public_key()) != own.fields.spki:
        raise InvalidAuthority("KeyMismatch", "tls.key", "it is not the key of the certificate in tls.crt")
    chain = _link(members, above)
    depth = 0
    for member in chain:
        _check_ca(member, depth)
        _check_dates(member, now)
        # A renewed root or a cross certificate stands in for the CA below it (RFC 5280, 6.1: self-issued ones do not
        # count).
        depth += member.fields.issuer != member.fields.subject
    algorithm = keys.algorithm_for(key)
    signer = algorithm.signer(key)
    roots = [member for member in chain if _signed_by(member, member)]
    return Authority(
        certificate_pem=own.pem(),
        key=key,
        key_id=hashlib.sha256(own.fields.spki).hexdigest(),
        chain_pem=b"".join(member.pem() for member in chain if member not in roots),
        root_pem=roots[-1].pem() if roots else None,
        not_before=max(member.fields.not_before for member in chain),
        not_after=min(member.fields.not_after for member in chain),
        subject=own.subject,
        subject_der=own.fields.subject,
        spki=own.fields.spki,
        subject_key_id=own.subject_key_id,
        path_length=own.path_length,
        algorithm=algorithm.identifier,
        signer=signer,
        root_key_id=hashlib.sha256(roots[-1].fields.spki).hexdigest() if roots else "",
        chain=chain_of([(member.der, member.fields) for member in chain]),
    )


def _read_members(name: str, text: bytes) -> list[_Member]:
    if len(text) > MAX_PEM_BYTES:
        raise InvalidAuthority("InvalidCertificate", name, f"{len(text)} bytes are too many for a chain")
    members: list[_Member] = []
    try:
        blocks = pem.read_blocks(text)
        if (label := next((label for label, _ in blocks if label != "CERTIFICATE"), None)) is not None:
            raise InvalidAuthority("InvalidCertificate", name, f"a PEM block {label!r} among the certificates")
        # A certificate that appears twice is one (tools write bundles that overlap).
        distinct = tuple(dict.fromkeys(data for _, data in blocks))
        if len(distinct) > _MAX_CHAIN:
            raise InvalidAuthority(
                "ChainBroken", name, f"{len(distinct)} certificates; at most {_MAX_CHAIN} make a chain"
            )
        members.extend(_read_member(name, data) for data in distinct)
    except pem.PemError as error:
        raise InvalidAuthority("InvalidCertificate", name, str(error)) from None
    if not members:
        raise InvalidAuthority("InvalidCertificate", name, "there is no PEM block" if text.strip() else "it is empty")
    return members


def _read_member(name: str, data: bytes) -> _Member:
    try:
        fields = read_certificate(data)
        subject = name_text(read_name(fields.subject, 0, len(fields.subject))) or "the certificate without a subject"
        found = fields.extensions
        is_ca, path_length = False, None
        if extensions.BASIC_CONSTRAINTS in found:
            is_ca, path_length = extensions.decode_basic_constraints(found[extensions.BASIC_CONSTRAINTS][1])
        usage = found.get(extensions.KEY_USAGE)
        key_id = found.get(extensions.SUBJECT_KEY_IDENTIFIER)
        member = _Member(
            name,
            data,
            fields,
            subject,
            is_ca,
            path_length,
            None if usage is None else usages.decode_key_usage(usage[1]),
            None if key_id is None else extensions.decode_subject_key_id(key_id[1]),
        )
    except der.DerError as error:
        raise InvalidAuthority("InvalidCertificate", name, f"a certificate that cannot be read: {error}") from None
    try:
        # Before any signature is verified with it.
        keys.check_public_key(fields.spki)
        keys.read_signature_algorithm(fields.algorithm)
    except (keys.KeyRefused, der.DerError) as error:
        raise InvalidAuthority("WeakKey", name, f"{subject!r} has {error}") from None
    return member


def _link(members: list[_Member], above: list[_Member]) -> list[_Member]:
    """Order the certificates from the signing CA upwards. Every one must have its place in one line."""
    chain = [members[0]]
    known = {member.der for member in members}
    rest = members[1:] + [member for member in above if member.der not in known]
    while rest:
        last = chain[-1]
        found = next((member for member in rest if _signed_by(last, member)), None)
        if found is None:
            lost = rest[0]
            reason = "RootMismatch" if lost.field == "ca.crt" else "ChainBroken"
            raise InvalidAuthority(reason, lost.field, f"{lost.subject!r} did not sign {last.subject!r} of tls.crt")
        rest.remove(found)
        chain.append(found)
    return chain


def _signed_by(member: _Member, above: _Member) -> bool:
    return member.fields.issuer == above.fields.subject and was_signed_with(member.fields, above.fields.spki)


def _check_ca(member: _Member, depth: int) -> None:
    """Check one certificate of the line; `depth` CAs stand between it and a leaf (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    if not member.is_ca:
        raise InvalidAuthority("NotCA", member.field, f"{member.subject!r} is not a CA")
    if member.key_usage is not None and not member.key_usage & _CERT_SIGN:
        raise InvalidAuthority("KeyUsageMissing", member.field, f"{member.subject!r} lacks the key usage cert sign")
    if member.path_length is not None and member.path_length < depth:
        raise InvalidAuthority(
            "PathLength",
            member.field,
            f"{member.subject!r} allows {member.path_length} CAs below it, there are {depth}",
        )


def _check_dates(member: _Member, now: datetime) -> None:
    fields = member.fields
    if now >= fields.not_after:
        raise InvalidAuthority(
            "Expired", member.field, f"{member.subject!r} expired at {fields.not_after:%Y-%m-%dT%H:%M:%SZ}"
        )
    if now < fields.not_before:
        raise InvalidAuthority(
            "NotYetValid", member.field, f"{member.subject!r} is valid from {fields.not_before:%Y-%m-%dT%H:%M:%SZ}"
        )


def expiry_warning(authority: Authority, now: datetime) -> str | None:
    """Say when a CA ends, within the last third of its life or the last 30 days, whichever is shorter; else None."""
    life = authority.not_after - authority.not_before
    left = authority.not_after - now
    if left > min(life / 3, _LONGEST_WARNING):
        return None
    return f"the CA {authority.subject!r} expires at {authority.not_after:%Y-%m-%dT%H:%M:%SZ}"
