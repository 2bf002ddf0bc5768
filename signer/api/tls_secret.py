"""What a Secret of the type kubernetes.io/tls holds, said once for all who read or write one. Pure."""

from cryptography import x509
from cryptography.x509.oid import NameOID

PLACEHOLDER_NAME = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mesh-signer placeholder")])
"""Subject and issuer of the self-signed certificate that stands in a gateway's Secret before there is another."""


def is_placeholder(certificate: x509.Certificate) -> bool:
    """Tell whether this is a placeholder: it is never taken for the certificate that is wanted."""
    try:
        return certificate.subject == PLACEHOLDER_NAME and certificate.issuer == PLACEHOLDER_NAME
    except ValueError:
        return False
