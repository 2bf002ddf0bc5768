"""One CA: its key and chain, checked once, ready to sign fast.

Whatever would make certificates that nobody can verify is found here and not by the workloads: a key of another
certificate, a CA without the CA flag, an expired one, a broken chain. cert-manager checks the CA flag alone. Loading
is slow for RSA (39 ms): callers run it off the event loop. An Authority is frozen and safe in any thread.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from issuers.chain import Chain, chain_of
from issuers.errors import InvalidAuthority
from issuers.inspection import read_certificate
from issuers.line import Line, Member, by_nobody, line_of, read_member
from issuers.paths import Above, Signatures, find_above
from issuers.private_key import load_key
from issuers.x509 import der, keys, pem, usages
from issuers.x509.keys import PrivateKey
from issuers.x509.not_pem import broken, no_block

# cert-manager's limit for a chain is 95,000 bytes; ten certificates are far more than any mesh has.
MAX_PEM_BYTES = 128 * 1024
"""Of each entry of a CA's Secret."""
_MAX_CHAIN = 10
_MAX_BUNDLE = 100
_TRUSTED = (
    "a PEM block 'TRUSTED CERTIFICATE', which has OpenSSL's trust settings behind the certificate: write the certificate alone "
    "(openssl x509 -in FILE -out NEW, without -trustout)"
)
_CERT_SIGN = 1 << usages.KEY_USAGES.index("cert sign")
_LONGEST_WARNING = timedelta(days=30)
_ABOUT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """A CA that passed every check. Times are UTC and those of the whole chain: its latest start, its earliest end.

    `chain_pem` follows a leaf: this CA and what is above it, without a self-signed root, then the cross certificates of tls.crt;
    `root_pem` is that root, if known. `key_id` is the SHA-256 of the public key (SubjectPublicKeyInfo) in hex, `root_key_id` that of the root's, ""
    where the root is not known; `chain` is all of it, the root included. `line` is what verifiers make of CA and chain;
    `authority_key_id` is how what it signs names its key.
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
    line: Line = field(repr=False)
    authority_key_id: bytes
    root_key_id: str = ""
    chain: Chain | None = field(default=None, repr=False)

    @property
    def anchor_pem(self) -> bytes:
        """What leaves get as ca.crt: the root, else the highest CA that is known."""
        if self.root_pem is not None:
            return self.root_pem
        return self.chain_pem[self.chain_pem.rfind(b"-----BEGIN CERTIFICATE-----") :]

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why some verifiers accept nothing that this CA signs, though others do; for people."""
        return tuple(str(finding) for finding in self.line.findings)


def load_authority(tls_crt: bytes, tls_key: bytes, ca_crt: bytes | None, *, now: datetime) -> Authority:
    """Load a CA from the three fields of its Secret; `ca_crt` may be missing or empty. `now` is UTC.

    tls.crt begins with the CA's own certificate; what is above it, up to the root, may follow. Raises
    InvalidAuthority with one of the reasons InvalidCertificate, InvalidKey, EncryptedKey, WeakKey, KeyMismatch,
    NotCA, KeyUsageMissing, PathLength, Expired, NotYetValid, ChainBroken, RootMismatch, NotVerifiable.

    ca.crt may be a bundle, as while roots are changed: what leads on from tls.crt counts, the others do not. Where CAs are
    cross-signed, a path to one of ca.crt counts, and what else tls.crt shows must be above the CA too (issuers/paths.py).
    """
    signatures = Signatures()
    members = _read_chain(tls_crt, signatures)
    own = members[0]
    above = _read_bundle(ca_crt, signatures) if ca_crt else []
    key = load_key(tls_key)
    if keys.public_bytes(key.public_key()) != own.fields.spki:
        raise InvalidAuthority("KeyMismatch", "tls.key", "it is not the key of the certificate in tls.crt")
    found = find_above(members, above, now, signatures, lambda path: _fault(own, path, signatures, now))
    # Of a root as CA its own certificate counts, whatever leads on from another issue of it.
    first = own if signatures.of(own, own) else found.path[0]
    built, root = (first, *found.path), found.root
    algorithm = keys.algorithm_for(key)
    signer = algorithm.signer(key)
    return Authority(
        certificate_pem=_pem(first),
        key=key,
        key_id=hashlib.sha256(own.fields.spki).hexdigest(),
        chain_pem=b"".join(_pem(member) for member in found.path if member is not root) + _beside(found, members, now),
        root_pem=_pem(root) if root is not None else None,
        not_before=max(member.fields.not_before for member in built),
        not_after=min(member.fields.not_after for member in built),
        subject=own.subject,
        subject_der=own.fields.subject,
        spki=own.fields.spki,
        subject_key_id=first.subject_key_id,
        path_length=first.path_length,
        algorithm=algorithm.identifier,
        signer=signer,
        line=line_of(found.path),
        authority_key_id=first.subject_key_id if first.subject_key_id is not None else _derived_key_id(own.fields.spki),
        root_key_id=hashlib.sha256(root.fields.spki).hexdigest() if root is not None else "",
        chain=chain_of(
            [(member.fields.der, member.fields) for member in found.everything],
            found.links,
            [(member.fields.der, member.fields) for member in (*members, *above)],
            signatures.with_key,
        ),
    )


