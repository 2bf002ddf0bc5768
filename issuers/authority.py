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
from issuers.line import Line, Member, by_nobody, line_of, read_member
from issuers.private_key import load_key
from issuers.x509 import der, keys, pem, usages
from issuers.x509.keys import PrivateKey
from issuers.x509.not_pem import broken, no_block

# cert-manager's limit for a chain is 95,000 bytes; ten certificates are far more than any mesh has.
MAX_PEM_BYTES = 128 * 1024
"""Of each entry of a CA's Secret."""
_MAX_CHAIN = 10
_MAX_BUNDLE = 100
MOST_VERIFIED = 64
"""Signatures that are verified for one CA: a chain of ten takes some twenty, each further root of the same name one."""
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

    `chain_pem` follows a leaf: this CA and what is above it, without a self-signed root; `root_pem` is that root, if
    known. `key_id` is the SHA-256 of the public key (SubjectPublicKeyInfo) in hex, `root_key_id` that of the root's, ""
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

    ca.crt may be a bundle, as while roots are changed: what leads on from tls.crt counts, the others do not.
    """
    signatures = _Signatures()
    members = _read_chain(tls_crt, signatures)
    own = members[0]
    above = _read_bundle(ca_crt, signatures) if ca_crt else []
    key = load_key(tls_key)
    if keys.public_bytes(key.public_key()) != own.fields.spki:
        raise InvalidAuthority("KeyMismatch", "tls.key", "it is not the key of the certificate in tls.crt")
    chain = _link(members, above, now, signatures)
    root = _of_longest_life(chain, members, above, now, signatures)
    if root is not None and root not in chain:
        chain.append(root)
    roots = [member for member in chain if signatures.of(member, member)]
    # A root that was renewed is no part of what verifiers build: they end at the one that is given to them.
    built = [member for member in chain if member is own or member is root or member not in roots]
    depth = 0
    for member in built:
        _check_ca(member, depth)
        _check_dates(member, now)
        # A renewed root or a cross certificate stands in for the CA below it (RFC 5280, 6.1: self-issued ones do not
        # count).
        depth += not member.self_issued
    line = line_of([member for member in chain if member not in roots] + ([root] if root is not None else []))
    if defects := by_nobody(line.findings):
        raise InvalidAuthority("NotVerifiable", defects[0].field, "; ".join(finding.text for finding in defects))
    algorithm = keys.algorithm_for(key)
    signer = algorithm.signer(key)
    return Authority(
        certificate_pem=_pem(own),
        key=key,
        key_id=hashlib.sha256(own.fields.spki).hexdigest(),
        chain_pem=b"".join(_pem(member) for member in chain if member not in roots),
        root_pem=_pem(root) if root is not None else None,
        not_before=max(member.fields.not_before for member in built),
        not_after=min(member.fields.not_after for member in built),
        subject=own.subject,
        subject_der=own.fields.subject,
        spki=own.fields.spki,
        subject_key_id=own.subject_key_id,
        path_length=own.path_length,
        algorithm=algorithm.identifier,
        signer=signer,
        line=line,
        authority_key_id=own.subject_key_id if own.subject_key_id is not None else _derived_key_id(own.fields.spki),
        root_key_id=hashlib.sha256(root.fields.spki).hexdigest() if root is not None else "",
        chain=chain_of(
            [(member.fields.der, member.fields) for member in chain],
            [(member.fields.der, member.fields) for member in (*members, *above)],
            signatures.with_key,
        ),
    )


def _pem(member: Member) -> bytes:
    return pem.encode("CERTIFICATE", member.fields.der)


def _derived_key_id(spki: bytes) -> bytes:
    """Identify the key of a CA that does not name it, as RFC 5280 does (4.2.1.2, method 1), and most who renew such one."""
    pos, end = der.only(spki, 0, len(spki), der.SEQUENCE)
    _, pos = der.expect(spki, pos, end, der.SEQUENCE)
    start, stop = der.only(spki, pos, end, der.BIT_STRING)
    return hashlib.sha1(spki[start + 1 : stop], usedforsecurity=False).digest()


def _read_chain(text: bytes, signatures: "_Signatures") -> list[Member]:
    blocks = _blocks("tls.crt", text)
    if len(blocks) > _MAX_CHAIN:
        message = f"{len(blocks)} certificates; at most {_MAX_CHAIN} make a chain"
        raise InvalidAuthority("ChainBroken", "tls.crt", message)
    return [_read_member("tls.crt", data, signatures) for data in blocks]


def _read_bundle(text: bytes, signatures: "_Signatures") -> list[Member]:
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


def _read_member(name: str, data: bytes, signatures: "_Signatures") -> Member:
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


def _signed_itself(member: Member, signatures: "_Signatures") -> bool:
    """Tell whether a certificate is a root whose key is taken: how it signed itself is verified by nobody."""
    try:
        keys.check_public_key(member.fields.spki)
        keys.read_signature_algorithm(member.fields.algorithm, itself=member.self_issued)
    except (keys.KeyRefused, der.DerError):
        return False
    return signatures.of(member, member)


class _Signatures:
    """Which certificate was signed with which key: each pair is verified once, and so many at most.

    Whoever writes a Secret may fill it with certificates of one name, each of which might have signed each other one.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def of(self, member: Member, above: Member) -> bool:
        """Tell whether one certificate was signed by another, by name and key. Raises InvalidAuthority."""
        return member.fields.issuer == above.fields.subject and self.with_key(member.fields, above.fields.spki)

    def with_key(self, fields: CertificateFields, spki: bytes) -> bool:
        """Tell whether a certificate was signed with a key. Raises InvalidAuthority when too many were verified."""
        pair = (fields.der, spki)
        if pair not in self._known:
            if len(self._known) >= MOST_VERIFIED:
                message = (
                    f"more than {MOST_VERIFIED} signatures would have to be verified to find what is above the CA: leave out "
                    "certificates of the same name that are not above it"
                )
                raise InvalidAuthority("ChainBroken", "ca.crt", message)
            self._known[pair] = was_signed_with(fields, spki)
        return self._known[pair]


