"""What the planted faults of `make mutants` showed to be untested in the matching of Certificates."""

import ipaddress
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography import x509

from signer.api.certificate import CertificateSpec
from signer.certificates.spec.matching import certificate_mismatches
from tests.fuzz.certificate import assert_issued_as_wished
from tests.pki import ANY_TIME, CA
from tests.unit.certificates import samples

SPEC: dict[str, Any] = {
    "secretName": "s",
    "issuerRef": {"name": "i"},
    "dnsNames": ["a.example", "b.example"],
    "uris": ["spiffe://a/x", "spiffe://b/y"],
    "emailAddresses": ["a@example.com", "b@example.com"],
    "ipAddresses": ["10.0.0.1", "10.0.0.2"],
}


def leaf(spec: dict[str, Any]) -> x509.Certificate:
    """A certificate that has the names of a spec, each list turned round."""
    names: list[x509.GeneralName] = []
    kinds: tuple[tuple[str, Callable[[str], x509.GeneralName]], ...] = (
        ("dnsNames", x509.DNSName),
        ("uris", x509.UniformResourceIdentifier),
        ("emailAddresses", x509.RFC822Name),
        ("ipAddresses", lambda text: x509.IPAddress(ipaddress.ip_address(text))),
    )
    for field, kind in kinds:
        names += [kind(text) for text in reversed(spec[field])]
    san = x509.SubjectAlternativeName(names)
    return CA("leaf", now=ANY_TIME, is_ca=False, subject=x509.Name([]), extra=[(san, True)]).certificate


def test_order_is_nothing() -> None:
    """A certificate that has all names in another order needs no new one, whatever kind they are of."""
    assert certificate_mismatches(leaf(SPEC), msgspec.convert(SPEC, CertificateSpec)) == ()


def test_each_name_counts() -> None:
    """A name more or less is told with the field that it stands in."""
    for field in ("uris", "emailAddresses", "ipAddresses", "dnsNames"):
        wanted = {**SPEC, field: SPEC[field][:1]}
        assert certificate_mismatches(leaf(SPEC), msgspec.convert(wanted, CertificateSpec)) == (f"spec.{field}",)


def test_odd_extensions_and_subjects_hide_no_names() -> None:
    """What the library refuses or warns of, and Go does not, is no reason for a new certificate."""
    names = {"commonName": "a", "dnsNames": ["a.example"]}
    for odd in ({"usages": ["encipher only"]}, {"subject": {"countries": ["", "DEU"]}}):
        assert_issued_as_wished(samples.certificate(**odd, **names))
