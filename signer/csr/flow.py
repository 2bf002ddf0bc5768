"""Whose request it is, as far as that is needed to queue it: cheaply, before anything of it is checked.

Pure. What is read here decides nothing: it chooses a queue, and it names a refused claim in the audit log. The wall
reads the request again, strictly.
"""

import binascii
import re
from collections.abc import Collection
from typing import NamedTuple

from issuers.spiffe import SpiffeId, parse_spiffe_id
from signer.api.certificatesigningrequest import CertificateSigningRequest, read_requester
from signer.kube.protobuf import ProtobufError

# istiod's requests have some 700 bytes with an RSA key of 2048 bits, and 1,300 with one of 4096.
_MAX_PEM = 16 * 1024
_BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----\n"
_SCHEME = b"spiffe://"
# A subjectAltName whose first name is a URI (DER; lengths of one to three bytes), up to that URI's length.
_NAME = re.compile(
    rb"\x06\x03\x55\x1d\x11(?:\x01\x01\xff)?\x04(?:[\x00-\x7f]|\x81.|\x82..)\x30(?:[\x00-\x7f]|\x81.|\x82..)"
    rb"\x86(?:([\x00-\x7f])|\x81(.)|\x82(..))(?=spiffe://)",
    re.DOTALL,
)


class Flow(NamedTuple):
    """Requests that share a queue: who asks (as the API server knows him), and for which namespace, if it exists."""

    requester: str
    namespace: str


NO_FLOW = Flow("", "")


def claimed_identity(request: bytes) -> SpiffeId | None:
    """Return the SPIFFE ID that a PEM CSR asks for; None when there is none, or more than one place that looks so.

    Nothing is verified. Raises nothing, whatever the bytes.
    """
    if len(request) > _MAX_PEM:
        return None
    # The strict reader (issuers/pem.py) takes three times as long, and says no later in any case.
    end = request.find(b"-----END", len(_BEGIN))
    if end < 0 or not request.startswith(_BEGIN):
        return None
    try:
        data = binascii.a2b_base64(request[len(_BEGIN) : end])
    except binascii.Error:
        return None
    # Two of them: one may stand where nobody looks, to put its flood into another tenant's queue.
    found = _NAME.search(data) if data.count(_SCHEME) == 1 else None
    if found is None:
        return None
    size = int.from_bytes(found[1] or found[2] or found[3], "big")
    try:
        return parse_spiffe_id(data[found.end() : found.end() + size].decode("ascii"))
    except UnicodeDecodeError:
        return None


def flow_of(csr: CertificateSigningRequest, namespaces: Collection[str]) -> Flow:
    """Return the flow of a request. `namespaces` are those that exist: another name is as good as none.

    So there are never more flows than requesters times namespaces. Raises nothing.
    """
    try:
        requester, request = read_requester(csr)
    except ProtobufError:
        return NO_FLOW
    identity = claimed_identity(request) if namespaces else None
    if identity is None or identity.namespace not in namespaces:
        return Flow(requester, "")
    return Flow(requester, identity.namespace)