def _beside(found: Above, members: list[Member], now: datetime) -> bytes:
    """What of tls.crt is handed out behind the path: cross certificates, for those who trust another root (RFC 8446, 4.4.2).

    One that nobody accepts helps nobody, and some verifiers stop at it.
    """
    return b"".join(_pem(member) for member in found.beside if member in members and _fault_of(member, 0, now) is None)


def _pem(member: Member) -> bytes:
    return pem.encode("CERTIFICATE", member.fields.der)


def _derived_key_id(spki: bytes) -> bytes:
    """Identify the key of a CA that does not name it, as RFC 5280 does (4.2.1.2, method 1), and most who renew such one."""
    pos, end = der.only(spki, 0, len(spki), der.SEQUENCE)
    _, pos = der.expect(spki, pos, end, der.SEQUENCE)
    start, stop = der.only(spki, pos, end, der.BIT_STRING)
    return hashlib.sha1(spki[start + 1 : stop], usedforsecurity=False).digest()


def _read_chain(text: bytes, signatures: Signatures) -> list[Member]:
    blocks = _blocks("tls.crt", text)
    if len(blocks) > _MAX_CHAIN:
        message = f"{len(blocks)} certificates; at most {_MAX_CHAIN} make a chain"
        raise InvalidAuthority("ChainBroken", "tls.crt", message)
    return [_read_member("tls.crt", data, signatures) for data in blocks]


def _read_bundle(text: bytes, signatures: Signatures) -> list[Member]:
    """Read ca.crt. Of several certificates only one must be of use: the others may be of a kind that is not taken."""
    members: list[Member] = []
    faults: list[InvalidAuthority] = []
    blocks = _blocks("ca.crt", text)
    if len(blocks) > _MAX_BUNDLE:
        message = f"{len(blocks)} certificates; at most {_MAX_BUNDLE} are looked at"
        raise InvalidAuthority("InvalidCertificate", "ca.crt", message)
    for data in blocks:
        try:
            members.append(_read_member("ca.crt", data, signatures))
        except InvalidAuthority as fault:
            faults.append(fault)
    if not members:
        raise faults[0]
    return members


def _blocks(name: str, text: bytes) -> list[bytes]:
    """The certificates of a text, DER; one that appears twice is one (tools write bundles that overlap)."""
    if len(text) > MAX_PEM_BYTES:
        raise InvalidAuthority("InvalidCertificate", name, f"{len(text)} bytes are too many for a chain")
    found: dict[bytes, None] = {}
    try:
        for label, data in pem.read_blocks(pem.usual_labels(text)):
            if label == "TRUSTED CERTIFICATE":
                raise InvalidAuthority("InvalidCertificate", name, _TRUSTED)
            if label != "CERTIFICATE":
                raise InvalidAuthority("InvalidCertificate", name, f"a PEM block {label!r} among the certificates")
            found[data] = None
    except pem.PemError as error:
        raise InvalidAuthority("InvalidCertificate", name, broken(error, text)) from None
    if not found:
        raise InvalidAuthority("InvalidCertificate", name, no_block(text))
    return list(found)


