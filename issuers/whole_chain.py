"""The answer that brings its root along, for readers who take whatever is last for their root.

istiod checks nothing of what it passes on for a workload that named no signer, and ztunnel and pilot-agent trust the last
certificate that they are given. So whoever makes such an answer checks it: each certificate after the leaf was signed by the
next, the first is the CA that signed the leaf, the last is its root. Read back by other code than wrote it, once for each CA;
a leaf itself is checked as every one is (certificate.py). Pure; safe in any thread.
"""

import functools

from cryptography import x509

from issuers.authority import Authority
from issuers.certificate import IssuedCertificate
from issuers.chain import key_id_of
from issuers.errors import SigningFailed
from issuers.x509 import loading, parts

_BEGIN = b"-----BEGIN CERTIFICATE-----"


def with_root(issued: IssuedCertificate, authority: Authority) -> bytes:
    """Return a certificate that this CA issued, what is above it, and its root, PEM. Raises SigningFailed."""
    above = _above(authority)
    whole = issued.pem + (authority.root_pem or b"")
    if not whole.endswith(above) or whole.count(_BEGIN, 0, len(whole) - len(above)) != 1:
        raise SigningFailed("what follows the certificate is not the chain of its CA")
    return whole


@functools.lru_cache(maxsize=2048)
def _above(authority: Authority) -> bytes:
    """What follows a leaf, from its CA to the root, or the root alone where that is the CA. Raises SigningFailed."""
    text = authority.chain_pem + (authority.root_pem or b"")
    try:
        chain = loading.certificates(text)
    except ValueError as error:
        raise SigningFailed(f"the chain of the CA cannot be read back: {error}") from None
    if authority.root_pem is None or not chain:
        raise SigningFailed("the root of the CA is not known")
    if _name_and_key(chain[0]) != (authority.subject_der, authority.spki):
        raise SigningFailed("the chain does not begin with the CA")
    for at, one in enumerate(chain[1:], 1):
        if not any(_leads(lower, one) for lower in chain[:at]):
            raise SigningFailed(
                f"the chain of the CA does not lead to its root: certificate {at + 1} is not above the others"
            )
    if key_id_of(parts.parts_of(chain[-1]).spki) != authority.root_key_id:
        raise SigningFailed("the chain does not end with the root of the CA")
    return text


def _leads(lower: x509.Certificate, one: x509.Certificate) -> bool:
    """Tell whether a certificate signed another, or has its subject and key; how a root signed itself nobody verifies."""
    return _name_and_key(lower) == _name_and_key(one) or loading.signed_by(lower, one)


def _name_and_key(one: x509.Certificate) -> tuple[bytes, bytes]:
    found = parts.parts_of(one)
    return found.subject, found.spki
