"""The client's certificate: what it is asked with, what is signed, and what is read of the one that is there. Pure.

Making a key and checking one take milliseconds: callers leave the loop.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import Authority
from issuers.certificate import sign
from issuers.istio_request import request_info, uri_name
from issuers.line import by_nobody
from issuers.private_key import encode_key, generate_key
from issuers.request import SigningRequest, read_request
from issuers.template import CertificateTemplate, mesh_template, within
from issuers.verify import findings_of
from issuers.x509 import der, extensions, keys, loading, parts, pem
from issuers.x509.general_names import read_general_names
from issuers.x509.subject import EMPTY_NAME
from issuers.x509.usages import EXTENDED_USAGES, decode_extended_key_usage
from signer.api.secret import CA_CERT, Secret
from signer.api.tls_secret import key_pair, read_leaf
from signer.tenancy.verdict import Bridge, Grant

_MAX_ROOTS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A new key (PEM, PKCS#8) and the request for it, in Istio's own form."""

    key: bytes
    request: SigningRequest

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return "Asked(…)"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a Secret has: whose certificate, by which key of a CA (its key identifier, hex), for how long, and which roots."""

    identity: str
    authority_key_id: str
    not_before: datetime
    not_after: datetime
    roots: tuple[str, ...]


def new_request(bridge: Bridge) -> Asked:
    """Make a P-256 key, and the request of the client's identity with it."""
    key = generate_key("ECDSA")
    algorithm = keys.algorithm_for(key)
    info = request_info(subject=EMPTY_NAME, spki=keys.public_bytes(key.public_key()), san=uri_name(str(bridge.client)))
    signed = der.sequence(info, algorithm.identifier, der.bit_string(algorithm.signer(key)(info)))
    return Asked(encode_key(key, "PKCS8"), read_request(pem.encode("CERTIFICATE REQUEST", signed)))


def template(
    bridge: Bridge, request: SigningRequest, grant: Grant, authority: Authority, now: datetime
) -> CertificateTemplate:
    """Say what was granted as a certificate: the bridge's client, the request's key, and nothing else."""
    found = mesh_template(
        request,
        san=uri_name(str(bridge.client)),
        usages=grant.usages,
        not_before=grant.not_before or now,
        not_after=now + grant.lifetime,
    )
    return within(found, not_before=authority.not_before, not_after=authority.not_after)


def useless(found: CertificateTemplate, authority: Authority) -> tuple[str, ...]:
    """Say why nobody would accept the certificate; empty: somebody does."""
    return tuple(map(str, by_nobody((*findings_of(found, authority.line), *authority.line.findings))))


def sign_chain(found: CertificateTemplate, authority: Authority, *, serial: int) -> bytes:
    """Sign; returns the chain as PEM. Raises SigningFailed when what was signed is not what was decided."""
    return sign(found, authority, serial=serial).pem


def roots_in(text: bytes) -> tuple[str, ...]:
    """Read the PEM blocks of ca.crt, the first few; nothing of what cannot be read."""
    try:
        found = loading.certificates(text)
    except loading.Unreadable:
        return ()
    return tuple(pem.encode("CERTIFICATE", _der(one)).decode("ascii") for one in found[:_MAX_ROOTS])


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def fingerprint(root: str) -> str:
    """Name a root: SHA-256 of its PEM, in hex."""
    return hashlib.sha256(root.encode("ascii")).hexdigest()


def read_credential(secret: Secret) -> Credential | None:
    """Read what a Secret has; None for what is no client's certificate with its own key."""
    leaf = read_leaf(secret)
    if leaf is None or key_pair(secret) is None:
        return None
    try:
        names, uses, above = (
            parts.extension(leaf, one) or b""
            for one in (
                extensions.SUBJECT_ALT_NAME,
                extensions.EXTENDED_KEY_USAGE,
                extensions.AUTHORITY_KEY_IDENTIFIER,
            )
        )
        uris, used = read_general_names(names).uris, decode_extended_key_usage(uses)
        named = extensions.read_authority_key(above).key_id or b""
    except der.DerError:
        return None
    if len(uris) != 1 or used != (EXTENDED_USAGES["client auth"],):
        return None
    return Credential(
        uris[0],
        named.hex(),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        roots_in(secret.data.get(CA_CERT, b"")),
    )