def _read_member(name: str, data: bytes, signatures: Signatures) -> Member:
    try:
        fields = read_certificate(data)
        member = read_member(name, fields)
    except der.DerError as error:
        raise InvalidAuthority("InvalidCertificate", name, f"a certificate that cannot be read: {error}") from None
    try:
        # Before any signature is verified with it.
        keys.check_public_key(fields.spki)
        keys.read_signature_algorithm(fields.algorithm)
    except (keys.KeyRefused, der.DerError) as error:
        if not _signed_itself(member, signatures):
            raise InvalidAuthority("WeakKey", name, f"{member.subject!r} has {error}") from None
    return member


def _signed_itself(member: Member, signatures: Signatures) -> bool:
    """Tell whether a certificate is a root whose key is taken: how it signed itself is verified by nobody."""
    try:
        keys.check_public_key(member.fields.spki)
        keys.read_signature_algorithm(member.fields.algorithm, itself=member.self_issued)
    except (keys.KeyRefused, der.DerError):
        return False
    return signatures.of(member, member)


def _fault(own: Member, path: tuple[Member, ...], signatures: Signatures, now: datetime) -> InvalidAuthority | None:
    """Say why a CA with this path to its root must not sign."""
    # The CA's own certificate must be fit where it is a root, whatever leads on from another issue of it.
    line = path if own in path or not signatures.of(own, own) else (own, *path)
    depth = 0
    for member in line:
        if (fault := _fault_of(member, depth, now)) is not None:
            return fault
        # A renewed root or a cross certificate stands in for the CA below it (RFC 5280, 6.1: self-issued ones do not
        # count).
        depth += not member.self_issued
    if defects := by_nobody(line_of(path).findings):
        return InvalidAuthority("NotVerifiable", defects[0].field, "; ".join(finding.text for finding in defects))
    return None


def _fault_of(member: Member, depth: int, now: datetime) -> InvalidAuthority | None:
    """Check one certificate of a path; `depth` CAs stand between it and a leaf (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    fields, name = member.fields, repr(member.subject)
    if not member.is_ca:
        return InvalidAuthority("NotCA", member.field, f"{name} is not a CA")
    if member.key_usage is not None and not member.key_usage & _CERT_SIGN:
        return InvalidAuthority("KeyUsageMissing", member.field, f"{name} lacks the key usage cert sign")
    if member.path_length is not None and member.path_length < depth:
        message = f"{name} allows {member.path_length} CAs below it, there are {depth}"
        return InvalidAuthority("PathLength", member.field, message)
    if now >= fields.not_after:
        return InvalidAuthority("Expired", member.field, f"{name} expired at {fields.not_after:%Y-%m-%dT%H:%M:%SZ}")
    if now < fields.not_before:
        begins = f"{fields.not_before:%Y-%m-%dT%H:%M:%SZ}"
        message = f"{name} is valid from {begins}; {clock_here(now, fields.not_before)}"
        return InvalidAuthority("NotYetValid", member.field, message)
    return None


def clock_here(now: datetime, begins: datetime) -> str:
    """Name the clock by which something that `begins` is not valid yet: it may be the one that is wrong.

    To ten minutes, since a status that says it is not to be written all the time.
    """
    if begins - now < _ABOUT:
        return "by the clock here that is in less than ten minutes, and if that is wrong, set this node's clock"
    about = now.replace(minute=now.minute - now.minute % 10)
    return f"by the clock here it is about {about:%Y-%m-%dT%H:%MZ}, and if that is wrong, set this node's clock"


def signed(certificate: bytes, authority: Authority) -> bool:
    """Whether the CA's key signed this certificate (DER), under the CA's name."""
    try:
        fields = read_certificate(certificate)
        algorithm = keys.read_signature_algorithm(fields.algorithm)
        key = keys.load_public_key(authority.spki)
    except (der.DerError, keys.KeyRefused):
        return False
    if fields.issuer != authority.subject_der or algorithm.kind != keys.check_public_key(authority.spki):
        return False
    return algorithm.verify(key, fields.signature, fields.tbs)


def expiry_warning(authority: Authority, now: datetime) -> str | None:
    """Say when a CA ends, within the last third of its life or the last 30 days, whichever is shorter; else None."""
    life = authority.not_after - authority.not_before
    left = authority.not_after - now
    if left > min(life / 3, _LONGEST_WARNING):
        return None
    return f"the CA {authority.subject!r} expires at {authority.not_after:%Y-%m-%dT%H:%M:%SZ}"