def _link(members: list[Member], above: list[Member], now: datetime, signatures: _Signatures) -> list[Member]:
    """Order the certificates from the signing CA upwards.

    Every one of tls.crt must have its place in one line. Of ca.crt, one must: the others are roots that come or go.
    """
    chain, rest = [members[0]], members[1:]
    anchors = {member.fields.der for member in above}
    more = [member for member in above if all(member.fields.der != one.fields.der for one in members)]
    while rest or not (chain[-1].fields.der in anchors and signatures.of(chain[-1], chain[-1])):
        last = chain[-1]
        found = next((member for member in _likely(last, rest) if signatures.of(last, member)), None)
        if found is not None:
            rest.remove(found)
        elif candidates := _signers(last, more, signatures):
            # A bundle may hold a root, its successor with the same key, and a cross certificate of it.
            found = max(candidates, key=lambda member: _worth(member, now, signatures))
            more.remove(found)
        else:
            break
        chain.append(found)
    if rest:
        message = f"{rest[0].subject!r} did not sign {chain[-1].subject!r} of tls.crt"
        raise InvalidAuthority("ChainBroken", rest[0].field, message)
    if above and not any(member.fields.der in anchors for member in chain):
        message = f"{above[0].subject!r} did not sign {chain[-1].subject!r} of tls.crt"
        raise InvalidAuthority("RootMismatch", above[0].field, message)
    return chain


def _of_longest_life(
    chain: list[Member], members: list[Member], above: list[Member], now: datetime, signatures: _Signatures
) -> Member | None:
    """Of the root that the chain leads to and its other issues, the one that lives longest: all verify the same.

    One in ca.crt (`above`) counts before one in tls.crt (`members`) as long as it is valid: it is there to be trusted. None
    where the chain shows no root.
    """
    top = next((member for member in reversed(chain) if signatures.of(member, member)), None)
    if top is None:
        return None
    anchor = (top.fields.subject, top.fields.spki)
    shown = ((member, place) for place, part in enumerate((members, above)) for member in part)
    same = [(member, place) for member, place in shown if (member.fields.subject, member.fields.spki) == anchor]
    same.sort(key=lambda one: (_valid(one[0], now), one[1], one[0].fields.not_after), reverse=True)
    return next(member for member, _ in same if signatures.of(member, member))


def _valid(member: Member, now: datetime) -> bool:
    return member.fields.not_before <= now < member.fields.not_after


def _worth(member: Member, now: datetime, signatures: _Signatures) -> tuple[bool, bool, datetime]:
    """Order certificates of one subject and key: valid now, a root, and of these the one that lives longest."""
    return _valid(member, now), signatures.of(member, member), member.fields.not_after


def _likely(member: Member, others: list[Member]) -> list[Member]:
    """Put those first whose key is named by the certificate: a guess that saves work, and decides nothing."""
    named = member.authority_key.key_id if member.authority_key is not None else None
    return sorted(others, key=lambda one: named is None or one.subject_key_id != named)


def _signers(member: Member, others: list[Member], signatures: _Signatures) -> list[Member]:
    """Return the certificates of the key that signed this one: once it is found, the other keys are not tried."""
    for one in _likely(member, others):
        if signatures.of(member, one):
            same = (one.fields.subject, one.fields.spki)
            return [other for other in others if (other.fields.subject, other.fields.spki) == same]
    return []


def _check_ca(member: Member, depth: int) -> None:
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


def _check_dates(member: Member, now: datetime) -> None:
    fields = member.fields
    if now >= fields.not_after:
        raise InvalidAuthority(
            "Expired", member.field, f"{member.subject!r} expired at {fields.not_after:%Y-%m-%dT%H:%M:%SZ}"
        )
    if now < fields.not_before:
        raise InvalidAuthority(
            "NotYetValid",
            member.field,
            f"{member.subject!r} is valid from {fields.not_before:%Y-%m-%dT%H:%M:%SZ}; {clock_here(now, fields.not_before)}",
        )


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
