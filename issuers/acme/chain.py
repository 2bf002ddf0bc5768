"""Certificate chains as a CA hands them out: read, checked against what was ordered, and chosen among. Pure.

A chain that passes may be put into a gateway's Secret as it is: its leaf is for our key and for the names, and each
certificate is signed by the next one. Whether the CA is trusted is the clients' question.
"""

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from issuers.acme.errors import MalformedAnswer, printable
from issuers.acme.identifiers import Identifier
from issuers.acme.order import Wish
from issuers.x509 import loading, parts
from issuers.x509.keys import PrivateKey
from issuers.x509.subject import COMMON_NAME

_MAX_CERTIFICATES = 10


@dataclass(frozen=True, slots=True)
class Chain:
    """Leaf first. `pem` is written anew from the certificates: nothing else that the CA sent is kept."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.certificates[0]

    @property
    def pem(self) -> bytes:
        """All of it, for tls.crt."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.certificates)

    @property
    def issuer_name(self) -> str:
        """Common name of the issuer of the certificate nearest to the root; "" when it has none."""
        read = parts.names_in(parts.parts_of(self.certificates[-1]).issuer) or ()
        return next((text for pairs in read for kind, text in pairs if kind == COMMON_NAME), "")


def read_chain(pem: bytes, wish: Wish, key: PrivateKey | x509.CertificateSigningRequest, now: dt.datetime) -> Chain:
    """Check a downloaded chain (application/pem-certificate-chain, RFC 8555 section 9.1). Raises MalformedAnswer.

    Args:
        pem: the CA's text.
        wish: what was ordered.
        key: whose certificate it must be: the private key, or the request that was sent.
        now: aware UTC; a certificate that has ended already is not a certificate.
    """
    if pem.count(b"-----BEGIN ") != pem.count(b"-----END ") or not pem.rstrip().endswith(b"-----"):
        raise MalformedAnswer("certificate: the chain is cut off")
    try:
        found = tuple(loading.certificates(pem))
    except loading.Unreadable:
        raise MalformedAnswer("certificate: not a chain of certificates in PEM") from None
    if len(found) > _MAX_CERTIFICATES:
        raise MalformedAnswer(f"certificate: a chain of {len(found)} certificates")
    try:
        _check_leaf(found[0], wish, key, now)
        for lower, upper in itertools.pairwise(found):
            lower.verify_directly_issued_by(upper)
    except (InvalidSignature, TypeError):
        raise MalformedAnswer("certificate: one of the chain is not signed by the next") from None
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedAnswer("certificate: one of the chain cannot be read or is not issued by the next") from None
    return Chain(found)


def read_chains(
    pems: Sequence[bytes], wish: Wish, key: PrivateKey | x509.CertificateSigningRequest, now: dt.datetime
) -> tuple[tuple[Chain, ...], tuple[str, ...]]:
    """Check the CA's own chain, which raises MalformedAnswer, and its alternatives, of which a bad one is passed over.

    Returns the chains that are good, and why others are not.
    """
    chains, missed = [read_chain(pems[0], wish, key, now)], []
    for pem in pems[1:]:
        try:
            chains.append(read_chain(pem, wish, key, now))
        except MalformedAnswer as error:
            missed.append(str(error))
    return tuple(chains), tuple(missed)


def not_preferred(chains: Sequence[Chain], chosen: Chain, preferred: str, missed: Sequence[str]) -> str:
    """Say that `preferred` was wished for and not had, and what there was; "" where it was had, or nothing was wished for."""
    if not preferred or chosen.issuer_name == preferred:
        return ""
    names = ", ".join(sorted({printable(one.issuer_name, 64) for one in chains}))
    lost = f"; not had: {printable('; '.join(missed), 200)}" if missed else ""
    return f"no chain of the CA ends at the preferredChain {printable(preferred, 64)!r}: it has {names}{lost}; its own choice is used"


def choose_chain(chains: Sequence[Chain], preferred: str | None) -> Chain:
    """The first chain whose certificate nearest to the root was issued by `preferred`, else the CA's own choice.

    That is cert-manager's reading of spec.acme.preferredChain. `chains` begins with the CA's own choice.
    """
    if preferred:
        for chain in chains:
            if chain.issuer_name == preferred:
                return chain
    return chains[0]


def _check_leaf(
    leaf: x509.Certificate, wish: Wish, key: PrivateKey | x509.CertificateSigningRequest, now: dt.datetime
) -> None:
    if leaf.public_key() != key.public_key():
        raise MalformedAnswer("certificate: it is for a different key than the one that was sent")
    if _names(leaf) != set(wish.identifiers):
        raise MalformedAnswer("certificate: it is for different names than those that were ordered")
    if leaf.not_valid_after_utc <= now:
        raise MalformedAnswer("certificate: it has already expired")
    if parts.is_ca(leaf) is not False:
        raise MalformedAnswer("certificate: it is a CA's")


def _names(leaf: x509.Certificate) -> set[Identifier]:
    names = parts.alt_names(leaf)
    if names is None:
        raise MalformedAnswer("certificate: its names cannot be read")
    found = {Identifier("dns", one.lower()) for one in names.dns_names}
    return found | {Identifier("ip", one) for one in names.ip_addresses}
