"""Whose request it is, as far as that is needed to queue it: cheaply, before anything of it is checked.

Pure. What is read here decides nothing: it chooses a queue, and it names a refused claim in the audit log. The wall
reads the request again, strictly.
"""

import binascii
import re
from collections.abc import Collection
from typing import NamedTuple

from issuers.spiffe import SpiffeId, parse_spiffe_id
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.api.requests import Request

# istiod's requests have some 700 bytes with an RSA key of 2048 bits, and 1,300 with one of 4096.
_MAX_PEM = 16 * 1024
_BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----\n"
_END = b"-----END CERTIFICATE REQUEST-----"
_VERSION_0 = b"\x02\x01\x00"
_SEQUENCE = 0x30
# Up to the URI, what Istio puts after the key: one attribute (extensionRequest) with one extension (subjectAltName) with
# one name, a URI. DER; each length has one to three bytes.
_LENGTH = rb"([\x00-\x7f]|\x81.|\x82..)"
_NAME = re.compile(
    _LENGTH.join((rb"\xa0", rb"\x30", rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e\x31", rb"\x30", rb"\x30"))
    + _LENGTH
    + _LENGTH.join((rb"\x06\x03\x55\x1d\x11(?:\x01\x01\xff)?\x04", rb"\x30", rb"\x86", rb"(?=spiffe://)")),
    re.DOTALL,
)


class Flow(NamedTuple):
    """Requests that share a queue: who asks (as the API server knows him), and for which namespace, if it exists."""

    requester: str
    namespace: str


NO_FLOW = Flow("", "")
# Nobody's user name is this group.
_NODES = "system:nodes"


def claimed_identity(request: bytes) -> SpiffeId | None:
    """Return the SPIFFE ID that a PEM CSR asks for; None when there is none, or when it is not where Istio writes it.

    An attacker puts another tenant's name where istiod does not look (a second attribute, the key, what is left over
    behind an element), to flood that tenant's queue. So only the one place counts that everybody reads. Nothing else
    is verified. Raises nothing, whatever the bytes.
    """
    if len(request) > _MAX_PEM:
        return None
    # The strict reader (issuers/x509/pem.py) takes three times as long, and says no later in any case.
    end = request.find(b"-----END", len(_BEGIN))
    if end < 0 or not request.startswith(_BEGIN) or request[end:].rstrip() != _END:
        return None
    try:
        # Go passes over a block that it cannot read, and takes headers for none of the base64.
        data = binascii.a2b_base64(request[len(_BEGIN) : end].replace(b"\n", b""), strict_mode=True)
    except binascii.Error:
        return None
    try:
        uri = _only_uri(data)
        return parse_spiffe_id(uri.decode("ascii")) if uri is not None else None
    except (IndexError, UnicodeDecodeError):
        return None


def _only_uri(data: bytes) -> bytes | None:
    """Find the URI that a CertificationRequest ends its names with. Raises IndexError where the bytes end too early."""
    start, _ = _sequence(data, 0)
    start, end = _sequence(data, start)
    if not data.startswith(_VERSION_0, start):
        return None
    _, subject_end = _sequence(data, start + len(_VERSION_0))
    _, key_end = _sequence(data, subject_end)
    found = _NAME.match(data, key_end)
    # Each of them ends where all ends: so there is one of each, and none has anything behind it.
    if found is None or any(found.end(each) + _size(found[each]) != end for each in range(1, 9)):
        return None
    return data[found.end() : end]


def _sequence(data: bytes, pos: int) -> tuple[int, int]:
    """Return where the content of a SEQUENCE begins and ends. Raises IndexError for anything else."""
    first = data[pos + 1]
    start = pos + 2 + (first & 0x7F if first & 0x80 else 0)
    if data[pos] != _SEQUENCE or start > pos + 4:
        raise IndexError
    return start, start + _size(data[pos + 1 : start])


def _size(length: bytes) -> int:
    return length[0] if len(length) == 1 else int.from_bytes(length[1:])


def flow_of(csr: Request, namespaces: Collection[str]) -> Flow:
    """Return the flow of a request. `namespaces` are those that exist: another name is as good as none.

    So there are never more flows than requesters times namespaces. Raises nothing.
    """
    if isinstance(csr, PodCertificateRequest):
        # All nodes ask for a namespace in one queue: its Pods are its own, wherever they run.
        return Flow(_NODES, csr.namespace if csr.namespace in namespaces else "")
    requester = csr.asked.username
    identity = claimed_identity(csr.request) if namespaces else None
    if identity is None or identity.namespace not in namespaces:
        return Flow(requester, "")
    return Flow(requester, identity.namespace)
