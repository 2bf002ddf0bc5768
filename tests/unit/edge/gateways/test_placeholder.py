"""The placeholder: good enough that a gateway serves it, and never taken for the real one."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from signer.api.tls_secret import is_placeholder
from signer.edge.gateways.placeholder import placeholder
from tests import pki
from tests.unit.edge.objects import host

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_placeholder() -> None:
    """It is for the hosts, of its own key, valid now and for weeks, no CA, and known again."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = placeholder([host("a.example.com"), host("*.example.com")], key, now=NOW, serial=7)
    found = x509.load_pem_x509_certificate(pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.com", "*.example.com"]
    assert found.public_key() == key.public_key()
    assert found.serial_number == 7
    assert found.not_valid_before_utc <= NOW <= found.not_valid_after_utc - timedelta(days=30)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    found.verify_directly_issued_by(found)
    assert is_placeholder(found)


def test_another_certificate() -> None:
    """A certificate of a CA is none."""
    assert not is_placeholder(pki.CA("root", now=NOW).certificate)
