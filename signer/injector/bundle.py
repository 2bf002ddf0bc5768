"""Whether a text may become a caBundle: certificates that can be read, and nothing else. Pure.

What is injected is the text as it is, byte for byte, so that others who compare it with ca.crt find the same.
"""

from issuers.inspection import read_certificate
from issuers.x509 import der, pem
from issuers.x509.not_pem import broken, instead_of_pem

# The roots of a system are about 220 KiB in 150 blocks. An object has at most 1.5 MiB (etcd's limit).
MAX_BYTES = 256 * 1024
MAX_CERTIFICATES = 512


def defect_of(text: bytes) -> str:
    """Say what keeps a text from being a CA bundle, as the end of a sentence; "" when nothing does."""
    if len(text) > MAX_BYTES:
        return f"has {len(text)} bytes, and a CA bundle has {MAX_BYTES} at most"
    try:
        blocks = pem.read_blocks(text)
    except pem.PemError as error:
        return f"is no PEM text: {broken(error, text)}"
    if not blocks:
        instead = instead_of_pem(text)
        return f"has no PEM block CERTIFICATE: {instead}" if instead else "has no PEM block CERTIFICATE"
    if len(blocks) > MAX_CERTIFICATES:
        return f"has {len(blocks)} certificates, and a CA bundle has {MAX_CERTIFICATES} at most"
    # A key in a block that is broken, in a comment or in another form would become readable to everybody.
    if b"PRIVATE KEY" in text:
        return "has a private key: put certificates there, and nothing else"
    for number, (label, data) in enumerate(blocks, 1):
        if label != "CERTIFICATE":
            return f"has a PEM block {label!r}: put certificates there, and nothing else"
        try:
            read_certificate(data)
        except der.DerError as error:
            return f"has a certificate that cannot be read, number {number}: {error}"
    return ""
