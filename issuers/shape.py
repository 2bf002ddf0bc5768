"""Istio's one form of CSR by its bytes, with the strict reader behind it (ADR 57).

Nearly all CSRs are pilot-agent's: constants, in which only key, SPIFFE ID and signature differ. Those are matched here by
equality with the bytes that Istio writes; whatever differs in one byte goes to `issuers.request.read_request`, which has the
last word on everything else. So nothing is taken here that the strict reader would not read, and read as the same.
Pure but for its caches, which are bounded; safe in any thread.
Source: istio.io/istio security/pkg/pki/util/generate_csr.go; Go's x509.CreateCertificateRequest and encoding/pem.
"""

import binascii
import functools
from typing import NamedTuple

from issuers import request as strict
from issuers.istio_request import EMPTY_ORGANIZATION, uri_name, write_attributes, write_info
from issuers.request import SigningRequest
from issuers.spiffe import parse_spiffe_id
from issuers.x509 import der, keys, pem
from issuers.x509.general_names import GeneralNames
from issuers.x509.subject import EMPTY_NAME, read_name

_BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----\n"
_END = b"\n-----END CERTIFICATE REQUEST-----\n"
# With an RSA key of 2048 bits and the longest SPIFFE ID: more cannot be of this form.
_MAX_PEM = 2048
# The longest SPIFFE ID, and what stands around it.
_MAX_ATTRIBUTES = 700
_SUBJECTS = {subject: read_name(subject, 0, len(subject)) for subject in (EMPTY_ORGANIZATION, EMPTY_NAME)}
_VERSION = 3


class _Form(NamedTuple):
    """A kind of key: how it signs, and `head` and `tail` of its SubjectPublicKeyInfo, which has `size` bytes."""

    algorithm: keys.SignatureAlgorithm
    head: bytes
    tail: bytes
    size: int


# An RSA key of exactly 2048 bits with the exponent 65537, and a point of P-256.
_RSA = _Form(
    keys.SHA256_WITH_RSA,
    bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100"),
    bytes.fromhex("0203010001"),
    294,
)
_EC = _Form(keys.ECDSA_WITH_SHA256, bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), b"", 91)
_RSA_SIGNATURE = 256


def read_request(text: bytes, *, one_block: bool = True) -> SigningRequest:
    """Read a CSR as `issuers.request.read_request` does, in a part of its time where it is Istio's. Raises what that raises."""
    return _by_shape(text) or strict.read_request(text, one_block=one_block)


def _by_shape(text: bytes) -> SigningRequest | None:
    """Read a CSR that is Istio's form to the byte, its signature verified; None for any other, and for a wrong signature."""
    if len(text) > _MAX_PEM or not text.startswith(_BEGIN) or not text.endswith(_END):
        return None
    try:
        data = binascii.a2b_base64(text[len(_BEGIN) : -len(_END)])
    except binascii.Error:
        return None
    # There is one spelling of these bytes, in lines of 64 characters, and it must be this one.
    return _match(data) if pem.encode("CERTIFICATE REQUEST", data) == text else None


def _match(data: bytes) -> SigningRequest | None:
    """Take the slots from where they are in this form, and compare all with what Istio writes for what is in them."""
    if len(data) < _EC.size:
        return None
    start, _ = _content(data, 0)
    inner, end = _content(data, start)
    pos = inner + _VERSION
    subject = EMPTY_ORGANIZATION if data.startswith(EMPTY_ORGANIZATION, pos) else EMPTY_NAME
    pos += len(subject)
    form = _RSA if data.startswith(_RSA.head, pos) else _EC
    spki, attributes = data[pos : pos + form.size], data[pos + form.size : end]
    algorithm = form.algorithm
    signature = data[-_RSA_SIGNATURE:] if form is _RSA else data[end + len(algorithm.identifier) + 3 :]
    names = _names(attributes) if len(attributes) <= _MAX_ATTRIBUTES else None
    if names is None or not _is_key(spki, form):
        return None
    info = write_info(subject, spki, attributes)
    if der.sequence(info, algorithm.identifier, der.bit_string(signature)) != data:
        return None
    try:
        key = keys.load_public_key(spki)
    except keys.KeyRefused:
        return None
    if not algorithm.verify(key, signature, info):
        return None
    return SigningRequest(
        der=data,
        public_key=key,
        spki=spki,
        subject_der=subject,
        subject_names=_SUBJECTS[subject],
        san_der=names[0],
        san_critical=True,
        names=names[1],
        is_ca=None,
        path_length=None,
        key_usage_bits=None,
        extended_key_usages=None,
        unknown_extended_key_usages=(),
        name_constraints_der=None,
        name_constraints_critical=False,
        signature_algorithm=algorithm.name,
        by_shape=True,
    )


def _content(data: bytes, pos: int) -> tuple[int, int]:
    """Where the content of an element seems to begin and end: what is taken from there is compared afterwards."""
    first = data[pos + 1]
    start = pos + 2 + (first & 3 if first & 0x80 else 0)
    return start, start + (int.from_bytes(data[pos + 2 : start]) if first & 0x80 else first)


def _is_key(spki: bytes, form: _Form) -> bool:
    """Tell whether this is one of the two keys, in the one way to write it; of a point only OpenSSL can tell whether it is one."""
    if len(spki) != form.size or not spki.startswith(form.head) or not spki.endswith(form.tail):
        return False
    # The modulus has 2048 bits, and is odd.
    return form is _EC or bool(spki[len(form.head)] & 0x80 and spki[-1 - len(form.tail)] & 1)


@functools.lru_cache(maxsize=4096)
def _names(attributes: bytes) -> tuple[bytes, GeneralNames] | None:
    """Read attributes that ask for one SPIFFE ID in Istio's form; None for any others. Each workload asks again and again."""
    try:
        uri = attributes[max(attributes.find(b"spiffe://"), 0) :].decode("ascii")
    except UnicodeDecodeError:
        return None
    if parse_spiffe_id(uri) is None:
        return None
    san = uri_name(uri)
    return (san, GeneralNames(uris=(uri,))) if write_attributes(san) == attributes else None
