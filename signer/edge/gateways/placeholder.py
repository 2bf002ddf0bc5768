"""A self-signed certificate for a Secret that has none yet.

Without one a gateway resets every connection to the port, and Envoy holds its other listeners back for 15 s. The CA's
own check follows a redirect to it and ignores what it says. Pure: key, time and serial number are arguments.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from signer.api.tls_secret import PLACEHOLDER_NAME
from signer.edge.host import Host

LIFETIME = timedelta(days=90)
BACKDATED = timedelta(hours=1)
"""Clocks of clients differ."""


def placeholder(hosts: Sequence[Host], key: ec.EllipticCurvePrivateKey, *, now: datetime, serial: int) -> bytes:
    """Return the certificate as PEM. `key` must be of its own: nothing else may ever be certified for it."""
    names = x509.SubjectAlternativeName([x509.DNSName(str(host)) for host in hosts])
    built = (
        x509.CertificateBuilder()
        .subject_name(PLACEHOLDER_NAME)
        .issuer_name(PLACEHOLDER_NAME)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
