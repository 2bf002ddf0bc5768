"""A CA, requests and templates for the tests of certificates."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import Authority, load_authority
from issuers.certificate import CertificateTemplate, IssuedCertificate, template_for
from issuers.request import SigningRequest, read_request
from issuers.x509.subject import EMPTY_NAME
from tests import pki
from tests.pki import CA
from tests.vectors import craft
from tests.vectors.craft import FOO, Csr

NOW = datetime(2026, 11, 22, 12, 0, 0, 987654, tzinfo=UTC)


HOUR = timedelta(hours=1)


def authority(ca: CA | None = None) -> Authority:
    secret = (ca or CA("root", now=NOW)).secret()
    return load_authority(secret["tls.crt"], secret["tls.key"], secret["ca.crt"], now=NOW)


def request(*extensions: bytes, subject: bytes = EMPTY_NAME) -> SigningRequest:
    return read_request(
        Csr(subject=subject, attributes=[craft.ext_request(craft.san(craft.uri(FOO)), *extensions)]).pem()
    )


def decide(wish: SigningRequest | None = None, **changes: Any) -> CertificateTemplate:
    settings: dict[str, Any] = {"usages": pki.WORKLOAD_USAGES, "duration": HOUR, "is_ca": False, "now": NOW}
    return template_for(wish or request(), **(settings | changes))


SUBJECT = craft.seq(craft.rdn((craft.CN, craft.utf8("a"))))


def parsed(issued: IssuedCertificate) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificates(issued.pem)[0]
    assert certificate.public_bytes(Encoding.DER) == issued.der
    return certificate
