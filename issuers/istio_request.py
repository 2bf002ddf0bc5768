"""The CSRs of Istio, rebuilt from what was read in them.

pilot-agent, ztunnel and istiod write one form of CSR each. A request that is to be trusted with an identity must be
that form byte for byte: whoever rebuilds it from (subject, key, names) and compares has one reading left, whatever two
parsers make of anything cleverer. Pure functions.
Source: istio.io/istio security/pkg/pki/util/generate_csr.go and san.go; ztunnel's src/tls/csr.rs, with rcgen 0.14 and 0.13.
"""

from collections.abc import Sequence

from issuers.request import SigningRequest
from issuers.x509 import der, extensions
from issuers.x509.general_names import DNS, URI
from issuers.x509.subject import EMPTY_NAME

# One RDN, organizationName, an empty PrintableString: Go's pkix.Name{Organization: []string{""}}.
EMPTY_ORGANIZATION = bytes.fromhex("300b31093007060355040a1300")
# The largest honest one (RSA 8192) has less than 3 KiB.
MAX_DER_BYTES = 8 * 1024

_VERSION_0 = b"\x02\x01\x00"
_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")


def uri_name(uri: str) -> bytes:
    """Write the GeneralNames that hold one URI. `uri` is ASCII."""
    return der.sequence(der.tlv(URI, uri.encode("ascii")))


def dns_names(names: Sequence[str]) -> bytes:
    """Write the GeneralNames that hold these DNS names, in this order."""
    return der.sequence(*(der.tlv(DNS, name.encode("ascii")) for name in names))


def request_info(*, subject: bytes, spki: bytes, san: bytes, critical: bool = True) -> bytes:
    """Write a CertificationRequestInfo (RFC 2986, 4.1) that asks for these names and nothing else."""
    return write_info(subject, spki, write_attributes(san, critical=critical))


def write_attributes(san: bytes, *, critical: bool = True) -> bytes:
    """Write the attributes of a CSR that asks for these names (GeneralNames) and nothing else."""
    name = extensions.encode_extension(extensions.SUBJECT_ALT_NAME, san, critical=critical)
    return der.tlv(0xA0, der.sequence(_EXTENSION_REQUEST, der.tlv(der.SET, der.sequence(name))))


def write_info(subject: bytes, spki: bytes, attributes: bytes) -> bytes:
    """Write a CertificationRequestInfo of these parts."""
    return der.sequence(_VERSION_0, subject, spki, attributes)


def unexpected_contents(request: SigningRequest, san: bytes) -> str:
    """Say how a request differs from Istio's own form for the names in `san`; "" when it is that form to the byte."""
    if request.by_shape and san == request.san_der:
        return ""  # compared when it was read
    if len(request.der) > MAX_DER_BYTES:
        return f"it has {len(request.der)} bytes; Istio's have less than {MAX_DER_BYTES}"
    if request.subject_der not in (EMPTY_ORGANIZATION, EMPTY_NAME):
        return "its subject is not empty"
    # ztunnel up to 1.27 (rcgen 0.13) leaves that out, for a workload's one URI and with an empty subject.
    ztunnels = request.subject_der == EMPTY_NAME and bool(request.uris)
    if request.san_critical is False and not ztunnels:
        return "its names are not marked critical"
    start, _ = der.only(request.der, 0, len(request.der), der.SEQUENCE)
    critical = request.san_critical is not False
    info = request_info(subject=request.subject_der, spki=request.spki, san=san, critical=critical)
    if not request.der.startswith(info, start):
        return "it holds more than a key and the names, or spells them differently from Istio"
    return ""
