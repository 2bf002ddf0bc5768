"""A public key whose holder has proven that he has the private one, and nothing else: what a Pod's request brings.

A Pod's identity is not in its request; who it is, others say. So a key is read, and a request for one SPIFFE ID is written around
it, which is Istio's own form to the wall. Every input is hostile: cheap checks first, the proof last. Pure but for a cache, which is bounded; safe in
any thread.
Source: Kubernetes' ValidatePodCertificateRequestCreate (pkg/apis/certificates/validation).
"""

import functools
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from issuers.errors import MalformedRequest
from issuers.istio_request import uri_name, write_attributes, write_info
from issuers.request import SigningRequest, read_der
from issuers.x509 import der, keys
from issuers.x509.general_names import GeneralNames
from issuers.x509.subject import EMPTY_NAME

# What the API server takes of each.
MAX_BYTES = 10 * 1024

_NO_ATTRIBUTES = bytes.fromhex("a000")
_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
# Go takes a salt of any length.
_PSS = padding.PSS(padding.MGF1(_SHA256), padding.PSS.AUTO)


class ProvenKey(NamedTuple):
    """A key and its SubjectPublicKeyInfo (DER)."""

    public_key: keys.PublicKey
    spki: bytes


@functools.lru_cache(maxsize=1024)  # a request is decided on twice, and its proof costs more than all the rest
def of_stub(data: bytes) -> ProvenKey:
    """Read the key of a CSR (DER) that asks for nothing, as a kubelet writes it. Raises MalformedRequest."""
    if len(data) > MAX_BYTES:
        raise MalformedRequest("stubPKCS10Request", f"{len(data)} bytes; at most {MAX_BYTES} are accepted")
    request = read_der(data)
    start, _ = der.only(data, 0, len(data), der.SEQUENCE)
    if not data.startswith(write_info(EMPTY_NAME, request.spki, _NO_ATTRIBUTES), start):
        raise MalformedRequest("stubPKCS10Request", "it asks for more than a key: a kubelet's has no names or usages")
    return ProvenKey(request.public_key, request.spki)


def of_signature(spki: bytes, signature: bytes, message: bytes) -> ProvenKey:
    """Read a key (SubjectPublicKeyInfo, DER) with a signature by it over `message`. Raises MalformedRequest.

    ECDSA and RSA-PSS with SHA-256, or Ed25519.
    """
    if len(spki) > MAX_BYTES or len(signature) > MAX_BYTES:
        raise MalformedRequest("pkixPublicKey", f"more than {MAX_BYTES} bytes")
    try:
        keys.check_public_key(spki)
        key = keys.load_public_key(spki)
    except (der.DerError, keys.KeyRefused) as error:
        raise MalformedRequest("pkixPublicKey", str(error)) from None
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, _PSS, _SHA256)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, _ECDSA)
        else:
            key.verify(signature, message)
    except (InvalidSignature, ValueError):
        raise MalformedRequest("proofOfPossession", "it was not made with the key in the request") from None
    return ProvenKey(key, spki)


def request_of_workload(key: ProvenKey, uri: str) -> SigningRequest:
    """Write what a workload with this key and this SPIFFE ID (ASCII) would have asked for, in Istio's own form."""
    san = uri_name(uri)
    return SigningRequest(
        der=der.sequence(write_info(EMPTY_NAME, key.spki, write_attributes(san))),  # nobody signed it
        public_key=key.public_key,
        spki=key.spki,
        subject_der=EMPTY_NAME,
        subject_names=(),
        san_der=san,
        san_critical=True,
        names=GeneralNames(uris=(uri,)),
        is_ca=None,
        path_length=None,
        key_usage_bits=None,
        extended_key_usages=None,
        unknown_extended_key_usages=(),
        name_constraints_der=None,
        name_constraints_critical=False,
        signature_algorithm="",
        by_shape=True,
    )
